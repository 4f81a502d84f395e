"""What a folder says about the model in it, and nothing else: no name, no catalogue, no guess."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bge_onnx._catalogue.json_file import flag, read_list, read_object, strings, text, whole
from bge_onnx._catalogue.spec import Head, Pooling, Task
from bge_onnx._shown import shown
from bge_onnx.errors import UnsuitableModelError

__all__ = ["Statement", "adapter_base", "read_statement"]

# Families whose position ids start behind the padding id: two of the positions can never be used.
_OFFSET_FAMILIES = frozenset({"xlm-roberta", "xlm-roberta-xl", "roberta", "camembert", "data2vec-text", "mpnet"})
_MODULES = frozenset({"Transformer", "Pooling", "Normalize", "Dense"})
_SHORTEST = 3  # tokens: the two special ones, and one of text


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What a folder states; None for what it leaves open.

    Attributes:
        config: Its config.json; empty where it has none.
        task: Told from the architecture.
        dimension: Components of its vectors.
        max_tokens: The smallest limit that any of its files states.
        pooling: From its pooling module.
        query_instruction: From its prompts.
        passage_instruction: From its prompts.
        heads: Told from bge-m3's head files.
        origin: Where it was trained from, as `config.json` remembers.
        dense: It has Dense modules behind its pooling.
    """

    config: Mapping[str, Any]
    task: Task | None
    dimension: int | None
    max_tokens: int | None
    pooling: Pooling | None
    query_instruction: str | None
    passage_instruction: str | None
    heads: tuple[Head, ...]
    origin: str | None
    dense: bool


def read_statement(folder: Path, *, pooling: Pooling | None = None) -> Statement:
    """Read what a folder states.

    Args:
        folder: A model's folder.
        pooling: The user's word, which settles a pooling module that cannot be served.

    Raises:
        UnsuitableModelError: If it states what cannot be served, or a file of it cannot be read.
    """
    path = folder / "config.json"
    config = read_object(path)
    text(config, "model_type", path=path)
    _refuse_decoder(folder, config)
    query, passage = _prompts(folder)
    dense = _dense_widths(folder)
    return Statement(
        config=config,
        task=_task(folder, config),
        dimension=dense[-1] if dense else whole(config, "hidden_size", path=path),
        max_tokens=_max_tokens(folder, config),
        pooling=pooling or _pooling(folder),
        query_instruction=query,
        passage_instruction=passage,
        heads=_heads(folder),
        origin=text(config, "_name_or_path", path=path),
        dense=bool(dense),
    )


def adapter_base(folder: Path) -> tuple[str, str | None] | None:
    """The base of a LoRA adapter and its revision, as the folder names them; None where the folder is not an adapter.

    Raises:
        UnsuitableModelError: If it is an adapter of another kind, or names no base.
    """
    path = folder / "adapter_config.json"
    config = read_object(path)
    if not config:
        return None
    kind = text(config, "peft_type", path=path) or "LORA"
    if kind != "LORA":
        raise UnsuitableModelError(
            f"{path}: peft_type {shown(kind)} is not supported; merge the adapter into its base and save"
        )
    base = text(config, "base_model_name_or_path", path=path)
    if not base:
        raise UnsuitableModelError(f"{path} names no base_model_name_or_path; add the base model's folder or hub id")
    return base, text(config, "revision", path=path)


def _task(folder: Path, config: Mapping[str, Any]) -> Task | None:
    architectures = strings(config.get("architectures"))
    if any(name.endswith("ForSequenceClassification") for name in architectures):
        return "reranking"
    if architectures:
        return "embedding"
    adapter = read_object(folder / "adapter_config.json").get("task_type")
    if adapter in ("SEQ_CLS", "FEATURE_EXTRACTION"):
        return "reranking" if adapter == "SEQ_CLS" else "embedding"
    return "embedding" if _pooling_file(folder).is_file() else None


def _refuse_decoder(folder: Path, config: Mapping[str, Any]) -> None:
    causal = [name for name in strings(config.get("architectures")) if name.endswith(("ForCausalLM", "LMHeadModel"))]
    if causal or flag(config, "is_decoder"):
        kind = causal[0] if causal else config.get("model_type", "decoder")
        raise UnsuitableModelError(
            f"{folder} holds a decoder ({str(kind)[:80]}); only encoder-only BGE models are supported"
        )


