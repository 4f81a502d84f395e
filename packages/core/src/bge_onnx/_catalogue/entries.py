"""The catalogue file as typed entries, and what makes an entry valid."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from itertools import chain
from pathlib import PurePosixPath
from typing import Any

from bge_onnx._catalogue.names import KnownModel
from bge_onnx._catalogue.spec import MADE_HERE, FileSpec, MavenArtifact, ModelSpec, WeightsSpec
from bge_onnx._catalogue.typed import misfits
from bge_onnx._shown import shown
from bge_onnx.errors import InputTypeError, InputValueError

__all__ = ["catalogue", "checked", "is_hub_id", "is_revision"]

_MOST = 1 << 31
_FEWEST_TOKENS = 3  # the two special ones, and one of text
_LONGEST_PATH = 500


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
        raise InputTypeError(f"spec must be a ModelSpec, got {type(spec).__name__}")
    for problem in chain(misfits(spec), _problems(spec)):
        raise InputValueError(f"ModelSpec {shown(spec.name)}: {problem}")
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
    """What contradicts itself in a spec whose fields have the right types."""
    if not _is_name(spec.name):
        yield "name must look like 'owner/name' or 'name'"
    if not 1 <= spec.dimension < _MOST or not _FEWEST_TOKENS <= spec.max_tokens < _MOST:
        yield f"dimension must be at least 1, and max_tokens at least {_FEWEST_TOKENS}"
    if not spec.heads:
        yield "heads must not be empty; ('dense',) is what every embedding model has"
    if len({weights.precision for weights in spec.weights}) != len(spec.weights):
        yield "weights has a precision twice"
    for weights in spec.weights:
        yield from _weights_problems(weights)


def _weights_problems(weights: WeightsSpec) -> Iterator[str]:
    if weights.precision in MADE_HERE:
        yield f"weights has precision {weights.precision!r}; published files are 'fp32', 'fp16' or 'int8-dynamic'"
    if not _is_name(weights.repository):
        yield f"repository must look like 'owner/name', got {shown(weights.repository)}"
    if not is_revision(weights.revision):
        yield f"revision must be a branch, tag or commit, got {shown(weights.revision)}"
    files = [*weights.files, *(weights.maven.files if weights.maven is not None else ())]
    roles = [file.role for file in weights.files]
    if weights.files and (
        not {"model", "tokenizer"} <= set(roles)
        or any(roles.count(r) > 1 for r in roles if r not in ("data", "config"))
    ):
        yield f"weights {weights.precision!r} needs a 'model' and a 'tokenizer' file, and each role but 'data' once"
    if weights.maven is not None:
        yield from _maven_problems(weights.maven)
    for file in files:
        yield from _file_problems(file)


def _file_problems(file: FileSpec) -> Iterator[str]:
    parts = PurePosixPath(file.path).parts
    if not parts or file.path.startswith("/") or ".." in parts or re.search(r"[\\:\0]", file.path):
        yield f"file path {shown(file.path)} must be relative, with forward slashes and without '..'"
    if len(file.path) > _LONGEST_PATH or not file.path.isprintable():
        yield f"file path {shown(file.path)} must be at most {_LONGEST_PATH} printable characters"
    if file.sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", file.sha256):
        yield f"sha256 of {shown(file.path)} must be 64 lower-case hexadecimal digits"
    if file.size is not None and file.size < 0:
        yield f"size of {shown(file.path)} must be at least 0, got {shown(file.size)}"


def _maven_problems(artifact: MavenArtifact) -> Iterator[str]:
    # They go into one argument of mvn, whose parts colons separate.
    for name in ("group", "artifact", "version"):
        if not re.fullmatch(r"[\w.+-]{1,200}", getattr(artifact, name), re.ASCII) or getattr(artifact, name)[0] in ".-":
            yield f"maven.{name} must be letters, digits, '.', '_', '+' and '-', got {shown(getattr(artifact, name))}"


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
