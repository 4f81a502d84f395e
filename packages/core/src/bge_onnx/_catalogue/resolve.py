"""What does a user mean by `model`? A folder, a name or a spec, with the user's own words over what they say."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import get_args

from bge_onnx import checks
from bge_onnx._cache.place import expanded, is_folder
from bge_onnx._catalogue.entries import checked
from bge_onnx._catalogue.identity import Identity, identify
from bge_onnx._catalogue.registry import get_model, known_models, name_of
from bge_onnx._catalogue.spec import ModelSpec, Pooling, Task
from bge_onnx._regular import read_regular
from bge_onnx.errors import InputValueError, UnknownModelError, UnsuitableModelError

__all__ = ["check_arguments", "from_catalogue", "place_of", "resolve_model", "settled"]


def settled(
    identity: Identity, *, task: Task, pooling: Pooling | None = None, query_instruction: str | None = None
) -> Identity:
    """An identity with the user's own words over it.

    Raises:
        UnsuitableModelError: If the model serves another task.
    """
    spec, origins = identity.spec, dict(identity.origins)
    if spec.task != task:
        raise UnsuitableModelError(_wrong_task(spec))
    if pooling is not None:
        spec, origins["pooling"] = replace(spec, pooling=pooling), "argument"
    if query_instruction is not None:
        spec, origins["query_instruction"] = replace(spec, query_instruction=query_instruction), "argument"
    return Identity(spec=spec, origins=origins)


def from_catalogue(spec: ModelSpec, word: str = "catalogue") -> Identity:
    """The identity of a model that is known before its files are."""
    return Identity(spec=spec, origins=dict.fromkeys(("pooling", "query_instruction", "max_tokens"), word))


def check_arguments(pooling: object, instruction: object) -> None:
    """Refuse overrides that cannot be.

    Raises:
        InputTypeError: If `query_instruction` is not a string.
        InputValueError: If there is no such pooling.
    """
    checks.choice("pooling", pooling, allowed=get_args(Pooling), none=True)
    checks.text("query_instruction", instruction, none="the model's own")


def place_of(model: str | os.PathLike[str]) -> Path | None:
    """The folder that a user names; None if `model` is a name.

    Raises:
        InputTypeError: If it is neither.
        InputValueError: If it is empty, or no path can be so.
        UnknownModelError: If it is a path, and there is no such folder.
    """
    name = name_of(model)
    if not name.strip():
        raise InputValueError("model is an empty string; pass a name, a folder or a ModelSpec")
    shown = name if len(name) <= 200 else f"{name[:197]}..."
    try:
        path = expanded(name)
        name.encode()
    except UnicodeEncodeError:
        raise InputValueError(f"model {shown!r} has undecodable bytes; rename the folder") from None
    except ValueError as error:
        raise UnknownModelError(f"the folder {shown!r} does not exist: {error}") from None
    if is_folder(path):
        try:
            return _one_snapshot(path.absolute())
        except FileNotFoundError:
            raise UnknownModelError(f"the folder {shown!r} is relative, and the working folder is gone") from None
    try:
        is_file = path.is_file()
    except (OSError, ValueError):
        is_file = False
    if is_file:
        raise UnknownModelError(f"{shown!r} is a file; pass the folder that holds it, and its name as file=")
    if isinstance(model, os.PathLike) or _looks_like_path(name):
        raise UnknownModelError(f"the folder {shown!r} does not exist")
    return None


def resolve_model(
    model: str | os.PathLike[str] | ModelSpec,
    *,
    task: Task,
    pooling: Pooling | None = None,
    query_instruction: str | None = None,
) -> tuple[ModelSpec, Path | None]:
    """Find out what a user means by `model`, as far as the catalogue and a folder's own files tell.

    Args:
        model: A `ModelSpec`, a folder that exists, or a name as in `get_model`.
        task: What the model is to be used for.
        pooling: Overrides what the catalogue or the folder says; settles a folder that does not say.
        query_instruction: Likewise; "" for none.

    Returns:
        The spec, and the folder if `model` is one.

    Raises:
        BGEError: See `bge_onnx._repository.locate.locate`, which also asks the hub and the weights.
    """
    check_arguments(pooling, query_instruction)
    folder = None if isinstance(model, ModelSpec) else place_of(model)
    if folder is not None:
        given = {"pooling": pooling, "query_instruction": query_instruction}
        identity = identify(folder, known=known_models(), task=task, **given)  # type: ignore[arg-type]  # one dict of two types
    else:
        identity = from_catalogue(checked(model) if isinstance(model, ModelSpec) else get_model(name_of(model)))
    return settled(identity, task=task, pooling=pooling, query_instruction=query_instruction).spec, folder


def _one_snapshot(folder: Path) -> Path:
    """The model's folder itself, where a user names the folder that a hub cache keeps for it."""
    snapshots = folder / "snapshots"
    cached = is_folder(snapshots) or is_folder(folder / "blobs") or is_folder(folder / "refs")
    if not folder.name.startswith("models--") or not cached:
        return folder
    found = sorted(path for path in snapshots.iterdir() if is_folder(path)) if is_folder(snapshots) else []
    if not found:
        raise UnknownModelError(f"{folder} holds no snapshot of its model; download it again, or pass its name")
    try:
        main = snapshots / read_regular(folder / "refs" / "main", most=200).decode().strip()
    except (OSError, ValueError):
        main = snapshots
    if main in found:
        return main
    if len(found) == 1:
        return found[0]
    shown = ", ".join(path.name for path in found[:4])
    raise UnknownModelError(f"{folder} holds {len(found)} snapshots; pass one of them: {snapshots} / {shown}")


def _looks_like_path(name: str) -> bool:
    return name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name or bool(re.match(r"[A-Za-z]:", name))


def _wrong_task(spec: ModelSpec) -> str:
    if spec.task == "reranking":
        return f"{spec.name} is a reranker: open it with Reranker, it makes no embeddings"
    nouns = "Embedder or M3Embedder" if "lexical" in spec.heads else "Embedder"
    return f"{spec.name} is an embedding model: open it with {nouns}, it cannot rerank"
