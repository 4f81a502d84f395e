"""The files of one choice, one after another: the small ones first, so that what cannot serve is refused early."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath

from bge_onnx._repository.choice import Choice
from bge_onnx._repository.errors import SourceError
from bge_onnx._repository.index import shards
from bge_onnx._repository.onnx_file import GraphError, external_files
from bge_onnx._repository.request import Request
from bge_onnx.errors import UnsuitableModelError

__all__ = ["gather", "parts_of"]


def gather(request: Request, choice: Choice, get: Callable[[str], Path]) -> tuple[Path, list[str]]:
    """Bring all files of a choice.

    Args:
        request: What is asked for.
        choice: The files that are wanted.
        get: Brings one file and says where it is; all of them keep their places relative to each other.

    Returns:
        The folder of the files, and the paths of the files.

    Raises:
        SourceError: If a file does not come, or is no good.
    """
    described = request.described or choice.needs_descriptions
    small = [*choice.descriptions] if described else []
    small += [path for path in (choice.tokenizer, *choice.heads.values()) if path is not None and path not in small]
    folder: Path | None = None
    for path in small:
        folder = _root(get(path), path)
    if described and folder is not None:
        request.look(folder, choice.form)
    model = get(choice.model)
    try:
        parts = parts_of(model, choice)
    except (GraphError, UnsuitableModelError) as error:
        raise SourceError(f"{choice.model} cannot be used: {error}") from error
    for path in parts:
        get(path)
    return _root(model, choice.model), [*small, choice.model, *parts]


def parts_of(model: Path, choice: Choice) -> list[str]:
    """Paths of the further files that hold tensors: external data of a graph, shards of a checkpoint.

    Raises:
        GraphError: If the graph is none, or keeps tensors elsewhere.
        UnsuitableModelError: If the index of the shards is none, or names files elsewhere.
    """
    beside: tuple[str, ...] = ()
    if choice.form == "onnx":
        beside = external_files(model)
    elif choice.model.endswith(".index.json"):
        beside = tuple(shards(model))
    return [(PurePosixPath(choice.model).parent / location).as_posix() for location in beside]


def _root(file: Path, path: str) -> Path:
    """The folder that `path` is relative to, from where the file of that path lies."""
    return file.parents[len(PurePosixPath(path).parts) - 1]
