"""`BGEColBERTRerank`: bge-m3's late interaction behind LlamaIndex's interface."""

from __future__ import annotations

from llama_index.core.bridge.pydantic import Field, PrivateAttr

from bge_onnx.errors import InputValueError
from bge_onnx.late_interaction import COLBERT, M3Reranker
from llama_index.embeddings.bge._settings import Location
from llama_index.postprocessor.bge.base import BGERerank


class BGEColBERTRerank(BGERerank):
    """bge-m3 as a reranker by late interaction, which reads each node once and alone.

    A node's score becomes the mean over the query's tokens of the best match in the node, at most 1; with `weights`,
    the weighted mean of the dense, lexical and this score.

    Raises:
        bge_onnx.errors.UnsuitableModelError: The model gives dense vectors only.
        bge_onnx.BGEError: The model is unknown, or no source delivers its weights.

    Example:
        >>> from llama_index.postprocessor.bge import BGEColBERTRerank
        >>> rerank = BGEColBERTRerank(weights=(0.4, 0.2, 0.4), top_n=3)  # doctest: +SKIP
    """

    model: Location = Field(
        default="BAAI/bge-m3",
        frozen=True,
        description="Hub id, catalogue name or local folder of a model with ColBERT vectors.",
    )
    max_length: int | None = Field(
        default=None, frozen=True, description="The longest text in tokens; None for the model's limit."
    )
    weights: tuple[float, float, float] = Field(
        default=COLBERT,
        frozen=True,
        description="Of the dense, lexical and ColBERT score; its authors recommend 0.4, 0.2, 0.4 for all three.",
    )

    _reranker: M3Reranker = PrivateAttr()  # type: ignore[assignment]  # what ranks is all that is asked of it

    def _open(self) -> None:
        if self.truncation != "only_second":
            msg = f"BGEColBERTRerank reads no pairs that truncation={self.truncation!r} could cut; leave it out"
            raise InputValueError(msg)
        self._reranker = M3Reranker(self.model, weights=self.weights, **self._engine_settings())

    @classmethod
    def class_name(cls) -> str:
        """The name that dumps carry."""
        return "BGEColBERTRerank"
