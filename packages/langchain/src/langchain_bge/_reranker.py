"""Reranking of retrieved documents for LangChain."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, ClassVar, Unpack

from pydantic import Field, PrivateAttr

from bge_onnx import Reranker, checks
from bge_onnx.settings import DEFAULT_RERANKER, ModelName, RerankerSettings, forward
from langchain_bge._compressor import DocumentReranker
from langchain_bge._settings import RerankerModel, checked


class RankSettings(RerankerSettings, total=False):
    """What `BGEReranker` takes."""

    top_n: int | None
    score_threshold: float | None


class BGEReranker(RerankerModel, DocumentReranker):
    """Sorts documents by relevance to a query and says how relevant they are.

    Returned documents are copies with `metadata["relevance_score"]`, the sigmoid of the model's logit, from 0 to 1.
    With `truncate="window"`, `metadata["relevance_span"]` says which part of a long document that is the score of.

    Args:
        model: Hub id ("BAAI/bge-reranker-base"), catalogue name, local folder or `bge_onnx.ModelSpec`.
        **settings: The fields of this class, and those of `bge_onnx.settings.RerankerSettings`.

    Raises:
        bge_onnx.BGEError: A setting cannot work, the model is unknown or of another kind, or no source has it.

    Example:
        ```python
        from langchain_bge import BGEReranker
        from langchain_core.documents import Document

        reranker = BGEReranker(model="BAAI/bge-reranker-base", top_n=1)
        documents = [Document("Bananas are yellow."), Document("Paris is the capital of France.")]
        reranker.compress_documents(documents, "Which city is the capital of France?")
        ```
    """

    top_n: Annotated[int | None, checked(partial(checks.whole, none="all"))] = Field(default=3, ge=1)
    """The most documents to return; None for all."""

    score_threshold: Annotated[float | None, checked(partial(checks.number, none="all"))] = Field(
        default=None, ge=0, le=1
    )
    """The least relevance score to return; None for all."""

    _renamed: ClassVar[Mapping[str, str]] = {"top_k": "top_n"}
    _engine: Reranker = PrivateAttr()

    def __init__(self, model: ModelName = DEFAULT_RERANKER, **settings: Unpack[RankSettings]) -> None:
        """Check the settings and open the model."""
        super().__init__(model=model, **settings)

    def _open(self) -> Reranker:
        return Reranker(self.model, **forward(RerankerSettings, vars(self)))
