"""Which of a repository's files are the model: the same rule for a folder, the hub and every other repository."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from bge_onnx._catalogue.spec import FileRole, Precision
from bge_onnx._repository.files import Form
from bge_onnx.errors import InputValueError, WeightsError

__all__ = [
    "CHECKPOINTS",
    "HEADS",
    "Choice",
    "choose",
    "form_of",
    "format_by_name",
    "head_role",
]

_PUBLISHED: tuple[Precision, ...] = ("fp32", "fp16", "int8-dynamic")
_OTHER = re.compile(r"q[1-6](?![0-9])|u?int4|bnb4|nf4|fp8|f8e|bf16|bfloat16", re.IGNORECASE)
_INT8 = re.compile(r"q?u?int8|quant|(?<![a-z0-9])q8|[-_]q$", re.IGNORECASE)
_FP16 = re.compile(r"(?<![a-z0-9])(fp16|f16|float16|half)(?![a-z0-9])|[-_]o4$", re.IGNORECASE)

# In order of preference. O1 to O3 are what optimum calls its levels of optimisation, all of them in fp32.
_ONNX: dict[Precision, tuple[str, ...]] = {
    "fp32": ("model", "{short}", "model_O3", "model_O2", "model_O1"),
    "fp16": ("model_fp16", "model_O4"),
    "int8-dynamic": ("model_quantized", "model_int8", "{short}-q"),
}
CHECKPOINTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_ADAPTERS = ("adapter_model.safetensors", "adapter_model.bin")
_INDEX = ".index.json"
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth")
_TOKENIZERS = ("tokenizer.json", "vocab.txt", "sentencepiece.bpe.model")
HEADS: tuple[FileRole, ...] = ("sparse_linear", "colbert_linear")

# What says what a model is, and what a checkpoint is read with.
_DESCRIPTIONS = (
    "config.json",
    "adapter_config.json",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "unigram.json",
)
_MODULE = re.compile(r"\d+(_\w+)?/(config\.json|model\.safetensors|pytorch_model\.bin)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The files that make a model.

    Attributes:
        model: Path of the weights: an ONNX file, a checkpoint or the index of its shards, or an adapter.
        form: Which of the three.
        tokenizer: Path of the tokenizer; None where an adapter leaves it to its base.
        heads: Role to path of bge-m3's head files.
        descriptions: Paths of the small files that say what the model is.
        why: Why these weights, where there are others; for people.
    """

    model: str
    form: Form
    tokenizer: str | None
    heads: Mapping[FileRole, str]
    descriptions: tuple[str, ...]
    why: str = ""

    @property
    def needs_descriptions(self) -> bool:
        """Whether the model cannot be read without the small files: a graph with a tokenizer.json can."""
        return self.form != "onnx" or (self.tokenizer is not None and not self.tokenizer.endswith(".json"))


def choose(
    paths: Collection[str],
    precision: Precision,
    *,
    file: str | None,
    short: str,
    place: str,
    trusted: str | None = None,
    prefer: Sequence[str] = (),
) -> Choice:
    """Choose among the files of one model.

    Args:
        paths: All of them, with forward slashes.
        precision: What is asked for, as published.
        file: The user's own choice; None for the rule: the graph whose digest the catalogue knows, else a checkpoint,
            else a graph.
        short: The model's name without its owner.
        place: Where the files are, for messages.
        trusted: Path of the graph whose content the catalogue knows, if one of them is.
        prefer: Paths that the catalogue names, tried before all others.

    Raises:
        InputValueError: If `file` is not a model file, or there is none of that name.
        WeightsError: If nothing there serves, or several do equally; the message names what there is.
    """
    model, why = _model(paths, precision, file, short, place, trusted, prefer)
    form = form_of(model)
    tokenizer = next((path for path in _tokenizers(model, short) if path in paths), None)
    if tokenizer is None and form != "adapter":
        raise WeightsError(
            f"{place} has no {', '.join(_TOKENIZERS[:-1])} or {_TOKENIZERS[-1]}; copy the model's own there"
        )
    heads = {role: path for role in HEADS for end in (".pt", ".safetensors") if (path := f"{role}{end}") in paths}
    return Choice(
        model=model, form=form, tokenizer=tokenizer, heads=heads, descriptions=tuple(_describing(paths)), why=why
    )


def _describing(paths: Collection[str]) -> Iterator[str]:
    """The small files among `paths` that say what a model is."""
    for path in sorted(paths):
        if path in _DESCRIPTIONS or path in _TOKENIZERS or path == "1_Pooling/config.json" or _MODULE.fullmatch(path):
            yield path


def format_by_name(path: str) -> Precision | None:
    """The number format that the name of an ONNX file claims; None for formats of fewer bits."""
    stem = PurePosixPath(path).stem
    if _OTHER.search(stem):
        return None
    if _INT8.search(stem):
        return "int8-dynamic"
    return "fp16" if _FP16.search(stem) else "fp32"


