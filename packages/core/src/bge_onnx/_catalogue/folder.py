"""A folder -> `ModelSpec`: by its catalogue name where its config agrees, else by the files that describe it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PureWindowsPath
from typing import Any

from bge_onnx._catalogue.adapter import adapted, config_folder
from bge_onnx._catalogue.modules import dense_modules
from bge_onnx._catalogue.spec import Head, ModelSpec, Pooling, Task
from bge_onnx._checkpoint.json_file import is_file
from bge_onnx.errors import AmbiguousModelError, UnsuitableModelError

__all__ = ["KnownModel", "agrees", "read_config", "read_folder", "recognise"]

# Families whose position ids start behind the padding id: two of the positions can never be used.
_OFFSET_FAMILIES = frozenset({"xlm-roberta", "xlm-roberta-xl", "roberta", "camembert", "data2vec-text", "mpnet"})
_ST_MODULES = frozenset({"Transformer", "Pooling", "Dense", "Normalize"})
_BERT_POSITIONS = 512


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A catalogue entry with the `model_type` its config.json must have; None where that is unknown."""

    spec: ModelSpec
    family: str | None


def read_folder(
    folder: Path,
    *,
    known: Sequence[KnownModel],
    task: Task,
    pooling: Pooling | None,
    query_instruction: str | None,
) -> ModelSpec:
    """The spec of the model in `folder`; see `bge_onnx._catalogue.registry.resolve_model` for arguments and errors."""
    config = read_config(folder)
    entry = recognise(folder, config, known)
    if entry is not None:
        return _overlay(entry.spec, folder, pooling)
    if not config and task == "embedding" and None in (pooling, query_instruction):
        raise AmbiguousModelError(
            f"{folder} has no config.json and no catalogue name in its path: pass pooling='cls' or 'mean' and "
            "query_instruction='...' ('' for none), add the model's config.json, or pass model='<catalogue name>' "
            f"(or a ModelSpec) with sources=[{str(folder)!r}]"
        )
    found = _task(folder, config, task)
    _refuse_decoder(folder, config)
    if found == "reranking":
        return _reranker(folder, config)
    if found != task:
        raise UnsuitableModelError(f"{folder.name} is an embedding model: open it with Embedder, it cannot rerank")
    return _embedder(folder, config, pooling, query_instruction)


def read_config(folder: Path) -> dict[str, Any]:
    """The folder's config.json, that of its base where it holds an adapter; empty if there is none."""
    return adapted(folder, _json(config_folder(folder) / "config.json"))


def recognise(folder: Path, config: Mapping[str, Any], known: Sequence[KnownModel]) -> KnownModel | None:
    """The entry whose name the path or config.json carries, provided that config.json does not contradict it."""
    origin = config.get("_name_or_path")
    stems = {path.stem for path in folder.glob("*.onnx")}
    parts = (folder.name, *reversed(folder.resolve().parts), *reversed(folder.parts))
    places = [*parts, *(reversed(PureWindowsPath(origin).parts) if isinstance(origin, str) else ())]
    if len(stems) == 1:
        places.append(*stems)
    for place in places:
        entry = _named(place, known)
        if entry is not None and agrees(entry, config):
            return entry
    return None


def agrees(entry: KnownModel, config: Mapping[str, Any]) -> bool:
    """Whether config.json, as far as it says anything, describes the entry's kind of model."""
    spec = entry.spec
    task = _stated_task(config)
    if task is not None and task != spec.task:
        return False
    if entry.family is not None and config.get("model_type", entry.family) != entry.family:
        return False
    return spec.task == "reranking" or config.get("hidden_size", spec.dimension) == spec.dimension


