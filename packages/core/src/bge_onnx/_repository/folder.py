"""A folder of the user's: which of its files are the model, in the layouts that people have on disk."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bge_onnx._cache.digest import combined, sha256_of
from bge_onnx._catalogue.entries import catalogue
from bge_onnx._catalogue.modules import dense_modules
from bge_onnx._catalogue.spec import FileRole, ModelSpec, Precision
from bge_onnx._checkpoint.folder import (
    ADAPTER,
    ADAPTER_WEIGHTS,
    WEIGHTS,
    BaseFinder,
    CheckpointFiles,
    find_checkpoint,
)
from bge_onnx._checkpoint.json_file import is_file
from bge_onnx._heads.dense import dense_weights
from bge_onnx._repository.external import external_files
from bge_onnx._repository.files import ModelFiles
from bge_onnx._text.vocabulary import BESIDE_VOCABULARY, VOCABULARIES
from bge_onnx.errors import BGEError, WeightsError

__all__ = ["has_weights", "open_folder"]

_PUBLISHED: tuple[Precision, ...] = ("fp32", "fp16", "int8-dynamic")
_NAMES: dict[Precision, tuple[str, ...]] = {
    "fp32": ("model.onnx",),
    "fp16": ("model_fp16.onnx",),
    "int8-dynamic": ("model_quantized.onnx", "model_int8.onnx"),
}
_JAR_SUFFIX: dict[Precision, str] = {"fp32": "", "int8-dynamic": "-q"}
_OTHER_PRECISION = re.compile(r"(fp16|f16|bf16|u?int8|quantized|q4f?1?6?|q8|bnb4|[-_]q)$", re.IGNORECASE)


def has_weights(folder: Path, spec: ModelSpec, precision: Precision) -> bool:
    """Whether the folder holds a model of that precision: a graph, or weights that a graph can be made of."""
    if _model_file(folder, spec, precision) is not None:
        return True
    return precision == "fp32" and any(is_file(folder / name) for name in (ADAPTER, *WEIGHTS))


def open_folder(
    folder: Path,
    spec: ModelSpec,
    precision: Precision,
    *,
    file: str | None = None,
    find_base: BaseFinder | None = None,
) -> ModelFiles:
    """The model's files in `folder`, hashed.

    Where a folder has both a graph and a checkpoint, the graph is taken if it is one that the catalogue knows by its
    digest; else the checkpoint, which says everything about itself.

    Args:
        folder: The folder.
        spec: What the model is.
        precision: As published; a checkpoint counts as "fp32", whatever its tensors are stored as.
        file: Which file is the model, relative to `folder`; None to choose as above.
        find_base: Fetches the base of a LoRA adapter that names a hub id.

    Raises:
        WeightsError: If the model file, its tokenizer or a file with its external data is missing; the message says
            what the folder does hold.
        UnsuitableModelError: If the checkpoint is none that can be served.
    """
    choice = _chosen(folder, spec, precision, find_base) if file is None else _named(folder, file, precision, find_base)
    places = [folder] if choice.checkpoint is None else [folder, choice.checkpoint.folder]
    files: dict[FileRole, list[Path]] = {"model": list(choice.files)}
    if choice.checkpoint is None and (data := _external_data(choice.model)):
        files["data"] = data
    files["tokenizer"] = _tokenizer(places, spec, choice)
    heads: tuple[FileRole, ...] = ("sparse_linear", "colbert_linear")
    for role in heads:
        heads_at = (place / f"{role}{suffix}" for place in places for suffix in (".pt", ".safetensors"))
        if (head := _first(heads_at)) is not None:
            files[role] = [head]
    modules = dense_modules(folder) if spec.task == "embedding" else ()
    dense = [dense_weights(module.folder) for module in modules]
    digests = {role: combined(sha256_of(path) for path in paths) for role, paths in files.items()}
    if dense:
        files["dense"] = dense
        steps = (f"{sha256_of(path)} {module.activation}" for path, module in zip(dense, modules, strict=True))
        digests["dense"] = hashlib.sha256("\n".join(steps).encode()).hexdigest()
    if choice.checkpoint is not None:
        digests["model"] = combined([digests["model"], choice.checkpoint.facts])
    return ModelFiles(
        paths={role: paths[0] for role, paths in files.items()} | {"model": choice.model},
        digests=digests,
        source=f"folder {folder}{choice.reason}",
        folder=folder,
        checkpoint=choice.checkpoint,
        dense=tuple(dense),
    )


@dataclass(frozen=True, slots=True)
class _Choice:
    """Which files are the model, and why where there was a choice."""

    model: Path
    files: tuple[Path, ...]
    checkpoint: CheckpointFiles | None = None
    reason: str = ""


def _chosen(folder: Path, spec: ModelSpec, precision: Precision, find_base: BaseFinder | None) -> _Choice:
    graph = _model_file(folder, spec, precision)
    weights = precision == "fp32" and any(is_file(folder / name) for name in (ADAPTER, *WEIGHTS))
    if graph is None:
        found = find_checkpoint(folder, find_base=find_base) if weights else None
        if found is None:
            raise WeightsError(_lacking(folder, spec, precision))
        return _Choice(found.model, found.files, found)
    if not weights:
        return _Choice(graph, (graph,))
    name = graph.relative_to(folder).as_posix()
    if sha256_of(graph) in _known_graphs(spec):
        return _Choice(graph, (graph,), None, f": {name}, whose digest the catalogue knows")
    try:
        found = find_checkpoint(folder, find_base=find_base)
    except BGEError as error:
        return _Choice(graph, (graph,), None, f": {name}, because the checkpoint beside it cannot be served ({error})")
    if found is None:
        return _Choice(graph, (graph,))
    why = f": {found.model.name}, because the catalogue does not know {name} beside it"
    return _Choice(found.model, found.files, found, why)


def _named(folder: Path, file: str, precision: Precision, find_base: BaseFinder | None) -> _Choice:
    parts = PurePosixPath(file).parts
    if not parts or file.startswith("/") or ".." in parts or "\\" in file or not is_file(folder / file):
        held = ", ".join(_held(folder)) or "no weights"
        raise WeightsError(f"{folder} holds no file {file!r}; file= can be one of {held}")
    if file.endswith(".onnx"):
        return _Choice(folder / file, (folder / file,), None, f": {file}, as asked for")
    if precision != "fp32":
        raise WeightsError(f"{folder / file} is a checkpoint, of which no {precision} is made; pass 'fp32' or 'int8'")
    place = (folder / file).parent
    found = find_checkpoint(place, file=parts[-1], find_base=find_base)
    if found is None:
        raise WeightsError(f"{folder / file} is no checkpoint")
    return _Choice(found.model, found.files, found, f": {file}, as asked for")


def _held(folder: Path) -> list[str]:
    graphs = [*folder.glob("*.onnx"), *folder.glob("onnx/*.onnx")]
    weights = [folder / name for name in (*WEIGHTS, *ADAPTER_WEIGHTS)]
    return sorted(path.relative_to(folder).as_posix() for path in (*graphs, *weights) if is_file(path))


def _known_graphs(spec: ModelSpec) -> set[str]:
    specs = (spec, *(known.spec for known in catalogue()))
    files = (file for each in specs for weights in each.weights for file in weights.files)
    return {file.sha256 for file in files if file.role == "model" and file.sha256 is not None}


def _tokenizer(places: list[Path], spec: ModelSpec, choice: _Choice) -> list[Path]:
    """The file to read the tokenizer from, and those beside it that change what it does."""
    for place in places:
        found = _first(_tokenizer_candidates(place, spec, choice.model))
        if found is not None:
            return [found]
        for name in VOCABULARIES:
            if is_file(place / name):
                return [place / name, *(place / other for other in BESIDE_VOCABULARY if is_file(place / other))]
    named = ", ".join(("tokenizer.json", *VOCABULARIES))
    raise WeightsError(f"{places[0]} has no tokenizer: none of {named}; copy the model's own there")


def _model_file(folder: Path, spec: ModelSpec, precision: Precision) -> Path | None:
    return _first(_model_candidates(folder, spec, precision))


def _model_candidates(folder: Path, spec: ModelSpec, precision: Precision) -> Iterator[Path]:
    for weights in spec.weights:
        if weights.precision == precision:
            yield from (folder / file.path for file in weights.files if file.role == "model")
    for name in _NAMES.get(precision, ()):
        yield folder / "onnx" / name
        yield folder / name
    if precision in _JAR_SUFFIX:
        yield folder / f"{_short(spec)}{_JAR_SUFFIX[precision]}.onnx"
    if precision == "fp32":
        only = [*folder.glob("*.onnx"), *folder.glob("onnx/*.onnx")]
        if len(only) == 1 and not _OTHER_PRECISION.search(only[0].stem):
            yield only[0]


def _tokenizer_candidates(folder: Path, spec: ModelSpec, model: Path) -> Iterator[Path]:
    yield folder / f"{model.stem}-tokenizer.json"
    yield folder / f"{_short(spec)}-tokenizer.json"
    yield folder / "tokenizer.json"
    yield folder / "onnx" / "tokenizer.json"


def _external_data(model: Path) -> list[Path]:
    data = [model.parent / location for location in external_files(model)]
    missing = [path.name for path in data if not path.is_file()]
    if missing:
        raise WeightsError(f"{model} keeps its tensors in {', '.join(missing)}, missing beside it; copy them there")
    return data


def _lacking(folder: Path, spec: ModelSpec, precision: Precision) -> str:
    held = [name for name in _PUBLISHED if has_weights(folder, spec, name)]
    if held:
        return f"{folder} has no {precision} weights, only {', '.join(held)}; pass precision={held[0]!r}"
    onnx = sorted(path.name for path in (*folder.glob("*.onnx"), *folder.glob("onnx/*.onnx")))
    names = ", ".join(onnx) if onnx else "no .onnx file"
    wanted = ", ".join((f"onnx/{_NAMES['fp32'][0]}", *WEIGHTS))
    return f"{folder} has no {precision} weights: it holds {names}, and {wanted} were looked for"


def _first(paths: Iterator[Path]) -> Path | None:
    return next((path for path in paths if path.is_file()), None)


def _short(spec: ModelSpec) -> str:
    return spec.name.rpartition("/")[2]
