"""Scores of text pairs for LangChain."""

from __future__ import annotations

from langchain_core.cross_encoders import BaseCrossEncoder

from bge_onnx.scores import sigmoid
from langchain_bge._settings import RerankerSettings


class BGECrossEncoder(RerankerSettings, BaseCrossEncoder):
    """Scores (query, passage) pairs, for code that takes a LangChain cross-encoder.

    `BGEReranker` does more for documents: it returns the scores and is asynchronous.

    Raises:
        bge_onnx.BGEError: The model is unknown, of another kind, or no source delivers its weights.

    Example:
        ```python
        from langchain_bge import BGECrossEncoder

        model = BGECrossEncoder(model="BAAI/bge-reranker-base")
        model.score([("Which city is the capital of France?", "Paris is the capital of France.")])
        ```
    """

    scale_score: bool = True
    """True for scores from 0 to 1, the sigmoid of the logits, as those of `BGEReranker` and of LangChain's
    `HuggingFaceCrossEncoder`; False for the logits themselves, as FlagReranker returns them. The order is the same."""

    def score(self, text_pairs: list[tuple[str, str]]) -> list[float]:
        """Relevance of each pair, in order.

        Raises:
            bge_onnx.errors.InputTypeError: `text_pairs` is no list of pairs of str; the message names the position.
            bge_onnx.errors.TextTooLongError: A pair exceeds the limit and `truncate` is "error".
        """
        logits = self._engine.score(text_pairs)
        scores: list[float] = (sigmoid(logits) if self.scale_score else logits).tolist()
        return scores
