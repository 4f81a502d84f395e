"""From what a user calls a model to what it is and where its files lie: one resolution, once."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

from bge_onnx._cache.digest import sha256_of
from bge_onnx._cache.links import real_files
from bge_onnx._catalogue.entries import checked, is_hub_id, is_revision
from bge_onnx._catalogue.folder import read_statement
from bge_onnx._catalogue.identity import Identity, agrees, identify
from bge_onnx._catalogue.json_file import read_object
from bge_onnx._catalogue.names import KnownModel, decoder, hub_cache_id, own_name
from bge_onnx._catalogue.registry import catalogue_entry, known_models, name_of, nearest, unknown
from bge_onnx._catalogue.resolve import check_arguments, from_catalogue, place_of, settled
from bge_onnx._catalogue.spec import MADE_HERE, ModelSpec, Pooling, Precision, Task, WeightsSpec
from bge_onnx._checkpoint.architecture import Architecture
from bge_onnx._repository.access import Access
from bge_onnx._repository.base import resolve_base
from bge_onnx._repository.choice import HEADS, head_role
from bge_onnx._repository.content import known_graphs, recognise
from bge_onnx._repository.files import Form, ModelFiles
from bge_onnx._repository.folder import choose_in, files_of
from bge_onnx._repository.request import Request
from bge_onnx._repository.search import Search
from bge_onnx._repository.sources import SourceLike, chosen_sources
from bge_onnx.errors import (
    AmbiguousModelError,
    InputTypeError,
    InputValueError,
    UnknownModelError,
    UnsuitableModelError,
    WeightsError,
)

__all__ = ["Located", "ModelLike", "locate", "resolve_base"]

ModelLike: TypeAlias = str | os.PathLike[str] | ModelSpec

_logger = logging.getLogger("bge_onnx")


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """A model that was found.

    Attributes:
        spec: What it is, with the user's own words applied.
        files: Its verified files.
        origins: Who answered: see `bge_onnx._catalogue.identity.Identity`.
        folder: The folder, where the user named one.
    """

    spec: ModelSpec
    files: ModelFiles
    origins: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None


def locate(
    model: ModelLike,
    *,
    task: Task,
    precision: Precision = "fp32",
    file: str | None = None,
    revision: str | None = None,
    cache: Path | None = None,
    sources: Sequence[SourceLike] | None = None,
    progress: bool | None = None,
    pooling: Pooling | None = None,
    query_instruction: str | None = None,
    access: Access | None = None,
) -> Located:
    """Find out what a user means by `model`, and bring its files onto this machine.

    Args:
        model: A folder, a name of the catalogue, the id of any hub repository, or a `ModelSpec`.
        task: What the model is to be used for.
        precision: "fp32", "fp16" or "int8-dynamic" as published; "int8" and "bf16" are made of "fp32".
        file: The weights file to take where there are several; its content then says the precision.
        revision: Branch, tag or commit of a hub repository; None for the catalogue's pinned one, or main.
        cache: The cache; None for the default one.
        sources: "cache", "hub", "maven", folders and repositories, in order; None for `BGE_SOURCES`, else the three.
        progress: Whether to show a bar during downloads; None for "if stderr is a terminal".
        pooling: Overrides what the catalogue or the folder says; settles a folder that does not say.
        query_instruction: Likewise; "" for none.
        access: How the network may be used; None for as the environment says.

    Raises:
        InputTypeError: If an argument has the wrong type.
        InputValueError: If one has a value that cannot work, or there is no such `file`.
        UnknownModelError: If there is no such folder, and the hub can have no such repository.
        AmbiguousModelError: If a model leaves open what a vector depends on.
        UnsuitableModelError: If the model serves another task or cannot be served.
        WeightsError: If no source delivers.
    """
    check_arguments(pooling, query_instruction)
    _check_text("file", file)
    _check_text("revision", revision)
    if revision is not None and not is_revision(revision):
        raise InputValueError(f"revision must be a branch, tag or commit, got {revision[:80]!r}")
    finder = _Finder(
        task=task,
        asked=precision,
        precision="fp32" if precision in MADE_HERE else precision,
        file=file,
        cache=cache,
        search=Search(chosen_sources(sources), cache=cache, show_progress=progress, access=access),
        base_of=partial(resolve_base, cache=cache, sources=sources, progress=progress, access=access),
        pooling=pooling,
        query_instruction=query_instruction,
    )
    if isinstance(model, ModelSpec):
        return finder.spec(checked(model), revision, word="argument")
    folder = place_of(model)
    if folder is not None:
        if revision is not None:
            raise InputValueError(
                f"revision={revision!r} is for hub repositories, and {folder} is a folder; leave it out"
            )
        return finder.folder(folder)
    return finder.name(name_of(model).strip(), revision)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finder:
    """One resolution: what was asked for, and where to look."""

    task: Task
    asked: Precision
    precision: Precision
    file: str | None
    cache: Path | None
    search: Search
    base_of: partial[Path]
    pooling: Pooling | None
    query_instruction: str | None

    def folder(self, folder: Path) -> Located:
        """The model in a folder that the user names."""
        known = known_models()
        name = own_name(folder)
        notes = self.search.notes
        choice = choose_in(folder, self.precision, file=self.file, name=name, trusted=known_graphs(known), cache=notes)
        accept = self.precision if self.file is None else None
        files = files_of(folder, choice, accept, source=f"folder {folder}", cache=notes)
        identity = self._identity(files, hub_cache_id(folder), known)
        if choice.why:
            _logger.info("%s: %s is taken (%s)", folder, choice.model, choice.why)
        return self._located(identity, real_files(files, self.cache), folder)

    def name(self, name: str, revision: str | None) -> Located:
        """A model that the user names, from the catalogue or from any hub repository."""
        refusal = decoder(name)
        if refusal is not None:
            raise UnsuitableModelError(refusal)
        entry = catalogue_entry(name)
        mirror = entry is not None and is_hub_id(name) and name.casefold() != entry.name.casefold()
        if entry is not None and self.file is None and not (mirror and revision is not None):
            return self.spec(entry, revision, word="catalogue")
        if entry is not None and not is_hub_id(name):
            name = entry.weights[0].repository if entry.weights else entry.name
        if not is_hub_id(name):
            raise UnknownModelError(unknown(name))
        pinned = next((w.revision for w in entry.weights if w.repository == name), None) if entry is not None else None
        return self._any(name, revision or pinned or "main")

    def spec(self, spec: ModelSpec, revision: str | None, *, word: str) -> Located:
        """A model whose facts are known before its files are."""
        weights = self._published(spec)
        if revision is not None and revision != weights.revision:
            if word == "catalogue":
                return self._any(weights.repository, revision)
            weights = WeightsSpec(precision=weights.precision, repository=weights.repository, revision=revision)
        identity = from_catalogue(spec, word)
        settled(identity, task=self.task)  # another task is refused before anything is fetched
        known = known_graphs(known_models())
        described = not weights.files  # as `_any` asks, which shares the cache's entry
        request = Request(name=spec.name, weights=weights, file=self.file, trusted=known, described=described)
        files = self.search.run(request)
        if word == "catalogue" and files.form != "onnx":
            identity = _within_limit(identity, files.folder)
        return self._located(identity, self._with_heads(files, spec), None)

    def _published(self, spec: ModelSpec) -> WeightsSpec:
        if not spec.weights:
            return WeightsSpec(precision=self.precision, repository=spec.name, revision="main")
        found = next((weights for weights in spec.weights if weights.precision == self.precision), None)
        if found is None and not any(weights.files for weights in spec.weights):
            return replace(spec.weights[0], precision=self.precision)  # the repository is asked what it holds
        if found is None:
            held = ", ".join(weights.precision for weights in spec.weights)
            raise WeightsError(
                f"no {self.precision} file is published of {spec.name}, only {held}; pass one of these as precision=, "
                "or 'int8', which is made here"
            )
        return found

    def _any(self, name: str, revision: str) -> Located:
        """The model in any hub repository: what it is, its own files say."""
        known = known_models()
        request = Request(
            name=name,
            weights=WeightsSpec(precision=self.precision, repository=name, revision=revision),
            file=self.file,
            trusted=known_graphs(known),
            look=partial(self._first_glance, name=name, known=known),
            described=True,
        )
        try:
            files = self.search.run(request)
        except WeightsError as error:
            near = nearest(name)
            raise WeightsError(f"{error}" + (f" (the catalogue has {near})" if near else "")) from error
        found = self._located(self._identity(files, name, known), files, None)
        # A copy in another process must ask for the same revision.
        return replace(found, spec=replace(found.spec, weights=(request.weights,)))

    def _first_glance(self, folder: Path, form: Form, *, name: str, known: Sequence[KnownModel]) -> None:
        """Refuse by its small files what cannot serve, before any large file is fetched."""
        settle = partial(identify, folder, known=known, task=self.task, name=name, form=form)
        if form == "adapter":
            return  # its base says the rest
        if form == "checkpoint":
            Architecture.of(read_object(folder / "config.json"), folder / "config.json")
        try:
            identity = settle(pooling=self.pooling, query_instruction=self.query_instruction)
        except AmbiguousModelError:
            identity = settle(pooling=self.pooling or "cls", query_instruction="")
            config = read_object(folder / "config.json")
            if not any(entry.fingerprint is not None and agrees(entry, config) for entry in known):
                raise  # its weights will answer nothing either
        settled(identity, task=self.task)

    def _identity(self, files: ModelFiles, name: str | None, known: Sequence[KnownModel]) -> Identity:
        return identify(
            files.folder,
            known=known,
            task=self.task,
            pooling=self.pooling,
            query_instruction=self.query_instruction,
            name=name,
            form=files.form,
            by_content=lambda: recognise(files, known),
            base_of=self.base_of if files.form == "adapter" else None,
        )

    def _located(self, identity: Identity, files: ModelFiles, folder: Path | None) -> Located:
        identity = settled(identity, task=self.task, pooling=self.pooling, query_instruction=self.query_instruction)
        if self.file is not None and self.asked != "fp32" and files.precision != self.precision:
            raise InputValueError(
                f"precision={self.asked!r} needs {self.precision} weights, and file={self.file!r} is {files.precision} "
                "by its content; leave one of the two out"
            )
        return Located(spec=identity.spec, files=files, origins=identity.origins, folder=folder)

    def _with_heads(self, files: ModelFiles, spec: ModelSpec) -> ModelFiles:
        """bge-m3's heads, which mirrors of other precisions do not have, from the authors' repository."""
        own = next((weights for weights in spec.weights if weights.precision == "fp32"), None)
        heads = tuple(file.path for file in (own.files if own is not None else ()) if file.role in HEADS)
        if own is None or not heads or any(role in files.paths for role in HEADS):
            return files
        try:
            found = self.search.run(Request(name=spec.name, weights=own, only=heads))
        except WeightsError as error:
            _logger.warning("%s has no lexical and ColBERT heads here: %s", spec.name, error)
            return files
        roles = {head_role(path): found.folder / path for path in heads}
        return replace(
            files,
            paths={**files.paths, **roles},
            digests={**files.digests, **{role: sha256_of(path) for role, path in roles.items()}},
        )


def _within_limit(identity: Identity, folder: Path) -> Identity:
    """An identity from the catalogue with the limit that the model's own files state, where that is smaller."""
    limit = read_statement(folder, pooling=identity.spec.pooling).max_tokens
    if limit is None or limit >= identity.spec.max_tokens:
        return identity
    spec = replace(identity.spec, max_tokens=limit)
    return Identity(spec=spec, origins={**identity.origins, "max_tokens": "folder"})


def _check_text(name: str, value: object) -> None:
    if value is not None and not isinstance(value, str):
        raise InputTypeError(f"{name} must be a str, or None for the model's own, got {value!r}")
    if value == "":
        raise InputValueError(f"{name} is empty; leave it out for the model's own")
