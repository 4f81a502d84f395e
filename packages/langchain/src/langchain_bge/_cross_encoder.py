"""Scores of text pairs for LangChain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Unpack

from langchain_core.cross_encoders import BaseCrossEncoder
from pydantic import PrivateAttr

from bge_onnx import Reranker, checks
from bge_onnx.scores import sigmoid
from bge_onnx.settings import DEFAULT_RERANKER, ModelName, RerankerSettings, forward
from langchain_bge._settings import RerankerModel, checked


class CrossEncoderSettings(RerankerSettings, total=False):
    """What `BGECrossEncoder` takes."""

    scale_score: bool


class BGECrossEncoder(RerankerModel, BaseCrossEncoder):
    """Scores (query, passage) pairs, for code that takes a LangChain cross-encoder.

    `BGEReranker` does more for documents: it returns the scores and is asynchronous.

    Args:
        model: Hub id ("BAAI/bge-reranker-base"), catalogue name, local folder or `bge_onnx.ModelSpec`.
        **settings: The fields of this class, and those of `bge_onnx.settings.RerankerSettings`.

    Raises:
        bge_onnx.BGEError: A setting cannot work, the model is unknown or of another kind, or no source has it.

    Example:
        ```python
        from langchain_bge import BGECrossEncoder

        model = BGECrossEncoder(model="BAAI/bge-reranker-base")
        model.score([("Which city is the capital of France?", "Paris is the capital of France.")])
        ```
    """

    scale_score: Annotated[bool, checked(checks.flag)] = True
    """True for scores from 0 to 1, the sigmoid of the logits, as those of `BGEReranker` and of LangChain's
    `HuggingFaceCrossEncoder`; False for the logits themselves, as FlagReranker returns them. The order is the same."""

    _renamed: ClassVar[Mapping[str, str]] = {"normalize": "scale_score"}
    _engine: Reranker = PrivateAttr()

    def __init__(self, model: ModelName = DEFAULT_RERANKER, **settings: Unpack[CrossEncoderSettings]) -> None:
        """Check the settings and open the model."""
        super().__init__(model=model, **settings)

    def _open(self) -> Reranker:
        return Reranker(self.model, **forward(RerankerSettings, vars(self)))

    def score(self, text_pairs: list[tuple[str, str]]) -> list[float]:
        """Relevance of each pair, in order.

        Raises:
            bge_onnx.errors.InputTypeError: `text_pairs` is not a list of pairs of str; the message names the position.
            bge_onnx.errors.TextTooLongError: A pair exceeds the limit and `truncate` is "error".
        """
        logits = self._engine.score(text_pairs)
        scores: list[float] = (sigmoid(logits) if self.scale_score else logits).tolist()
        return scores
