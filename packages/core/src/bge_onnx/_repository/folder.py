"""A folder of the user's: which of its files are the model, in the layouts that people have on disk."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from bge_onnx._cache.digest import combined, sha256_of
from bge_onnx._catalogue.spec import FileRole, ModelSpec, Precision
from bge_onnx._repository.external import external_files
from bge_onnx._repository.files import ModelFiles
from bge_onnx.errors import WeightsError

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
    """Whether the folder holds a model file of that precision."""
    return _model_file(folder, spec, precision) is not None


def open_folder(folder: Path, spec: ModelSpec, precision: Precision) -> ModelFiles:
    """The model's files in `folder`, hashed.

    Raises:
        WeightsError: If the model file, its tokenizer or a file with its external data is missing; the message says
            what the folder does hold.
    """
    model = _model_file(folder, spec, precision)
    if model is None:
        raise WeightsError(_lacking(folder, spec, precision))
    tokenizer = _first(_tokenizer_candidates(folder, spec, model))
    if tokenizer is None:
        raise WeightsError(f"{folder} has no tokenizer.json; copy the model's own there")
    files: dict[FileRole, list[Path]] = {"model": [model]}
    if data := _external_data(model):
        files["data"] = data
    files["tokenizer"] = [tokenizer]
    heads: tuple[FileRole, ...] = ("sparse_linear", "colbert_linear")
    for role in heads:
        if (head := _first(folder / f"{role}{suffix}" for suffix in (".pt", ".safetensors"))) is not None:
            files[role] = [head]
    return ModelFiles(
        paths={role: paths[0] for role, paths in files.items()},
        digests={role: combined(sha256_of(path) for path in paths) for role, paths in files.items()},
        source=f"folder {folder}",
        folder=folder,
    )


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
    return f"{folder} has no {precision} weights: it holds {names}, and onnx/{_NAMES['fp32'][0]} was looked for"


def _first(paths: Iterator[Path]) -> Path | None:
    return next((path for path in paths if path.is_file()), None)


def _short(spec: ModelSpec) -> str:
    return spec.name.rpartition("/")[2]
