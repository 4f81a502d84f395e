"""Which models are known? The catalogue, the entries that users added, and the names they answer to."""

from __future__ import annotations

import difflib
import os
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import get_args

from bge_onnx import checks
from bge_onnx._catalogue.entries import catalogue, checked
from bge_onnx._catalogue.names import KnownModel, decoder
from bge_onnx._catalogue.spec import ModelSpec, Task
from bge_onnx.errors import InputTypeError, InputValueError, UnknownModelError

__all__ = ["add_model", "catalogue_entry", "get_model", "known_models", "list_models", "name_of", "nearest", "unknown"]


@dataclass(slots=True)
class _Registry:
    """The entries users added in this process; the one mutable object of the catalogue, guarded by its lock."""

    lock: threading.Lock
    added: dict[str, ModelSpec]

    def after_fork(self) -> None:
        """Start with a free lock: a thread that held it in the parent does not exist in a forked child."""
        self.lock = threading.Lock()


_registry = _Registry(threading.Lock(), {})
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _registry.after_fork())


def list_models(*, task: Task | None = None) -> list[ModelSpec]:
    """All entries of the catalogue, those added by `add_model` included, sorted by name.

    Args:
        task: Only models of this task; None for all.

    Raises:
        InputValueError: If there is no such task.
    """
    checks.choice("task", task, allowed=get_args(Task), none=True)
    specs = (known.spec for known in known_models() if task in (None, known.spec.task))
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
    found = catalogue_entry(name_of(name))
    if found is None:
        raise UnknownModelError(unknown(name_of(name)))
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


def catalogue_entry(name: str) -> ModelSpec | None:
    """The entry that answers to a name, as `get_model` reads it; None if there is none."""
    return _by_name([known.spec for known in known_models()]).get(name.strip().casefold())


def nearest(name: str) -> str:
    """Up to three entries whose names are near, for messages; "" if there are none."""
    table = _by_name([known.spec for known in known_models()])
    close = difflib.get_close_matches(name.casefold()[:200], table, n=6, cutoff=0.6)
    return _options(list(dict.fromkeys(table[key].name for key in close))[:3])


def unknown(name: str) -> str:
    """What to say about a name that the catalogue does not have and the hub cannot have."""
    shown = name if len(name) <= 120 else f"{name[:117]}..."
    near = nearest(name)
    hint = f" (did you mean {near}?)" if near else ""
    return decoder(name) or (
        f"no model named {shown!r} in the catalogue{hint}: pass a name that list_models() shows, a hub id "
        "'owner/name', a local folder or a ModelSpec, or register one with add_model"
    )


def known_models() -> tuple[KnownModel, ...]:
    """All entries, with what their files must say."""
    with _registry.lock:
        return (*catalogue(), *(KnownModel(spec, None) for spec in _registry.added.values()))


def name_of(model: object) -> str:
    """A name or a path as text.

    Raises:
        InputTypeError: If it is neither.
    """
    text = os.fspath(model) if isinstance(model, str | os.PathLike) else None
    if not isinstance(text, str):
        raise InputTypeError(f"model must be a name, a folder or a ModelSpec, not {type(model).__name__}")
    return text


def _options(values: Iterable[str]) -> str:
    return ", ".join(repr(value) for value in values)


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