def _named(place: str, known: Sequence[KnownModel]) -> KnownModel | None:
    """The entry with the longest name that stands in `place`, bounded by anything but letters and digits."""
    best: KnownModel | None = None
    length = 0
    for entry in known:
        for name in {entry.spec.name, *(weights.repository for weights in entry.spec.weights)}:
            short = name.rpartition("/")[2]
            # A version behind the name makes it the name of another model: "bge-small-en-v2" is not "bge-small-en".
            pattern = rf"(?<![a-z0-9]){re.escape(short)}(?![a-z0-9]|[-_.]?v\d)"
            if len(short) > length and re.search(pattern, place, re.IGNORECASE):
                best, length = entry, len(short)
    return best


def _overlay(spec: ModelSpec, folder: Path, pooling: Pooling | None) -> ModelSpec:
    """A catalogue entry with what the folder itself states: a fine-tuned model may differ from its namesake."""
    if spec.task == "reranking":
        return spec
    prompts = _prompts(folder)
    dense = dense_modules(folder)
    return replace(
        spec,
        dimension=dense[-1].outputs if dense else spec.dimension,
        pooling=pooling or _pooling(folder) or spec.pooling,
        query_instruction=prompts[0] or spec.query_instruction,
        passage_instruction=prompts[1] or spec.passage_instruction,
    )


def _embedder(
    folder: Path, config: Mapping[str, Any], pooling: Pooling | None, query_instruction: str | None
) -> ModelSpec:
    _refuse_extra_modules(folder)
    dense = dense_modules(folder)
    dimension = dense[-1].outputs if dense else config.get("hidden_size") or _output_width(folder)
    if dimension is not None and (not isinstance(dimension, int) or isinstance(dimension, bool) or dimension < 1):
        raise UnsuitableModelError(f"{folder / 'config.json'}: hidden_size must be a whole number, got {dimension!r}")
    if dimension is None:
        raise AmbiguousModelError(
            f"{folder} does not say how long its vectors are (no hidden_size in config.json); pass a ModelSpec with "
            "dimension="
        )
    heads = _heads(folder)
    settled_pooling = pooling or _pooling(folder)
    if settled_pooling is None:
        raise AmbiguousModelError(
            f"{folder} does not say how to pool (no 1_Pooling/config.json); pass pooling='cls' or pooling='mean'"
        )
    query, passage = _prompts(folder)
    if query_instruction is not None:
        query = query_instruction
    elif query is None and "lexical" in heads:
        query = ""  # the head files mark a bge-m3, and bge-m3 takes no instruction
    if query is None:
        raise AmbiguousModelError(
            f"{folder} does not say which instruction its queries need (no query prompt in "
            "config_sentence_transformers.json); pass query_instruction='...', or query_instruction='' for none"
        )
    return ModelSpec(
        name=folder.name,
        dimension=dimension,
        query_instruction=query,
        passage_instruction=passage or "",
        max_tokens=_max_tokens(folder, config),
        pooling=settled_pooling,
        heads=heads,
    )


def _output_width(folder: Path) -> int | None:
    """Size of the last axis of the graph's first output, where the folder holds one graph and it is fixed."""
    graphs = [*folder.glob("*.onnx"), *folder.glob("onnx/*.onnx")]
    if len(graphs) != 1:
        return None
    import onnx  # late: folders without config.json are rare

    try:
        outputs = onnx.load(graphs[0], load_external_data=False).graph.output
    except Exception:  # protobuf's own class; ONNX Runtime will say what is wrong with the file
        return None
    axes = outputs[0].type.tensor_type.shape.dim if outputs else []
    return axes[-1].dim_value or None if axes else None


def _reranker(folder: Path, config: Mapping[str, Any]) -> ModelSpec:
    return ModelSpec(
        name=folder.name,
        task="reranking",
        dimension=1,
        query_instruction="",
        max_tokens=_max_tokens(folder, config),
        heads=("logit",),
    )


def _task(folder: Path, config: Mapping[str, Any], asked: Task) -> Task:
    return _stated_task(config) or ("embedding" if _pooling_file(folder).is_file() else asked)


def _stated_task(config: Mapping[str, Any]) -> Task | None:
    architectures = _strings(config.get("architectures"))
    if any(name.endswith("ForSequenceClassification") for name in architectures):
        return "reranking"
    return "embedding" if architectures else None


