"""The model that a LoRA adapter was trained on: a folder, or a checkpoint from any source."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bge_onnx._cache.place import expanded, is_folder
from bge_onnx._catalogue.entries import is_hub_id
from bge_onnx._catalogue.json_file import read_object
from bge_onnx._catalogue.names import decoder
from bge_onnx._catalogue.registry import catalogue_entry
from bge_onnx._catalogue.spec import WeightsSpec
from bge_onnx._checkpoint.architecture import Architecture
from bge_onnx._repository.access import Access
from bge_onnx._repository.files import Form
from bge_onnx._repository.request import Request
from bge_onnx._repository.search import Search
from bge_onnx._repository.sources import SourceLike, chosen_sources
from bge_onnx.errors import UnsuitableModelError, WeightsError

__all__ = ["resolve_base"]


def _refuse_others(folder: Path, form: Form) -> None:  # noqa: ARG001
    """Refuse by its config.json what cannot be served, before any large file is fetched."""
    path = folder / "config.json"
    Architecture.of(read_object(path), path)


def resolve_base(
    name: str,
    revision: str | None = None,
    beside: Path | None = None,
    *,
    cache: Path | None = None,
    sources: Sequence[SourceLike] | None = None,
    progress: bool | None = None,
    access: Access | None = None,
) -> Path:
    """The folder of the checkpoint that an adapter was trained on.

    Args:
        name: As the adapter names it: a path, perhaps relative to its own folder, or a hub id.
        revision: Of a hub repository.
        beside: The adapter's folder.
        cache: See `locate`.
        sources: See `locate`.
        progress: See `locate`.
        access: See `locate`.

    Raises:
        WeightsError: If there is no such folder, and no source has such a model.
    """
    try:
        places = [*([beside / name] if beside is not None else []), expanded(name)]
    except ValueError:
        places = []
    found = next((place for place in places if is_folder(place)), None)
    if found is not None:
        return found.resolve()
    entry = catalogue_entry(name)
    if entry is None and not is_hub_id(name):
        raise WeightsError(
            f"the base model {name[:120]!r} of this adapter is neither a folder nor a hub id; write its place as "
            "base_model_name_or_path in adapter_config.json"
        )
    refusal = decoder(name)
    if refusal is not None:
        raise UnsuitableModelError(f"the base model of this adapter cannot be served: {refusal}")
    pinned = next((w for w in entry.weights if w.precision == "fp32"), None) if entry is not None else None
    repository = pinned.repository if pinned is not None else name
    default = pinned.revision if pinned is not None else "main"
    weights = WeightsSpec(precision="fp32", repository=repository, revision=revision or default)
    search = Search(chosen_sources(sources), cache=cache, show_progress=progress, access=access)
    try:
        return search.run(
            Request(name=name, weights=weights, described=True, checkpoint=True, look=_refuse_others)
        ).folder
    except WeightsError as error:
        raise WeightsError(f"the base model {name} of this adapter: {error}") from error