def _model(
    paths: Collection[str],
    precision: Precision,
    file: str | None,
    short: str,
    place: str,
    trusted: str | None,
    prefer: Sequence[str],
) -> tuple[str, str]:
    if file is not None:
        return _named(paths, file, place), f"file={file!r}"
    named = next((path for path in prefer if path in paths), None)
    if named is not None:
        return named, ""
    if "adapter_config.json" in paths and precision == "fp32":
        beside = any(path in CHECKPOINTS for path in paths)
        why = "an adapter goes before the whole model beside it; file= chooses another" if beside else ""
        return _adapter(paths, place), why
    graphs = [path for path in _graphs(paths) if format_by_name(path) == precision]
    stored = [path for path in CHECKPOINTS if path in paths] if precision == "fp32" else []
    if precision == "fp32" and trusted in graphs and trusted is not None:
        return trusted, "the catalogue knows this graph by its digest" if stored else ""
    if stored:
        return stored[0], "a checkpoint is what its author trained; file= chooses another" if graphs else ""
    preferred = [name.format(short=short) for name in _ONNX.get(precision, ())]
    ranked = [f"{folder}{name}.onnx" for name in preferred for folder in ("onnx/", "")]
    for path in ranked:
        if path in graphs:
            return path, ""
    if len(graphs) == 1:
        return graphs[0], ""
    if graphs:
        raise WeightsError(f"{place} has several {precision} files: {', '.join(graphs)}; pass file= to choose one")
    raise WeightsError(_lacking(paths, precision, place))


def _adapter(paths: Collection[str], place: str) -> str:
    found = next((path for path in _ADAPTERS if path in paths), None)
    if found is None:
        raise WeightsError(f"{place} has an adapter_config.json but no {_ADAPTERS[0]}; copy its weights there")
    return found


def _named(paths: Collection[str], file: str, place: str) -> str:
    if file in paths:
        if PurePosixPath(file).suffix == ".onnx" or file.endswith((*_WEIGHTS, _INDEX)):
            return file
        raise InputValueError(
            f"file={file!r} is not a weights file; pass an .onnx, .safetensors or .bin file of {place}"
        )
    held = sorted(path for path in paths if path.endswith((".onnx", *_WEIGHTS)))
    near = difflib.get_close_matches(file, held, n=4, cutoff=0.3) or held[:4]
    hint = f"it has {', '.join(near)}" if near else "it has no weights at all"
    raise InputValueError(f"{place} has no file {file!r}; {hint}")


def _lacking(paths: Collection[str], precision: Precision, place: str) -> str:
    graphs = sorted(_graphs(paths))
    held: dict[Precision, list[str]] = {name: [] for name in _PUBLISHED}
    for path in graphs:
        form = format_by_name(path)
        if form is not None:
            held[form].append(path)
    if precision != "fp32" and any(path in paths for path in (*CHECKPOINTS, *_ADAPTERS)):
        return f"{place} has no {precision} weights, but a checkpoint: pass precision='fp32' or 'int8'"
    others = [f"{name} ({', '.join(found)})" for name, found in held.items() if found]
    if others:
        best = next(name for name, found in held.items() if found)
        return f"{place} has no {precision} weights, only {', '.join(others)}; pass precision={best!r} or file="
    if graphs:
        return f"{place} has no {precision} weights, only {', '.join(graphs)}; pass file= to choose one"
    strangers = sorted(path for path in paths if path.endswith((*_WEIGHTS, ".gguf", ".h5", ".msgpack")))
    if strangers:
        return f"{place} has no weights that are known by name, only {', '.join(strangers[:4])}; pass file="
    return f"{place} has no weights: no .onnx file, model.safetensors or pytorch_model.bin"


def _graphs(paths: Collection[str]) -> list[str]:
    return sorted(path for path in paths if re.fullmatch(r"(onnx/)?[^/]+\.onnx", path))


def head_role(path: str) -> FileRole:
    """The role of one of bge-m3's head files."""
    return next(role for role in HEADS if PurePosixPath(path).name.startswith(role))


def form_of(model: str) -> Form:
    """What kind of weights a path is of."""
    if model.endswith(".onnx"):
        return "onnx"
    return "adapter" if PurePosixPath(model).name in _ADAPTERS else "checkpoint"


def _tokenizers(model: str, short: str) -> Iterator[str]:
    if model.endswith(".onnx"):
        stem = PurePosixPath(model).stem
        yield from (f"{stem}-tokenizer.json", f"{short}-tokenizer.json")
    yield "tokenizer.json"
    yield "onnx/tokenizer.json"
    yield from _TOKENIZERS[1:]