def _refuse_decoder(folder: Path, config: Mapping[str, Any]) -> None:
    causal = [name for name in _strings(config.get("architectures")) if name.endswith(("ForCausalLM", "LMHeadModel"))]
    if causal or config.get("is_decoder") is True:
        kind = causal[0] if causal else config.get("model_type", "decoder")
        raise UnsuitableModelError(f"{folder} holds a decoder ({kind}); only encoder-only BGE models are supported")


def _refuse_extra_modules(folder: Path) -> None:
    for module in _json_list(folder / "modules.json"):
        kind = str(module.get("type", "")).rpartition(".")[2]
        if kind not in _ST_MODULES:
            raise UnsuitableModelError(f"{folder} has a {kind!r} module behind its encoder, which is not supported")


def _heads(folder: Path) -> tuple[Head, ...]:
    def has(stem: str) -> bool:
        return any((folder / f"{stem}{suffix}").is_file() for suffix in (".pt", ".safetensors"))

    lexical: tuple[Head, ...] = ("lexical",) if has("sparse_linear") else ()
    colbert: tuple[Head, ...] = ("colbert",) if has("colbert_linear") else ()
    return ("dense", *lexical, *colbert)


def _pooling_file(folder: Path) -> Path:
    for module in _json_list(folder / "modules.json"):
        if str(module.get("type", "")).endswith(".Pooling"):
            return folder / str(module.get("path", "1_Pooling")) / "config.json"
    return folder / "1_Pooling" / "config.json"


def _pooling(folder: Path) -> Pooling | None:
    config = _json(_pooling_file(folder))
    prefix = "pooling_mode_"
    modes = [key.removeprefix(prefix) for key, on in config.items() if key.startswith(prefix) and on is True]
    named = config.get("pooling_mode")
    modes = modes or ([named] if isinstance(named, str) else _strings(named))
    if not modes:
        return None
    if modes in (["cls_token"], ["cls"]):
        return "cls"
    if modes in (["mean_tokens"], ["mean"]):
        return "mean"
    raise UnsuitableModelError(
        f"{folder} pools with {' + '.join(modes)}; only CLS and mean pooling are supported (pooling='cls' or 'mean' "
        "overrides)"
    )


def _prompts(folder: Path) -> tuple[str | None, str | None]:
    """The query and the passage instruction that the folder states; None for what it leaves open."""
    prompts = _json(folder / "config_sentence_transformers.json").get("prompts")
    if not isinstance(prompts, dict) or not any(prompts.values()):
        return None, None  # sentence-transformers writes empty prompts for every model: they say nothing
    query = prompts.get("query")
    passage = prompts.get("document", prompts.get("passage"))
    return (query if isinstance(query, str) else None), (passage if isinstance(passage, str) else None)


def _max_tokens(folder: Path, config: Mapping[str, Any]) -> int:
    positions = config.get("max_position_embeddings")
    if isinstance(positions, int):
        positions -= 2 if str(config.get("model_type")) in _OFFSET_FAMILIES else 0
    tokenizer = _json(folder / "tokenizer_config.json") or _json(config_folder(folder) / "tokenizer_config.json")
    limits = [
        positions,
        tokenizer.get("model_max_length"),
        _json(folder / "sentence_bert_config.json").get("max_seq_length"),
    ]
    return min((int(limit) for limit in limits if isinstance(limit, int | float)), default=_BERT_POSITIONS)


def _strings(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _json(path: Path) -> dict[str, Any]:
    value = _load(path)
    return value if isinstance(value, dict) else {}


def _json_list(path: Path) -> list[dict[str, Any]]:
    value = _load(path)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _load(path: Path) -> object:
    if not is_file(path):  # reading a pipe would wait for ever
        return None
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return None
    try:
        return json.loads(text)
    except ValueError as error:
        raise UnsuitableModelError(f"{path} is not valid JSON: {error}") from error
