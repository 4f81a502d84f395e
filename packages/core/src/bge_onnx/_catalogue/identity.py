"""A folder -> `ModelSpec`: what it states itself, and for what it leaves open, what its name or content answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bge_onnx._catalogue.folder import Statement, adapter_base, read_statement
from bge_onnx._catalogue.json_file import whole
from bge_onnx._catalogue.names import KnownModel, last_part, named, own_name, spoken_of
from bge_onnx._catalogue.spec import ModelSpec, Pooling, Task
from bge_onnx.errors import AmbiguousModelError, UnsuitableModelError

__all__ = ["Identity", "agrees", "identify", "speaks_of"]

_BERT_POSITIONS = 512
_GRAPHS = ("onnx/model.onnx", "model.onnx")
_ENCODERS = frozenset({"bert", "xlm-roberta"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a model is, and who said so.

    Attributes:
        spec: What it is.
        origins: For "pooling", "query_instruction" and "max_tokens": "argument", "folder", or "catalogue" with the
            entry and what it was recognised by.
    """

    spec: ModelSpec
    origins: Mapping[str, str] = field(default_factory=dict)


def identify(
    folder: Path,
    *,
    known: Sequence[KnownModel],
    task: Task,
    pooling: Pooling | None = None,
    query_instruction: str | None = None,
    name: str | None = None,
    form: Literal["onnx", "checkpoint", "adapter"] = "onnx",
    by_content: Callable[[], KnownModel | None] = lambda: None,
    base_of: Callable[[str, str | None, Path], Path] | None = None,
) -> Identity:
    """Find out what is in a folder.

    Args:
        folder: The folder.
        known: The catalogue.
        task: What the model is to be used for.
        pooling: The user's word, before everything else.
        query_instruction: Likewise; "" for none.
        name: What the model is called where the folder's own name is not it: a hub id.
        form: What the weights are, which decides what may stand behind the encoder.
        by_content: Recognises the weights; called only where something is open.
        base_of: Where an adapter's base is, from its name, its revision and the adapter's folder.

    Raises:
        AmbiguousModelError: If a folder leaves open what a vector depends on, and nothing answers.
        UnsuitableModelError: If the model serves another task or cannot be served.
    """
    said = read_statement(folder, pooling=pooling)
    hints: list[KnownModel | None] = [named(name, known)] if name is not None else [*spoken_of(folder, known)]
    base = adapter_base(folder)
    if base is not None:
        said, place = _over_its_base(folder, said, base, pooling, base_of)
        hints.append(named(last_part(base[0]), known))
        hints += spoken_of(place, known) if place is not None else []
    _refuse_family(folder, said, form)
    by_name = _first(hints, said)
    found = said.task or (by_name.spec.task if by_name is not None else task)
    called = name or own_name(folder)
    if found == "reranking":
        return _reranker(called, said, by_name)
    if found != task:
        raise UnsuitableModelError(f"{called} is an embedding model: open it with Embedder, it cannot rerank")
    answers = _Answers(folder, name or str(folder), said, known, by_name, by_content)
    return answers.embedder(called, pooling, query_instruction)


def agrees(entry: KnownModel, config: Mapping[str, Any]) -> bool:
    """Whether config.json, as far as it says anything, describes the entry's kind of model."""
    spec = entry.spec
    architectures = config.get("architectures")
    names = [name for name in architectures if isinstance(name, str)] if isinstance(architectures, list) else []
    if names and any(name.endswith("ForSequenceClassification") for name in names) != (spec.task == "reranking"):
        return False
    if entry.family is not None and config.get("model_type", entry.family) != entry.family:
        return False
    return spec.task == "reranking" or config.get("hidden_size", spec.dimension) == spec.dimension


def speaks_of(folder: Path, known: Sequence[KnownModel]) -> KnownModel | None:
    """The entry that a folder's own name or config speaks of, unless its config contradicts it."""
    said = read_statement(folder, pooling="cls")
    return _first([*spoken_of(folder, known), named(last_part(said.origin or ""), known)], said)


