"""Is a folder that was not named as a model the one that is looked for?"""

from __future__ import annotations

from pathlib import Path

from bge_onnx._catalogue.folder import read_statement
from bge_onnx._catalogue.identity import agrees, speaks_of
from bge_onnx._catalogue.names import KnownModel, hub_cache_id
from bge_onnx._catalogue.registry import catalogue_entry, known_models
from bge_onnx._repository.errors import SourceError
from bge_onnx._repository.files import ModelFiles
from bge_onnx._repository.request import Request

__all__ = ["refuse_other_model"]


def refuse_other_model(root: Path, files: ModelFiles, request: Request) -> None:
    """Refuse a root folder that holds a model which its name, config or digest tells to be another.

    Raises:
        SourceError: If it does.
    """
    short = request.name.rpartition("/")[2]
    if files.paths["model"].stem in (short, f"{short}-q"):
        return
    known = request.expected(files.paths["model"].relative_to(root).as_posix())
    verdict = known == files.digests["model"] if known is not None else _told(root, request.name)
    if not verdict:
        raise SourceError(f"it holds another model; if it is {request.name}, pass the folder as model=")


def _told(root: Path, name: str) -> bool:
    if hub_cache_id(root) is not None:
        return hub_cache_id(root) == name
    entry = speaks_of(root, known_models())
    if entry is not None:
        return entry.spec.name.casefold() == name.casefold()
    spec = catalogue_entry(name)
    return spec is None or agrees(KnownModel(spec, None), read_statement(root, pooling="cls").config)