def _modules(folder: Path) -> list[tuple[str, str]]:
    """Kind and path of every module."""
    found = []
    for module in read_list(folder / "modules.json"):
        kind, path = str(module.get("type", "")).rpartition(".")[2], str(module.get("path", ""))
        if kind not in _MODULES:
            raise UnsuitableModelError(
                f"{folder} has a {kind[:80]!r} module behind its encoder, which is not supported"
            )
        if re.search(r"\.\.|[\\:\0]|^/", path) or len(path) > 200:
            raise UnsuitableModelError(f"{folder}/modules.json names a module outside the folder: {path[:80]!r}")
        found.append((kind, path))
    return found


def _dense_widths(folder: Path) -> list[int]:
    widths = []
    for kind, path in _modules(folder):
        if kind == "Dense":
            config = folder / path / "config.json"
            width = whole(read_object(config), "out_features", path=config)
            if width is None:
                raise UnsuitableModelError(f"{config} states no out_features; replace it by the model's own")
            widths.append(width)
    return widths


def _heads(folder: Path) -> tuple[Head, ...]:
    def has(stem: str) -> bool:
        return any((folder / f"{stem}{suffix}").is_file() for suffix in (".pt", ".safetensors"))

    lexical: tuple[Head, ...] = ("lexical",) if has("sparse_linear") else ()
    colbert: tuple[Head, ...] = ("colbert",) if has("colbert_linear") else ()
    return ("dense", *lexical, *colbert)


def _pooling_file(folder: Path) -> Path:
    for kind, path in _modules(folder):
        if kind == "Pooling":
            return folder / (path or "1_Pooling") / "config.json"
    return folder / "1_Pooling" / "config.json"


def _pooling(folder: Path) -> Pooling | None:
    config = read_object(_pooling_file(folder))
    prefix = "pooling_mode_"
    modes = [key.removeprefix(prefix) for key, on in config.items() if key.startswith(prefix) and on is True]
    stated = config.get("pooling_mode")
    modes = modes or ([stated] if isinstance(stated, str) else strings(stated))
    if not modes:
        return None
    if modes in (["cls_token"], ["cls"]):
        return "cls"
    if modes in (["mean_tokens"], ["mean"]):
        if config.get("include_prompt") is False:
            raise UnsuitableModelError(
                f"{folder} leaves the prompt out of its mean (include_prompt in 1_Pooling/config.json), which is not "
                "supported; pooling='mean' takes it in"
            )
        return "mean"
    raise UnsuitableModelError(
        f"{folder} pools with {' + '.join(modes)}; only CLS and mean pooling are supported (pooling='cls' or 'mean' "
        "overrides)"
    )


def _prompts(folder: Path) -> tuple[str | None, str | None]:
    """The query and the passage instruction that the folder states; None for what it leaves open."""
    path = folder / "config_sentence_transformers.json"
    prompts = read_object(path).get("prompts")
    if not isinstance(prompts, dict) or not any(prompts.values()):
        return None, None  # sentence-transformers writes empty prompts for every model: they say nothing
    # sentence-transformers' encode_document takes the first of these that there is
    passage = next((name for name in ("document", "passage", "corpus") if name in prompts), "document")
    return text(prompts, "query", path=path), text(prompts, passage, path=path)


def _max_tokens(folder: Path, config: Mapping[str, Any]) -> int | None:
    path = folder / "config.json"
    positions = whole(config, "max_position_embeddings", path=path, least=_SHORTEST)
    if positions is not None and text(config, "model_type", path=path) in _OFFSET_FAMILIES:
        padding = whole(config, "pad_token_id", path=path, least=0)
        positions -= (1 if padding is None else padding) + 1
    stated = [positions]
    for name, key in (("tokenizer_config.json", "model_max_length"), ("sentence_bert_config.json", "max_seq_length")):
        stated.append(whole(read_object(folder / name), key, path=folder / name, least=_SHORTEST))
    limit = min((limit for limit in stated if limit is not None), default=None)
    if limit is not None and limit < _SHORTEST:
        raise UnsuitableModelError(f"{path} leaves {limit} tokens a text; at least {_SHORTEST} are needed")
    return limit