class _Answers:
    """The answers to what one embedding model's folder leaves open, each with who gave it."""

    def __init__(
        self,
        folder: Path,
        place: str,
        said: Statement,
        known: Sequence[KnownModel],
        by_name: KnownModel | None,
        by_content: Callable[[], KnownModel | None],
    ) -> None:
        self._folder = folder
        self._place = place
        self._said = said
        self._by_name = by_name
        self._origin = _first([named(last_part(said.origin or ""), known)], said)
        self._by_content = by_content
        self._recognised: list[KnownModel | None] = []
        self._origins: dict[str, str] = {}

    def embedder(self, name: str, pooling: Pooling | None, instruction: str | None) -> Identity:
        said = self._said
        if not said.config and self._kin(by_origin=False) is None and None in (pooling, instruction):
            raise AmbiguousModelError(
                f"{self._place} has no config.json and no model's name: add the model's config.json, or pass "
                "pooling='cls' or 'mean' and query_instruction=, the words its authors put before a query"
            )
        settled_pooling = self._pooling(pooling)
        query, passage = self._instruction(instruction)
        kin = self._recognised[0] if self._recognised else None
        if kin is None and self._by_name is not None and self._by_name.spec.name.casefold() == name.casefold():
            kin = self._by_name
        dimension, limit = said.dimension, said.max_tokens
        entry = kin or self._by_name
        if entry is not None and not said.dense:
            dimension = dimension or entry.spec.dimension
        if limit is None and entry is not None:
            limit = entry.spec.max_tokens
        dimension = dimension or _output_width(self._folder)
        if dimension is None:
            raise AmbiguousModelError(
                f"{self._place} does not say how long its vectors are (no hidden_size in config.json); pass a "
                "ModelSpec with dimension="
            )
        self._origins["max_tokens"] = "folder" if said.max_tokens is not None else "catalogue" if entry else "default"
        spec = ModelSpec(
            name=name,
            dimension=dimension,
            query_instruction=query,
            passage_instruction=passage,
            max_tokens=limit or _BERT_POSITIONS,
            pooling=settled_pooling,
            heads=said.heads if entry is None or len(said.heads) > 1 else entry.spec.heads,
            parameters=kin.spec.parameters if kin else None,
            license=kin.spec.license if kin else "",
            languages=kin.spec.languages if kin else (),
        )
        return Identity(spec=spec, origins=self._origins)

    def _pooling(self, argument: Pooling | None) -> Pooling:
        if argument is not None or self._said.pooling is not None:
            self._origins["pooling"] = "argument" if argument is not None else "folder"
            return argument or self._said.pooling or "cls"
        entry = self._kin(by_origin=False)
        if entry is not None:
            self._origins["pooling"] = self._of(entry)
            return entry.spec.pooling
        if "lexical" in self._said.heads:
            self._origins["pooling"] = "folder"
            return "cls"  # the head files mark a bge-m3
        raise AmbiguousModelError(
            f"{self._place} does not say how to pool (no 1_Pooling/config.json); pass pooling='cls' or pooling='mean'"
        )

    def _instruction(self, argument: str | None) -> tuple[str, str]:
        said = self._said
        passage = said.passage_instruction
        if argument is not None:
            self._origins["query_instruction"] = "argument"
            return argument, passage or ""
        if said.query_instruction is not None:
            self._origins["query_instruction"] = "folder"
            return said.query_instruction, passage or ""
        if "lexical" in said.heads:
            self._origins["query_instruction"] = "folder"
            return "", passage or ""  # the head files mark a bge-m3, and bge-m3 takes no instruction
        entry = self._kin(by_origin=True)
        if entry is None:
            raise AmbiguousModelError(
                f"{self._place} does not say which instruction its queries need (no query prompt in "
                "config_sentence_transformers.json); look it up where the model was trained, a fine-tuned BGE keeps "
                "that of its base (see get_model), and pass query_instruction="
            )
        self._origins["query_instruction"] = self._of(entry)
        return entry.spec.query_instruction, passage if passage is not None else entry.spec.passage_instruction

    def _kin(self, *, by_origin: bool) -> KnownModel | None:
        """The entry that answers what is open: of the same weights, of that name, or what it was trained from."""
        if not self._recognised:
            self._recognised.append(self._by_content())
        return self._recognised[0] or self._by_name or (self._origin if by_origin else None)

    def _of(self, entry: KnownModel) -> str:
        if self._recognised and entry is self._recognised[0]:
            return f"catalogue ({entry.spec.name}, which has the same weights)"
        how = "by its name" if entry is self._by_name else "which it was trained from"
        return f"catalogue ({entry.spec.name}, {how})"


