"""Models that lie in the hub's own cache already: no question asked, and offline whatever fits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bge_onnx._cache.listings import recall_listing
from bge_onnx._repository.choice import Choice
from bge_onnx._repository.errors import SourceError
from bge_onnx._repository.files import ModelFiles
from bge_onnx._repository.folder import files_of, paths_in
from bge_onnx._repository.hub_cache import HubFolder, stated_digest_problem
from bge_onnx._repository.opens import check_opens
from bge_onnx._repository.protocol import Listing, RemoteFile
from bge_onnx._repository.request import Request
from bge_onnx.errors import BGEError, UnsuitableModelError, WeightsError

__all__ = ["from_hub_cache"]


def from_hub_cache(request: Request, cache: Path) -> ModelFiles | None:
    """The model from a snapshot in the hub's own cache; None where there is none that fits.

    A snapshot fits if its commit is what was asked for and all files are there, or if the catalogue knows the digest of
    its weights. Offline, one of the asked revision fits that other programs filled, as far as it goes.

    Raises:
        SourceError: If there are snapshots, offline, and none of them can be known for what was asked for.
    """
    weights = request.weights
    folder = HubFolder.of(weights.repository)
    reasons: list[str] = []
    for commit, listing in _candidates(request, folder, cache):
        snapshot = folder.snapshot(commit)
        try:
            choice = request.choice(listing, str(snapshot))
            reason = _unfit(request, snapshot, choice, cache)
            if reason is None:
                request.look(snapshot, choice.form)
                label = f"cache (from hub {weights.repository}@{commit})"
                return files_of(snapshot, choice, request.accepts, source=label, cache=cache)
        except WeightsError as error:
            reason = str(error)
        reasons.append(f"{commit[:12]}: {reason}")
    held = list(folder.snapshots())
    if held and request.offline:
        what = "; ".join(reasons) or f"it has {', '.join(held[:3])}, and {weights.revision} was asked for"
        raise SourceError(f"{request.offline}, and the hub's own cache lacks it: {what}; pass revision= to take one")
    return None


def _candidates(request: Request, folder: HubFolder, cache: Path) -> Iterator[tuple[str, Listing]]:
    """Commits that may serve, each with what there is to choose from."""
    weights = request.weights
    asked = folder.ref(weights.revision)
    noted = recall_listing(cache, weights.repository, weights.revision)
    if noted is not None:
        yield noted.commit, noted
    for commit in dict.fromkeys([*([asked] if asked else []), *folder.snapshots()]):
        snapshot = folder.snapshot(commit)
        if not snapshot.is_dir():
            continue
        paths = paths_in(snapshot)
        listing = Listing(tuple(RemoteFile(path, None, request.expected(path)) for path in paths), commit)
        taken = commit == asked or (asked is None and weights.revision == "main")
        if _known_by_name(request, paths, exact=commit == asked) or (request.offline and taken):
            yield commit, listing


def _known_by_name(request: Request, paths: list[str], *, exact: bool) -> bool:
    """Whether the catalogue's own files are there, and in the pinned commit or with digests that tell them."""
    if request.only:
        return exact and all(path in paths for path in request.only)
    if request.file is not None or request.checkpoint or not request.weights.files:
        return False
    model = next(file for file in request.weights.files if file.role == "model")
    return model.path in paths and (exact or model.sha256 is not None)


def _unfit(request: Request, snapshot: Path, choice: Choice, cache: Path) -> str | None:
    """Why the files of a choice are not to be used; None if they are all there and good."""
    described = request.described or choice.needs_descriptions
    wanted = [choice.model, choice.tokenizer, *choice.heads.values(), *(choice.descriptions if described else ())]
    for path in dict.fromkeys(path for path in wanted if path is not None):
        place = snapshot / path
        if not place.is_file():
            return f"{path} is missing"
        known = request.known(path)
        if known is not None and known.size not in (None, place.stat().st_size):
            return f"{path} has another size than the catalogue says"
        problem = stated_digest_problem(place, sha256=request.expected(path), blob=None, cache=cache)
        if problem is not None:
            return f"{path} {problem}"
        try:
            if path.endswith(".json") and path != choice.tokenizer:
                check_opens(place)
        except UnsuitableModelError as error:
            return str(error)
    return _unfit_parts(request, snapshot, choice, cache)


def _unfit_parts(request: Request, snapshot: Path, choice: Choice, cache: Path) -> str | None:
    from bge_onnx._repository.gather import parts_of

    try:
        parts = parts_of(snapshot / choice.model, choice)
    except (BGEError, ValueError) as error:
        return f"{choice.model} cannot be used: {error}"
    for path in parts:
        if not (snapshot / path).is_file():
            return f"{path} is missing"
        problem = stated_digest_problem(snapshot / path, sha256=request.expected(path), blob=None, cache=cache)
        if problem is not None:
            return f"{path} {problem}"
    return None
