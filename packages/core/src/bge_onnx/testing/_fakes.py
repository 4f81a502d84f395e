"""An embedder and a reranker without a model: instant, repeatable, and as strict about input as the real ones."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from bge_onnx import checks
from bge_onnx._catalogue.spec import ModelSpec
from bge_onnx._heads.vectors import RankedPassage, check_threshold, rank_passages
from bge_onnx._runtime.windowed import WindowVectors
from bge_onnx._text.checks import check_iterable, check_pairs, check_text, check_texts, check_whole
from bge_onnx._text.windows import Window
from bge_onnx.errors import ClosedError

_IDEOGRAPHS = "\u4e00-\u9fff"
_WORD = re.compile(rf"[{_IDEOGRAPHS}]|[^\W{_IDEOGRAPHS}]+")
_SPECIAL_TOKENS = 2
_VOCABULARY = 30_522  # as many as BERT has
_STEEPNESS = 5.0


class _FakeModel:
    """What a fake embedder and a fake reranker have in common: a spec, an identity, an end."""

    def __init__(self, spec: ModelSpec) -> None:
        self._spec = spec
        self._closed = False

    @property
    def spec(self) -> ModelSpec:
        """Facts about the model that is not there."""
        return self._spec

    @property
    def source(self) -> str:
        """Where the weights came from: nowhere."""
        return "fake"

    @property
    def graph(self) -> str:
        """Says that there is none."""
        return "none, a fake"

    @property
    def max_length(self) -> int:
        """What the spec says; texts are never cut."""
        return self._spec.max_tokens

    @property
    def providers(self) -> tuple[str, ...]:
        """No execution provider runs; the one name says so."""
        return ("fake",)

    @property
    def fingerprint(self) -> str:
        """Identity of the results: equal fingerprints mean equal answers to equal inputs."""
        return hashlib.sha256(repr(self._spec).encode()).hexdigest()

    @property
    def vocabulary_size(self) -> int:
        """How many different ids `tokenize` gives."""
        return _VOCABULARY

    def count_tokens(self, texts: Iterable[str], *, special_tokens: bool = True) -> list[int]:
        """Counts words, single Chinese characters, and two special tokens for each text."""
        special = _SPECIAL_TOKENS if checks.flag("special_tokens", special_tokens) else 0
        return [len(_words(text)) + special for text in check_texts(texts)]

    def tokenize(self, text: str) -> list[int]:
        """Returns one id for each word or Chinese character, the same for the same word."""
        return [int.from_bytes(_digest(word)[:4], "little") % _VOCABULARY for word in _words(check_text(text))]

    def close(self) -> None:
        """Makes every later computation raise `ClosedError`; may be called again."""
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._spec.name!r})"

    def _require_open(self) -> None:
        if self._closed:
            raise ClosedError(f"this {type(self).__name__} was closed; make a new one")


class FakeEmbedder(_FakeModel):
    """Stands in for `bge_onnx.Embedder`: every text has its own random unit vector, drawn from its SHA-256.

    Equal texts have equal vectors on every machine; different texts have unrelated ones. A query is embedded as its
    instruction followed by the text, so it equals the passage exactly if there is no instruction.

    Args:
        dimension: Components of a vector.
        query_instruction: Put before every query.
        max_tokens: Stands in the spec; texts are never cut.

    Raises:
        InputValueError: `dimension` is not positive.

    Example:
        >>> FakeEmbedder(dimension=4).embed_documents(["hello", "world"]).shape
        (2, 4)
    """

    def __init__(self, dimension: int = 8, *, query_instruction: str = "", max_tokens: int = 512) -> None:
        check_whole(dimension, name="dimension")
        check_whole(max_tokens, name="max_tokens", least=3)
        instruction = check_text(query_instruction, what="query_instruction")
        super().__init__(
            ModelSpec(name="fake-embedder", dimension=dimension, query_instruction=instruction, max_tokens=max_tokens)
        )

    @property
    def dimension(self) -> int:
        """Components of a vector."""
        return self.spec.dimension

    @property
    def normalize(self) -> bool:
        """Vectors always have length 1."""
        return True

    def embed_documents(self, texts: Iterable[str]) -> NDArray[np.float32]:
        """Returns the vectors of passages, float32 (n, dimension)."""
        return self._vectors(check_texts(texts))

    def embed_queries(self, queries: Iterable[str]) -> NDArray[np.float32]:
        """Returns the vectors of queries, float32 (n, dimension)."""
        return self._vectors([self.spec.query_instruction + query for query in check_texts(queries, what="query")])

    def embed_query(self, query: str) -> NDArray[np.float32]:
        """Returns the vector of one query, float32 (dimension,)."""
        (vector,) = self.embed_queries([check_text(query, what="query")])
        return np.asarray(vector, np.float32)

    def embed_stream(
        self,
        texts: Iterable[str],
        *,
        show_progress: bool | None = None,
    ) -> Iterator[NDArray[np.float32]]:
        """Yields the vectors of passages in order, float32 (dimension,) each."""
        checks.flag("show_progress", show_progress, none="no progress bar")
        checked = check_iterable(texts)
        return (self._vectors(check_texts([text], first=position))[0] for position, text in enumerate(checked))

    def embed_windows(
        self, texts: Iterable[str], *, max_tokens: int | None = None, overlap: int = 0
    ) -> list[WindowVectors]:
        """Returns one window for each text, the whole text: a fake reads any length."""
        check_whole(max_tokens, name="max_tokens", none="what the model reads")
        check_whole(overlap, name="overlap", least=0)
        checked = check_texts(texts)
        tokens = self.count_tokens(checked, special_tokens=False)
        windows = [Window(text, 0, len(text), count) for text, count in zip(checked, tokens, strict=True)]
        return [
            WindowVectors((window,), vector[None])
            for window, vector in zip(windows, self._vectors(checked), strict=True)
        ]

    async def aembed_documents(self, texts: Iterable[str]) -> NDArray[np.float32]:
        """Does what `embed_documents` does."""
        return self.embed_documents(texts)

    async def aembed_queries(self, queries: Iterable[str]) -> NDArray[np.float32]:
        """Does what `embed_queries` does."""
        return self.embed_queries(queries)

    async def aembed_query(self, query: str) -> NDArray[np.float32]:
        """Does what `embed_query` does."""
        return self.embed_query(query)

    async def aembed_stream(
        self,
        texts: Iterable[str] | AsyncIterable[str],
        *,
        show_progress: bool | None = None,
    ) -> AsyncIterator[NDArray[np.float32]]:
        """Does what `embed_stream` does, for asynchronous iterables too."""
        if isinstance(texts, AsyncIterable):
            checks.flag("show_progress", show_progress, none="no progress bar")
            position = 0
            async for text in texts:
                yield self._vectors(check_texts([text], first=position))[0]
                position += 1
            return
        for vector in self.embed_stream(texts, show_progress=show_progress):
            yield vector

    def _vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self._require_open()
        vectors = np.empty((len(texts), self.spec.dimension), np.float32)
        for row, text in zip(vectors, texts, strict=True):
            row[:] = _unit_vector(text, self.spec.dimension)
        return vectors


class FakeReranker(_FakeModel):
    """Stands in for `bge_onnx.Reranker`: the more of the query's words a passage has, the higher its score.

    The logit runs from -5, no word in common, to 5, every word of the query in the passage. Case does not matter, and a
    Chinese character is a word.

    Args:
        max_tokens: Stands in the spec; texts are never cut.

    Example:
        >>> ranked = FakeReranker().rank("red fish", ["one bird", "one red fish", "a red bird"])
        >>> [(passage.index, passage.logit) for passage in ranked]
        [(1, 5.0), (2, 0.0), (0, -5.0)]
    """

    def __init__(self, *, max_tokens: int = 512) -> None:
        check_whole(max_tokens, name="max_tokens", least=3)
        spec = ModelSpec(
            name="fake-reranker",
            dimension=1,
            query_instruction="",
            task="reranking",
            max_tokens=max_tokens,
            heads=("logit",),
        )
        super().__init__(spec)

    def score(self, pairs: Iterable[tuple[str, str]]) -> NDArray[np.float32]:
        """Returns the logits of (query, passage) pairs, float32 (n,)."""
        checked = check_pairs(pairs)
        self._require_open()
        return np.array([_logit(query, passage) for query, passage in checked], np.float32)

    def rank(
        self, query: str, passages: Iterable[str], *, top_k: int | None = None, threshold: float | None = None
    ) -> list[RankedPassage]:
        """Returns passages by falling logit, ties in input order.

        Args:
            query: The query.
            passages: What to rank.
            top_k: The most passages to return; None for all.
            threshold: The least `score` (not logit) that is returned; None for all.
        """
        check_whole(top_k, name="top_k", none="all")
        check_threshold(threshold)
        question = check_text(query, what="query")
        logits = self.score([(question, passage) for passage in check_texts(passages, what="passage")])
        return rank_passages(logits, top_k=top_k, threshold=threshold)

    async def ascore(self, pairs: Iterable[tuple[str, str]]) -> NDArray[np.float32]:
        """Does what `score` does."""
        return self.score(pairs)

    async def arank(
        self, query: str, passages: Iterable[str], *, top_k: int | None = None, threshold: float | None = None
    ) -> list[RankedPassage]:
        """Does what `rank` does."""
        return self.rank(query, passages, top_k=top_k, threshold=threshold)


def _unit_vector(text: str, dimension: int) -> NDArray[np.float64]:
    # Lone surrogates are let through: a fake has no tokenizer that could stumble over them.
    vector = np.random.default_rng(np.frombuffer(_digest(text), np.uint32)).standard_normal(dimension)
    return np.asarray(vector / np.linalg.norm(vector))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _logit(query: str, passage: str) -> float:
    wanted = set(_words(query))
    found = len(wanted & set(_words(passage))) / len(wanted) if wanted else 0.0
    return _STEEPNESS * (2 * found - 1)
