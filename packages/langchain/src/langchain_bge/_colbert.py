"""Reranking by late interaction for LangChain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, ClassVar, Unpack

from pydantic import Field, PrivateAttr

from bge_onnx import checks
from bge_onnx.late_interaction import COLBERT, M3Reranker, check_weights
from bge_onnx.settings import DEFAULT_M3, M3Settings, ModelName, forward
from langchain_bge._compressor import DocumentReranker
from langchain_bge._settings import M3Model, checked


class ColBERTSettings(M3Settings, total=False):
    """What `BGEColBERTReranker` takes."""

    weights: Sequence[float]
    top_n: int | None
    score_threshold: float | None


class BGEColBERTReranker(M3Model, DocumentReranker):
    """Sorts documents by bge-m3's late interaction with a query, which reads each document once and alone.

    Returned documents are copies with `metadata["relevance_score"]`, the mean over the query's tokens of the best match
    in the document, at most 1; with `weights`, the weighted mean of the dense, lexical and this score.

    Args:
        model: Hub id ("BAAI/bge-m3"), catalogue name, local folder or `bge_onnx.ModelSpec`, with ColBERT vectors.
        **settings: The fields of this class, and those of `bge_onnx.settings.M3Settings`.

    Raises:
        bge_onnx.errors.UnsuitableModelError: The model gives dense vectors only.
        bge_onnx.BGEError: The model is unknown, or no source delivers its weights.

    Example:
        ```python
        from langchain_bge import BGEColBERTReranker
        from langchain_core.documents import Document

        reranker = BGEColBERTReranker(model="BAAI/bge-m3", weights=(0.4, 0.2, 0.4), top_n=1)
        documents = [Document("Bananas are yellow."), Document("Paris is the capital of France.")]
        reranker.compress_documents(documents, "Which city is the capital of France?")
        ```
    """

    weights: list[float] = Field(default=list(COLBERT), frozen=True)
    """Of the dense, lexical and ColBERT score; the model's authors recommend (0.4, 0.2, 0.4) for all three."""

    top_n: Annotated[int | None, checked(partial(checks.whole, none="all"))] = Field(default=3, ge=1)
    """The most documents to return; None for all."""

    score_threshold: Annotated[float | None, checked(partial(checks.number, none="all"))] = None
    """The least score to return; None for all."""

    _renamed: ClassVar[Mapping[str, str]] = {"top_k": "top_n"}
    _engine: M3Reranker = PrivateAttr()

    def __init__(self, model: ModelName = DEFAULT_M3, **settings: Unpack[ColBERTSettings]) -> None:
        """Check the settings and open the model."""
        if "weights" in settings:  # before pydantic, which would take True for 1.0 and wrap the core's error
            settings["weights"] = list(check_weights(settings["weights"]))
        super().__init__(model=model, **settings)

    def _open(self) -> M3Reranker:
        return M3Reranker(self.model, weights=self.weights, **forward(M3Settings, vars(self)))
