"""bge-m3's three heads: in numpy over token outputs, or read from an export that computes them itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from bge_onnx._catalogue.spec import FileRole
from bge_onnx._checkpoint.files import read_tensors
from bge_onnx._heads.lexical import IntArray, M3Vectors, Projection, colbert_vectors, largest, lexical_weights
from bge_onnx._heads.vectors import FloatArray, Outputs, finite, mean, pool, unit
from bge_onnx._runtime.spec import M3_OUTPUTS
from bge_onnx._text.tokens import Tokens
from bge_onnx.errors import UnsuitableModelError


class Heads(Protocol):
    """How the outputs of one batch become the three kinds of answers."""

    def dense(self, outputs: Outputs, lengths: IntArray) -> FloatArray:
        """Vectors of length 1, shape (rows, dim)."""
        ...

    def lexical(self, outputs: Outputs) -> FloatArray:
        """A weight for every token, padding included, shape (rows, tokens)."""
        ...

    def colbert(self, outputs: Outputs) -> FloatArray:
        """A vector for every token but the first, padding included, not normalised, shape (rows, tokens - 1, dim)."""
        ...


@dataclass(frozen=True, slots=True)
class TokenHeads:
    """The heads as two linear layers over token outputs."""

    sparse: Projection
    multi: Projection

    def dense(self, outputs: Outputs, lengths: IntArray) -> FloatArray:
        """See `Heads`."""
        return unit(pool(_only(outputs), lengths, pooling="cls"))

    def lexical(self, outputs: Outputs) -> FloatArray:
        """See `Heads`."""
        return self.sparse(_only(outputs))[..., 0]

    def colbert(self, outputs: Outputs) -> FloatArray:
        """See `Heads`."""
        return self.multi(_only(outputs)[:, 1:])


@dataclass(frozen=True, slots=True)
class GraphHeads:
    """The heads as outputs of the graph."""

    def dense(self, outputs: Outputs, lengths: IntArray) -> FloatArray:
        """See `Heads`."""
        return unit(pool(outputs["dense_vecs"], lengths, pooling="cls"))

    def lexical(self, outputs: Outputs) -> FloatArray:
        """See `Heads`."""
        weights = np.asarray(outputs["sparse_vecs"], dtype=np.float32)
        tokens = outputs["colbert_vecs"].shape[1] + 1
        if weights.shape[1] != tokens:
            msg = (
                f"the model's sparse_vecs has {weights.shape[1]} weights for {tokens} tokens; export one weight for "
                "each token, and colbert_vecs for each but the first"
            )
            raise UnsuitableModelError(msg)
        return weights[..., 0] if weights.ndim == 3 else weights

    def colbert(self, outputs: Outputs) -> FloatArray:
        """See `Heads`."""
        return np.asarray(outputs["colbert_vecs"], dtype=np.float32)


@dataclass(frozen=True, slots=True)
class DenseHead:
    """bge-m3's dense vector alone."""

    heads: Heads
    dimension: int

    def allocate(self, count: int) -> FloatArray:
        """Shape (count, dim), float32."""
        return np.empty((count, self.dimension), dtype=np.float32)

    def read(self, tokens: Tokens, rows: IntArray, outputs: Outputs) -> FloatArray:
        """Vectors of some rows, shape (rows, dim)."""
        return finite(self.heads.dense(outputs, tokens.lengths[rows]), what="a text")


@dataclass(frozen=True, slots=True)
class M3Head:
    """All of bge-m3's answers to a text, as one `M3Vectors`.

    Attributes:
        heads: The three heads.
        unused: Ids that carry no meaning.
        colbert: Whether ColBERT vectors are wanted.
    """

    heads: Heads
    unused: frozenset[int]
    colbert: bool

    def allocate(self, count: int) -> npt.NDArray[np.object_]:
        """Shape (count,), one object a text."""
        return np.empty(count, dtype=object)

    def read(self, tokens: Tokens, rows: IntArray, outputs: Outputs) -> npt.NDArray[np.object_]:
        """Answers to some rows, shape (rows,)."""
        lengths = tokens.lengths[rows]
        dense = finite(self.heads.dense(outputs, lengths), what="a text")
        weights = self.heads.lexical(outputs)
        multi = self.heads.colbert(outputs) if self.colbert else np.empty((len(rows), 0, dense.shape[1]), np.float32)
        answers = self.allocate(len(rows))
        for i, (row, length) in enumerate(zip(rows, lengths, strict=True)):
            answers[i] = M3Vectors(
                dense=dense[i].copy(),  # a view would keep the batch alive
                lexical=lexical_weights(
                    tokens.row(row), finite(weights[i, :length], what="a text"), unused=self.unused
                ),
                colbert=finite(colbert_vectors(multi[i], tokens=int(length)), what="a text"),
            )
        return answers


def stack(answers: Collection[M3Vectors], *, dimension: int) -> FloatArray:
    """The dense vectors of some answers, shape (n, dim), float32; a copy."""
    out = np.empty((len(answers), dimension), dtype=np.float32)
    for row, answer in zip(out, answers, strict=True):
        row[:] = answer.dense
    return out


def open_heads(name: str, outputs: list[str], paths: Mapping[FileRole, Path], *, dimension: int) -> Heads:
    """The heads of an open model.

    Args:
        name: The model, for the message.
        outputs: Names of the graph's outputs that are read.
        paths: The model's files.
        dimension: Components of a token output.

    Raises:
        UnsuitableModelError: The model has no heads beyond the dense one, or their files are damaged.
    """
    if tuple(outputs) in M3_OUTPUTS:
        return GraphHeads()
    if "sparse_linear" not in paths or "colbert_linear" not in paths:
        msg = (
            f"{name} has neither sparse_linear and colbert_linear files nor an export with their outputs, so it gives "
            "dense vectors only; open it with Embedder"
        )
        raise UnsuitableModelError(msg)
    return TokenHeads(
        sparse=_linear(paths["sparse_linear"], rows=1, columns=dimension),
        multi=_linear(paths["colbert_linear"], rows=None, columns=dimension),
    )


def _linear(path: Path, *, rows: int | None, columns: int) -> Projection:
    tensors = read_tensors(path)
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    rows = rows or next(iter(shapes.get("bias", ())), 0)
    if shapes != {"weight": (rows, columns), "bias": (rows,)}:
        held = ", ".join(f"{name} {shape}" for name, shape in sorted(shapes.items())) or "no tensors"
        msg = f"{path} holds {held}, not one linear layer over {columns} inputs; replace it by the model's own file"
        raise UnsuitableModelError(msg)
    return Projection(tensors["weight"].read(), tensors["bias"].read())


def _only(outputs: Outputs) -> FloatArray:
    (output,) = outputs.values()
    return np.asarray(output, dtype=np.float32)


def join_windows(answers: npt.NDArray[np.object_], tokens: IntArray) -> M3Vectors:
    """One answer to a text out of those to its windows: a mean, the largest weight of each token, and all vectors.

    Args:
        answers: One `M3Vectors` a window, shape (windows,).
        tokens: Tokens of each window, shape (windows,), the weights of the mean.
    """
    indices = np.concatenate([answer.lexical.indices for answer in answers])
    values = np.concatenate([answer.lexical.values for answer in answers])
    return M3Vectors(
        dense=mean(np.stack([answer.dense for answer in answers]), tokens, normalize=True),
        lexical=largest(indices, values),
        colbert=np.concatenate([answer.colbert for answer in answers]),
    )
