"""What is this model? The catalogue, the user's own entries, and the way from a name or a folder to a `ModelSpec`."""

from __future__ import annotations

import difflib
import os
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from bge_onnx._catalogue.entries import catalogue, checked
from bge_onnx._catalogue.folder import KnownModel, agrees, read_config, read_folder, recognise
from bge_onnx._catalogue.snapshot import snapshot_of
from bge_onnx._catalogue.spec import ModelSpec, Pooling, Task
from bge_onnx.errors import InputTypeError, InputValueError, UnknownModelError, UnsuitableModelError

__all__ = ["add_model", "get_model", "holds_model", "list_models", "resolve_model"]


@dataclass(frozen=True, slots=True)
class _Registry:
    """The entries users added in this process; the one mutable object of the catalogue, guarded by its lock."""

    lock: threading.Lock
    added: dict[str, ModelSpec]


_registry = _Registry(threading.Lock(), {})


def list_models(*, task: Task | None = None) -> list[ModelSpec]:
    """All entries of the catalogue, those added by `add_model` included, sorted by name.

    Args:
        task: Only models of this task; None for all.

    Raises:
        InputValueError: If there is no such task.
    """
    if task is not None and task not in get_args(Task):
        raise InputValueError(f"task must be one of {_options(get_args(Task))}, or None for all, not {task!r}")
    specs = (known.spec for known in _known() if task in (None, known.spec.task))
    return sorted(specs, key=lambda spec: spec.name.casefold())


def get_model(name: str) -> ModelSpec:
    """The catalogue entry of a model.

    Args:
        name: Hub id ("BAAI/bge-small-en-v1.5"), short name ("bge-small-en-v1.5") or the id of an ONNX mirror
            repository that the entry names ("Xenova/bge-small-en-v1.5"); upper and lower case are the same.

    Raises:
        InputTypeError: If `name` is not a string.
        UnknownModelError: If there is no such entry; the message names the nearest ones.
    """
    table = _by_name([known.spec for known in _known()])
    found = table.get(_text(name).strip().casefold())
    if found is None:
        raise UnknownModelError(_unknown(name, table))
    return found


def add_model(spec: ModelSpec) -> ModelSpec:
    """Add an entry to the catalogue of this process, so that its name works wherever a model name does.

    Adding the same spec again changes nothing. Safe to call from any thread; other processes are not affected.

    Args:
        spec: The entry, for example a fine-tuned BGE.

    Returns:
        `spec`.

    Raises:
        InputTypeError: If `spec` is not a `ModelSpec`.
        InputValueError: If the spec contradicts itself, or its name belongs to a different entry.
    """
    key = checked(spec).name.casefold()
    builtin = {known.spec.name.casefold(): known.spec for known in catalogue()}
    with _registry.lock:
        present = builtin.get(key) or _registry.added.setdefault(key, spec)
    if present != spec:
        raise InputValueError(f"the catalogue has another entry named {spec.name!r}; give yours another name")
    return spec


def resolve_model(
    model: str | os.PathLike[str] | ModelSpec,
    *,
    task: Task,
    pooling: Pooling | None = None,
    query_instruction: str | None = None,
) -> tuple[ModelSpec, Path | None]:
    """Find out what a user means by `model`.

    Args:
        model: A `ModelSpec`, a folder that exists, or a name as in `get_model`.
        task: What the model is to be used for.
        pooling: Overrides what the catalogue or the folder says; settles a folder that does not say.
        query_instruction: Likewise; "" for none.

    Returns:
        The spec, and the folder if `model` is one.

    Raises:
        InputTypeError: If `model` is none of the three, or `query_instruction` is no string.
        InputValueError: If a spec contradicts itself, or an override has no such value.
        UnknownModelError: If there is neither such a folder nor such a name.
        AmbiguousModelError: If a folder leaves open what a vector depends on.
        UnsuitableModelError: If the model serves another task or cannot be served.
    """
    if pooling is not None and pooling not in get_args(Pooling):
        raise InputValueError(f"pooling must be one of {_options(get_args(Pooling))}, not {pooling!r}")
    _check_instruction(query_instruction)
    spec, folder = _find(model, task, pooling, query_instruction)
    if spec.task != task:
        raise UnsuitableModelError(_wrong_task(spec))
    if pooling is not None:
        spec = replace(spec, pooling=pooling)
    if query_instruction is not None:
        spec = replace(spec, query_instruction=query_instruction)
    return spec, folder


