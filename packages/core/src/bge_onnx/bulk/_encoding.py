"""Texts to answers for a whole corpus: one call a chunk, so that the same rows always give the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bge_onnx._heads.lexical import LexicalWeights
from bge_onnx._heads.vectors import FloatArray
from bge_onnx._text.roles import Role
from bge_onnx.embedder import Embedder
from bge_onnx.errors import InputValueError
from bge_onnx.m3 import M3Embedder
from bge_onnx.settings import EmbedderSettings, ModelName

# The core sorts texts by length within windows of this size, so a call of one window is planned alike every time.
CHUNK = 2048


@dataclass(frozen=True, slots=True)
class Encoded:
    """Answers to some texts.

    Attributes:
        vectors: Shape (n, dim), float32.
        sparse: One sparse vector a text; None where none was asked for.
    """

    vectors: FloatArray
    sparse: list[LexicalWeights] | None


def open_for_bulk(model: ModelName, settings: EmbedderSettings, *, sparse: bool) -> Embedder:
    """The embedder that a corpus needs.

    Nothing is remembered: an answer must not depend on what was asked before, if a run that goes on is to give the
    bytes of one that was never interrupted. And where dense vectors are all that is wanted, the other heads' work is
    left undone.

    Raises:
        InputValueError: Sparse vectors together with a setting that bge-m3 does not have.
        BGEError: See `bge_onnx.Embedder`.
    """
    if not sparse:
        return Embedder(model, **settings)
    foreign = [name for name in ("query_instruction", "normalize", "pooling") if name in settings]
    if foreign:
        msg = f"{foreign[0]} has no meaning beside sparse vectors: a bge-m3 knows only one; leave it out"
        raise InputValueError(msg)
    return M3Embedder(model, remember=0, **settings)  # type: ignore[misc]  # the three it does not know are refused


def encode(
    embedder: Embedder, texts: Sequence[str], *, role: Role, sparse: bool, advance: Callable[[int], object]
) -> Encoded:
    """Answers to texts, in their order, chunk by chunk; `advance` is told how many are done after each."""
    vectors = np.empty((len(texts), embedder.dimension), dtype=np.float32)
    weights: list[LexicalWeights] = []
    for start in range(0, len(texts), CHUNK):
        chunk = texts[start : start + CHUNK]
        answer = encode_together(embedder, chunk, role=role, sparse=sparse)
        vectors[start : start + len(chunk)] = answer.vectors
        weights += answer.sparse or []
        advance(start + len(chunk))
    return Encoded(vectors, weights if sparse else None)


def encode_together(embedder: Embedder, texts: Sequence[str], *, role: Role, sparse: bool) -> Encoded:
    """Answers to texts, in their order, by one call of the core."""
    if sparse and isinstance(embedder, M3Embedder):
        output = embedder.encode(texts)
        if output.dense is not None:
            return Encoded(output.dense, output.lexical)
    embed = embedder.embed_queries if role == "query" else embedder.embed_documents
    return Encoded(embed(texts), None)
