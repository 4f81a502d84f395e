"""The catalogue file as typed entries, and what makes an entry valid."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import PurePosixPath
from typing import Any, get_args

from bge_onnx._catalogue.names import KnownModel
from bge_onnx._catalogue.spec import (
    MADE_HERE,
    FileRole,
    FileSpec,
    Head,
    MavenArtifact,
    ModelSpec,
    Pooling,
    Precision,
    Task,
    WeightsSpec,
)
from bge_onnx.errors import InputTypeError, InputValueError

__all__ = ["catalogue", "checked", "is_hub_id", "is_revision"]


@cache
def catalogue() -> tuple[KnownModel, ...]:
    """Every entry of `models.json`, the one place where a fact about a BGE model is written down."""
    raw = json.loads(files("bge_onnx._catalogue").joinpath("models.json").read_text(encoding="utf-8"))
    return tuple(KnownModel(_spec(entry), entry["family"], entry.get("fingerprint")) for entry in raw)


def checked(spec: object) -> ModelSpec:
    """`spec`, if it is one that can work.

    Raises:
        InputTypeError: If it is not a `ModelSpec`.
        InputValueError: If it contradicts itself; the message names the first contradiction.
    """
    if not isinstance(spec, ModelSpec):
        raise InputTypeError(f"expected a ModelSpec, not {type(spec).__name__}")
    for problem in _problems(spec):
        raise InputValueError(f"ModelSpec {spec.name!r}: {problem}")
    return spec


def _spec(raw: Mapping[str, Any]) -> ModelSpec:
    return ModelSpec(
        name=raw["name"],
        task=raw["task"],
        dimension=raw["dimension"],
        max_tokens=raw["max_tokens"],
        pooling=raw["pooling"],
        query_instruction=raw["query_instruction"],
        passage_instruction=raw["passage_instruction"],
        heads=tuple(raw["heads"]),
        parameters=raw["parameters"],
        license=raw["license"],
        languages=tuple(raw["languages"]),
        weights=tuple(_weights(entry) for entry in raw["weights"]),
    )


def _weights(raw: Mapping[str, Any]) -> WeightsSpec:
    maven = raw.get("maven")
    return WeightsSpec(
        precision=raw["precision"],
        repository=raw["repository"],
        revision=raw["revision"],
        files=tuple(_file(entry) for entry in raw.get("files", ())),
        maven=maven
        and MavenArtifact(
            group=maven["group"],
            artifact=maven["artifact"],
            version=maven["version"],
            members=tuple(maven["members"].items()),
            files=tuple(_file(entry) for entry in maven.get("files", ())),
        ),
    )


def _file(raw: Mapping[str, Any]) -> FileSpec:
    return FileSpec(path=raw["path"], role=raw["role"], size=raw.get("size"), sha256=raw.get("sha256"))


def _problems(spec: ModelSpec) -> Iterator[str]:
    texts: tuple[object, ...] = (spec.name, spec.query_instruction, spec.passage_instruction)
    if not all(isinstance(text, str) for text in texts):
        yield "name, query_instruction and passage_instruction must be strings, '' for no instruction"
    elif not _is_name(spec.name):
        yield "name must look like 'owner/name' or 'name'"
    if not _is_whole(spec.dimension, 1) or not _is_whole(spec.max_tokens, 3):
        yield "dimension must be at least 1, and max_tokens at least 3"
    if spec.task not in get_args(Task):
        yield f"task must be one of {_options(get_args(Task))}"
    if spec.pooling not in get_args(Pooling):
        yield f"pooling must be one of {_options(get_args(Pooling))}"
    heads: object = spec.heads
    if not isinstance(heads, tuple) or not heads or not all(head in get_args(Head) for head in heads):
        yield f"heads must be some of {_options(get_args(Head))}"
    yield from _all_weights_problems(spec)


def _all_weights_problems(spec: ModelSpec) -> Iterator[str]:
    every: object = spec.weights
    if not isinstance(every, tuple) or not all(isinstance(weights, WeightsSpec) for weights in every):
        yield "weights must be a tuple of WeightsSpec"
        return
    if len({weights.precision for weights in spec.weights}) != len(spec.weights):
        yield "weights has a precision twice"
    for weights in spec.weights:
        yield from _weights_problems(weights)


def _weights_problems(weights: WeightsSpec) -> Iterator[str]:
    if weights.precision not in get_args(Precision) or weights.precision in MADE_HERE:
        yield f"weights has precision {weights.precision!r}; published files are 'fp32', 'fp16' or 'int8-dynamic'"
    repository: object = weights.repository
    revision: object = weights.revision
    if not isinstance(repository, str) or not _is_name(repository):
        yield f"repository must look like 'owner/name', got {_brief(weights.repository)}"
    if not isinstance(revision, str) or not is_revision(revision):
        yield f"revision must be a branch, tag or commit, got {_brief(weights.revision)}"
    files = [*weights.files, *(weights.maven.files if weights.maven is not None else ())]
    roles = [file.role for file in weights.files]
    if weights.files and (
        not {"model", "tokenizer"} <= set(roles)
        or any(roles.count(r) > 1 for r in roles if r not in ("data", "config"))
    ):
        yield f"weights {weights.precision!r} needs a 'model' and a 'tokenizer' file, and each role but 'data' once"
    for file in files:
        parts = PurePosixPath(file.path).parts
        if file.role not in get_args(FileRole):
            yield f"file {file.path!r} has the unknown role {file.role!r}"
        if not parts or file.path.startswith("/") or ".." in parts or re.search(r"[\\:\0]", file.path):
            yield f"file path {file.path!r} must be relative, with forward slashes and without '..'"
        if file.sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", file.sha256):
            yield f"sha256 of {file.path!r} must be 64 lower-case hexadecimal digits"


def is_revision(revision: str) -> bool:
    """Whether git could have a branch, tag or commit of that name."""
    return bool(re.fullmatch(r"[\w.+@-]+(/[\w.+@-]+)*", revision, re.ASCII)) and not re.search(r"\.\.|@\{", revision)


def is_hub_id(name: str) -> bool:
    """Whether the hub could have a repository called so: "owner/name"."""
    return "/" in name and _is_name(name)


def _is_name(name: str) -> bool:
    """The hub's rule: letters, digits, ".", "_", "-"; neither "--" nor ".."; 96 characters."""
    if len(name) > 96 or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name, re.ASCII) or re.search(r"--|\.\.", name):
        return False
    return all(part[0] not in ".-" and part[-1] not in ".-" for part in name.split("/"))


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < 1 << 31


def _brief(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _options(values: Iterable[str]) -> str:
    return ", ".join(repr(value) for value in values)