def holds_model(folder: Path, spec: ModelSpec) -> bool | None:
    """Whether a folder that was not named as this model holds it: True, False, or None where nothing tells."""
    config = read_config(folder)
    entry = recognise(folder, config, _known())
    if entry is not None:
        return entry.spec.name == spec.name
    return None if agrees(KnownModel(spec, None), config) else False


def _find(
    model: str | os.PathLike[str] | ModelSpec, task: Task, pooling: Pooling | None, query_instruction: str | None
) -> tuple[ModelSpec, Path | None]:
    if isinstance(model, ModelSpec):
        return checked(model), None
    name = _text(model)
    if not name.strip():
        raise InputValueError("model is an empty string; pass a name, a folder or a ModelSpec")
    path = Path(name).expanduser()
    if path.is_dir():
        folder = snapshot_of(path.absolute())
        spec = read_folder(folder, known=_known(), task=task, pooling=pooling, query_instruction=query_instruction)
        return spec, folder
    if path.is_file():
        raise UnknownModelError(f"{name!r} is a file; pass the folder that holds it")
    if isinstance(model, os.PathLike) or _looks_like_path(name):
        raise UnknownModelError(f"the folder {name!r} does not exist")
    return get_model(name), None


def _text(model: object) -> str:
    text = os.fspath(model) if isinstance(model, str | os.PathLike) else None
    if not isinstance(text, str):
        raise InputTypeError(f"model must be a name, a folder or a ModelSpec, not {type(model).__name__}")
    return text


def _check_instruction(instruction: object) -> None:
    if instruction is not None and not isinstance(instruction, str):
        kind = type(instruction).__name__
        raise InputTypeError(f"query_instruction must be a str, '' for none or None for the model's own, not {kind}")


def _looks_like_path(name: str) -> bool:
    return name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name or bool(re.match(r"[A-Za-z]:", name))


def _wrong_task(spec: ModelSpec) -> str:
    if spec.task == "reranking":
        return f"{spec.name} is a reranker: open it with Reranker, it makes no embeddings"
    nouns = "Embedder or M3Embedder" if "lexical" in spec.heads else "Embedder"
    return f"{spec.name} is an embedding model: open it with {nouns}, it cannot rerank"


def _unknown(name: str, table: Mapping[str, ModelSpec]) -> str:
    close = difflib.get_close_matches(name.casefold(), table, n=6, cutoff=0.6)
    nearest = _options(list(dict.fromkeys(table[key].name for key in close))[:3])
    hint = f" (did you mean {nearest}?)" if close else ""
    return (
        f"no model named {name!r} in the catalogue{hint}: pass a name that list_models() shows, a local folder or a "
        "ModelSpec, or register one with add_model"
    )


def _options(values: Iterable[str]) -> str:
    return ", ".join(repr(value) for value in values)


def _known() -> tuple[KnownModel, ...]:
    with _registry.lock:
        return (*catalogue(), *(KnownModel(spec, None) for spec in _registry.added.values()))


def _by_name(entries: Sequence[ModelSpec]) -> dict[str, ModelSpec]:
    """Every spelling to its entry; full ids beat short names, and earlier entries beat later ones."""
    table: dict[str, ModelSpec] = {}
    for names in (_full_name, _short_name, _mirror_names):
        for spec in entries:
            for name in names(spec):
                table.setdefault(name.casefold(), spec)
    return table


def _full_name(spec: ModelSpec) -> list[str]:
    return [spec.name]


def _short_name(spec: ModelSpec) -> list[str]:
    return [spec.name.rpartition("/")[2]]


def _mirror_names(spec: ModelSpec) -> list[str]:
    return [weights.repository for weights in spec.weights]