def _first(entries: Sequence[KnownModel | None], said: Statement) -> KnownModel | None:
    """The first entry that nothing in the folder speaks against."""
    for entry in entries:
        if entry is not None and agrees(entry, said.config) and said.pooling in (None, entry.spec.pooling):
            return entry
    return None


def _over_its_base(
    folder: Path,
    said: Statement,
    base: tuple[str, str | None],
    pooling: Pooling | None,
    base_of: Callable[[str, str | None, Path], Path] | None,
) -> tuple[Statement, Path | None]:
    """An adapter's statement with what only its base says, and the base's folder."""
    if base_of is None:
        return said, None
    place = base_of(base[0], base[1], folder)
    if place.resolve() == folder.resolve() or (place / "adapter_config.json").is_file():
        raise UnsuitableModelError(
            f"{folder}: the base of this adapter, {base[0]}, is the adapter itself or itself an adapter; "
            "name the model it was trained on in adapter_config.json"
        )
    below = read_statement(place, pooling=pooling)
    limits = [limit for limit in (said.max_tokens, below.max_tokens) if limit is not None]
    modular = (folder / "modules.json").is_file()  # then the base's modules do not count
    width = whole(below.config, "hidden_size", path=place / "config.json") if modular else below.dimension
    merged = Statement(
        config=said.config or below.config,
        task=said.task or below.task,
        dimension=said.dimension or width,
        max_tokens=min(limits, default=None),
        pooling=said.pooling or below.pooling,
        query_instruction=said.query_instruction if said.query_instruction is not None else below.query_instruction,
        passage_instruction=said.passage_instruction
        if said.passage_instruction is not None
        else below.passage_instruction,
        heads=said.heads if len(said.heads) > 1 else below.heads,
        origin=said.origin or below.origin,
        dense=said.dense or (below.dense and not modular),
    )
    return merged, place


def _refuse_family(folder: Path, said: Statement, form: str) -> None:
    family = said.config.get("model_type")
    if form == "onnx":
        if said.dense:
            raise UnsuitableModelError(
                f"{folder} has a 'Dense' module behind its encoder, which is not supported for an ONNX file; pass "
                "file='model.safetensors'"
            )
    elif said.config and family not in _ENCODERS:
        raise UnsuitableModelError(
            f"{folder}: model_type {family!r} is not supported; only {', '.join(sorted(_ENCODERS))} are"
            + next(
                (f"; pass file={name!r} to open the graph beside it" for name in _GRAPHS if (folder / name).is_file()),
                "",
            )
        )


def _reranker(name: str, said: Statement, entry: KnownModel | None) -> Identity:
    limit = said.max_tokens or (entry.spec.max_tokens if entry is not None else _BERT_POSITIONS)
    origins = {"max_tokens": "folder" if said.max_tokens else "catalogue" if entry else "default"}
    spec = ModelSpec(name=name, task="reranking", dimension=1, query_instruction="", max_tokens=limit, heads=("logit",))
    return Identity(spec=spec, origins=origins)


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
