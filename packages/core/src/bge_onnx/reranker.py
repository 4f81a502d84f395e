"""Pairs of query and passage to relevance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Unpack

from bge_onnx._heads.vectors import (
    ONE_LOGIT,
    FloatArray,
    LogitHead,
    RankedPassage,
    check_threshold,
    rank_passages,
)
from bge_onnx._model import Model
from bge_onnx._opening import Opened, find, open_model
from bge_onnx._repository.locate import Located
from bge_onnx._runtime.best_window import BestWindows, WholePairs
from bge_onnx._runtime.pipeline import Pipeline
from bge_onnx._text.checks import check_iterable, check_pair_list, check_pairs, check_text, check_texts, check_whole
from bge_onnx._text.readers import PairReader
from bge_onnx.errors import UnsuitableModelError
from bge_onnx.settings import ModelName, RerankerSettings, complete, takes

__all__ = ["Reranker"]

# What FlagReranker cuts to unless told otherwise, even for models that read more.
_DEFAULT_LENGTH = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankerParts:
    """An open reranker."""

    model: Opened
    pairs: WholePairs | BestWindows


def open_parts(model: ModelName | Located, settings: RerankerSettings) -> RerankerParts:
    """Open a model as a `Reranker`.

    Args:
        model: As the user named it, or what was found already.
        settings: Complete.
    """
    opened = open_model(
        find(model, settings, task="reranking"), settings, answer="logits", default_length=_DEFAULT_LENGTH
    )
    _check_width(opened)
    windowed = settings["truncate"] == "window"
    reader = PairReader.of(
        opened.tokenizer,
        limit=opened.limit,
        truncate="warn" if windowed else settings["truncate"],
        truncation=settings["truncation"],
    )
    pipeline: Pipeline[tuple[str, str]] = Pipeline(
        engine=opened.engine,
        reader=reader,
        head=LogitHead(),
        token_budget=opened.token_budget,
        show_progress=settings["show_progress"] is True,
    )
    pairs = BestWindows(pipeline, opened.tokenizer, opened.limit) if windowed else WholePairs(pipeline)
    return RerankerParts(model=opened, pairs=pairs)


class Reranker(Model[RerankerParts]):
    """A BGE cross-encoder with FlagEmbedding's pair layout and raw logits.

    Everything is thread-safe. Opening the same model with the same settings again shares its weights.

    Args:
        model: Hub id ("BAAI/bge-reranker-base"), catalogue name, local folder, or `ModelSpec`.
        **settings: See `bge_onnx.settings.RerankerSettings`.

    Raises:
        BGEError: The model is unknown, of another kind, or no source delivers its weights; see `bge_onnx.errors`.
    """

    _settings_kind: ClassVar[type[Mapping[str, Any]]] = RerankerSettings

    @takes(RerankerSettings)
    def __init__(self, model: ModelName = "BAAI/bge-reranker-base", **settings: Unpack[RerankerSettings]) -> None:
        """Open the model."""
        given = complete(RerankerSettings, settings, owner=type(self).__name__)
        super().__init__(model, given, open_parts)

    @property
    def _identity(self) -> Mapping[str, Any]:
        return {"truncation": self._settings["truncation"], **self._of_long_texts}

    def score(self, pairs: Iterable[tuple[str, str]]) -> FloatArray:
        """Raw logits of (query, passage) pairs; higher is more relevant, about -12 to 12 for BGE's models.

        Returns:
            Shape (n,), float32, in the order of `pairs`.

        Raises:
            InputTypeError: `pairs` is not a list of pairs of str; the message names the position.
            TextTooLongError: A pair exceeds the limit and `truncate` is "error".
            ModelOutputError: The model answers NaN.
        """
        return self._parts.pairs.run(check_pairs(pairs), self._owner).logits

    def rank(
        self, query: str, passages: Iterable[str], *, top_k: int | None = None, threshold: float | None = None
    ) -> list[RankedPassage]:
        """Passages by falling relevance to the query; equal ones keep their order.

        Args:
            query: The query.
            passages: Any number of passages; none gives an empty list.
            top_k: The most passages to return; None for all.
            threshold: The least `score` (0 to 1) to return; None for all.

        Raises:
            InputTypeError: `query` is not a str or `passages` not a list of str; the message names the position.
            InputValueError: `top_k` is less than 1.
            TextTooLongError: A pair exceeds the limit and `truncate` is "error".
            ModelOutputError: The model answers NaN.
        """
        texts = list(check_iterable(passages, what="passage"))
        pairs = _paired(query, top_k, threshold)(texts)
        scored = self._parts.pairs.run(pairs, self._owner)
        return rank_passages(scored.logits, top_k=top_k, threshold=threshold, spans=scored.spans)

    async def ascore(self, pairs: Iterable[tuple[str, str]]) -> FloatArray:
        """`score` off the event loop. A call that is cancelled is not computed any further."""
        return (await self._parts.pairs.arun(list(check_pair_list(pairs)), self._owner, check=check_pairs)).logits

    async def arank(
        self, query: str, passages: Iterable[str], *, top_k: int | None = None, threshold: float | None = None
    ) -> list[RankedPassage]:
        """`rank` off the event loop. A call that is cancelled is not computed any further."""
        pair = _paired(query, top_k, threshold)
        texts = list(check_iterable(passages, what="passage"))
        scored = await self._parts.pairs.arun(pair(texts), self._owner, check=list)
        return rank_passages(scored.logits, top_k=top_k, threshold=threshold, spans=scored.spans)


def _paired(query: object, top_k: object, threshold: object) -> Callable[[list[str]], list[tuple[str, str]]]:
    """What pairs checked passages with a checked query; the other arguments of a ranking are checked at once."""
    checked = check_text(query, what="query")
    check_whole(top_k, name="top_k", none="all")
    check_threshold(threshold)

    def pair(passages: list[str]) -> list[tuple[str, str]]:
        return [(checked, passage) for passage in check_texts(passages, what="passage")]

    return pair


def _check_width(opened: Opened) -> None:
    (output,) = opened.engine.outputs
    width = opened.engine.width(output)
    if width is not None and width != 1:
        msg = f"{opened.found.spec.name} gives {width} logits a pair; {ONE_LOGIT}"
        raise UnsuitableModelError(msg)
