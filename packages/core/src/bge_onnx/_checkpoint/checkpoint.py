"""A checkpoint as an original for `bge_onnx._graph`: it is read, and answers by a plain forward pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bge_onnx._checkpoint.adapter import merged
from bge_onnx._checkpoint.encoder import check_finite, read_encoder
from bge_onnx._checkpoint.files import read_tensors
from bge_onnx._checkpoint.folder import CheckpointFiles
from bge_onnx._checkpoint.mapped import MappedFile, Tensor
from bge_onnx._checkpoint.weights import Weights, by_part
from bge_onnx._graph.build import Rows
from bge_onnx._graph.encoder import Array, Encoder
from bge_onnx._graph.original import plain_answers
from bge_onnx.errors import UnsuitableModelError

__all__ = ["Checkpoint", "open_checkpoint"]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Weights that are mapped, with what is to be made of them.

    Attributes:
        weights: By their place in the encoder.
        mapped: The files they lie in.
        files: Where they come from.
        classifier: Whether the classifier belongs to the model, as in a cross-encoder.
    """

    weights: Weights
    mapped: tuple[MappedFile, ...]
    files: CheckpointFiles
    classifier: bool

    def encoder(self) -> Encoder:
        """See `bge_onnx._graph.Original`."""
        return read_encoder(
            self.weights,
            self.files.architecture,
            where=self.files.model,
            classifier=self.classifier,
            release=self._release,
        )

    def answers(self, rows: Rows, *, threads: int) -> list[Array]:
        """See `bge_onnx._graph.Original`; refuses weights that are NaN or infinite."""
        encoder = self.encoder()
        check_finite(encoder, self.files.model)
        found = plain_answers(encoder, rows, threads=threads)
        self._release()
        return found

    def _release(self) -> None:
        for file in self.mapped:
            file.release()


def open_checkpoint(files: CheckpointFiles, *, classifier: bool) -> Checkpoint:
    """Map the weights of a checkpoint, an adapter merged in.

    Raises:
        WeightsError: A file cannot be read, or was not downloaded.
        UnsuitableModelError: A file is damaged, or holds something else than this model's weights.
    """
    tensors = _tensors(files)
    where = files.weights[0]
    places = by_part(tensors, where)
    if not any(place.startswith("embeddings.") for place in places):
        held = ", ".join(repr(name)[:80] for name in sorted(tensors)[:3]) or "no tensors"
        raise UnsuitableModelError(f"{where} holds no encoder of BERT's or XLM-RoBERTa's kind, but {held}")
    weights: Weights = {place: tensors[name] for place, name in places.items()}
    used = list(tensors.values())
    if files.adapter is not None:
        changes = read_tensors(files.adapter.weights)
        weights = merged(weights, changes, files.adapter.config, where=files.adapter.weights)
        used += changes.values()
    mapped = {tensor.file.path: tensor.file for tensor in used}
    return Checkpoint(weights, tuple(mapped.values()), files, classifier)


def _tensors(files: CheckpointFiles) -> Mapping[str, Tensor]:
    shards = {path: read_tensors(path) for path in files.weights}
    if not files.index:
        return shards[files.weights[0]]
    for name, path in files.index.items():
        if name not in shards[path]:
            raise UnsuitableModelError(f"{path} lacks {name!r}, which the index of {_folder(path)} expects in it")
    return {name: shards[path][name] for name, path in files.index.items()}


def _folder(path: Path) -> str:
    return str(path.parent)
