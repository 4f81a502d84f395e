"""Texts to vectors."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Protocol, Unpack

from bge_onnx import checks
from bge_onnx._heads.vectors import FloatArray, VectorHead, mean
from bge_onnx._model import Model
from bge_onnx._opening import Opened, find, open_model, text_way
from bge_onnx._repository.locate import Located
from bge_onnx._runtime.windowed import Way, WindowVectors, apart, room, windows_of
from bge_onnx._runtime.windows import in_windows, in_windows_async
from bge_onnx._text.checks import check_iterable, check_text, check_texts
from bge_onnx._text.windows import checked_size
from bge_onnx.errors import UnsuitableModelError
from bge_onnx.settings import EmbedderSettings, ModelName, complete, takes

__all__ = ["Embedder"]


class DenseParts(Protocol):
    """What an embedder is made of once it is open."""

    @property
    def model(self) -> Opened:
        """The open model."""
        ...

    @property
    def passages(self) -> Way:
        """The way of passages."""
        ...

    @property
    def queries(self) -> Way:
        """The way of queries."""
        ...

    @property
    def streamed(self) -> Way:
        """The way of passages that come as a stream."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedderParts:
    """An open embedder: two pipelines that differ in what they put before a text."""

    model: Opened
    passages: Way
    queries: Way

    @property
    def streamed(self) -> Way:
        """The way of passages that come as a stream."""
        return self.passages


def open_parts(model: ModelName | Located, settings: EmbedderSettings) -> EmbedderParts:
    """Open a model as an `Embedder`.

    Args:
        model: As the user named it, or what was found already.
        settings: Complete.
    """
    found = find(
        model, settings, task="embedding", pooling=settings["pooling"], query_instruction=settings["query_instruction"]
    )
    opened = open_model(found, settings, answer="vector")
    spec = found.spec
    _check_width(opened)
    head = VectorHead(
        dimension=spec.dimension, pooling=spec.pooling, normalize=settings["normalize"], layers=opened.dense
    )

    def behind(instruction: str) -> Way:
        return text_way(opened, settings, head, join=partial(mean, normalize=head.normalize), instruction=instruction)

    return EmbedderParts(
        model=opened, passages=behind(spec.passage_instruction), queries=behind(spec.query_instruction)
    )


class Embedder(Model[DenseParts]):
    """A BGE embedding model, used as its authors meant it.

    Vectors are pooled and normalised as the model demands, and the model's query instruction goes before queries and
    only there. Everything is thread-safe. Opening the same model with the same settings again shares its weights.

    Args:
        model: Hub id ("BAAI/bge-small-en-v1.5"), catalogue name, local folder, or `ModelSpec`.
        **settings: See `bge_onnx.settings.EmbedderSettings`.

    Raises:
        BGEError: The model is unknown, ambiguous, of another kind, or no source delivers its weights; see
            `bge_onnx.errors` for the classes.
    """

    _settings_kind: ClassVar[type[Mapping[str, Any]]] = EmbedderSettings

    @takes(EmbedderSettings)
    def __init__(self, model: ModelName, **settings: Unpack[EmbedderSettings]) -> None:
        """Open the model."""
        given = complete(EmbedderSettings, settings, owner=type(self).__name__)
        super().__init__(model, given, open_parts)

    @property
    def dimension(self) -> int:
        """Components of a vector."""
        return self.spec.dimension

    @property
    def normalize(self) -> bool:
        """Whether vectors have length 1."""
        return bool(self._settings.get("normalize", True))

    @property
    def _identity(self) -> Mapping[str, Any]:
        return {"normalize": self.normalize, **self._of_long_texts}

    def embed_documents(self, texts: Iterable[str]) -> FloatArray:
        """Vectors of passages, without query instruction.

        Args:
            texts: Any number of texts; "" is a valid one.

        Returns:
            Shape (n, dim), float32, in the order of `texts`.

        Raises:
            InputTypeError: `texts` is not a list of str; the message names the position.
            TextTooLongError: A text exceeds the limit and `truncate` is "error".
        """
        return self._parts.passages.run(check_texts(texts), self._owner)

    def embed_queries(self, queries: Iterable[str]) -> FloatArray:
        """Vectors of queries, the query instruction put before each.

        Returns:
            Shape (n, dim), float32, in the order of `queries`.

        Raises:
            InputTypeError: `queries` is not a list of str; the message names the position.
            TextTooLongError: A query exceeds the limit and `truncate` is "error".
        """
        return self._parts.queries.run(check_texts(queries, what="query"), self._owner)

    def embed_query(self, query: str) -> FloatArray:
        """The vector of one query, the query instruction put before it.

        A query goes before bulk work: it waits for batches that run already, never for one that waits.

        Returns:
            Shape (dim,), float32.

        Raises:
            InputTypeError: `query` is not a str.
            TextTooLongError: The query exceeds the limit and `truncate` is "error".
        """
        return _only(self._parts.queries.run([check_text(query, what="query")], self._owner))

    def embed_stream(self, texts: Iterable[str], *, show_progress: bool | None = None) -> Iterator[FloatArray]:
        """Vectors of passages as they come, for iterables of any size.

        `texts` is read in the calling thread, at most two windows of 2,048 texts ahead.

        Args:
            texts: Any number of texts.
            show_progress: Whether to draw a progress bar; None for what the embedder was opened with.

        Returns:
            Vectors of shape (dim,), float32, in the order of `texts`.

        Raises:
            InputTypeError: `texts` is not an iterable, at once; or holds something else than str, when it is reached.
            TextTooLongError: A text exceeds the limit and `truncate` is "error".
        """
        windows = in_windows(check_iterable(texts), _checked)
        stream = self._parts.streamed.stream(windows, self._owner, show_progress=self._bar(show_progress))
        return (vector for vectors in stream for vector in vectors)

    async def aembed_documents(self, texts: Iterable[str]) -> FloatArray:
        """`embed_documents` off the event loop. A call that is cancelled is not computed any further."""
        return await self._parts.passages.arun(list(check_iterable(texts)), self._owner, check=check_texts)

    async def aembed_queries(self, queries: Iterable[str]) -> FloatArray:
        """`embed_queries` off the event loop. A call that is cancelled is not computed any further."""
        check = partial(check_texts, what="query")
        return await self._parts.queries.arun(list(check_iterable(queries, what="query")), self._owner, check=check)

    async def aembed_query(self, query: str) -> FloatArray:
        """`embed_query` off the event loop."""
        check = check_text(query, what="query")
        return _only(await self._parts.queries.arun([check], self._owner, check=list))

    def aembed_stream(
        self, texts: Iterable[str] | AsyncIterable[str], *, show_progress: bool | None = None
    ) -> AsyncIterator[FloatArray]:
        """`embed_stream` off the event loop; `texts` may be asynchronous itself."""
        if not isinstance(texts, AsyncIterable):
            texts = check_iterable(texts)
        windows = in_windows_async(texts, _checked)
        stream = self._parts.streamed.astream(windows, self._owner, show_progress=self._bar(show_progress))
        return flat(stream)

    def embed_windows(
        self, texts: Iterable[str], *, max_tokens: int | None = None, overlap: int = 0
    ) -> list[WindowVectors]:
        """The windows of each passage, as `TokenSplitter` makes them, with their vectors apart.

        Args:
            texts: Any number of texts, of any length.
            max_tokens: The most tokens of a window, special tokens left out; None for what the model reads.
            overlap: The most tokens that two windows share; at most half of `max_tokens`.

        Raises:
            InputTypeError: `texts` is not a list of str; the message names the position.
            InputValueError: The model cannot read `max_tokens`, or `overlap` is too large.
        """
        parts = self._parts
        most = room(self._tokenizer, limit=parts.model.limit, beside=self.spec.passage_instruction)
        size = checked_size(max_tokens, most=most, default=most, overlap=overlap, model=self.spec.name)
        plan = windows_of(check_texts(texts), self._tokenizer, size=size, overlap=overlap)
        return apart(plan, parts.passages.run([window.text for windows in plan for window in windows], self._owner))

    def _bar(self, show_progress: bool | None) -> bool:
        flag = checks.flag("show_progress", show_progress, none="what the embedder was opened with")
        return bool(self._settings["show_progress"] if flag is None else flag)


async def flat(stream: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """The rows of a stream of windows one by one; leaving early leaves the stream too."""
    try:
        async for rows in stream:
            for row in rows:
                yield row
    finally:
        await stream.aclose()  # type: ignore[attr-defined]  # it is a generator


def _checked(texts: Iterable[str], first: int) -> list[str]:
    return check_texts(texts, first=first)


def _only(vectors: FloatArray) -> FloatArray:
    vector: FloatArray = vectors[0]
    return vector


def _check_width(opened: Opened) -> None:
    spec = opened.found.spec
    width = opened.engine.width(opened.engine.outputs[0])
    if opened.dense:
        due = len(opened.dense[0].weight)
        if width not in (None, due):
            msg = f"{spec.name} gives {width} components to a Dense module of {due}; its files belong to two models"
            raise UnsuitableModelError(msg)
    elif width not in (None, spec.dimension):
        msg = f"{spec.name} gives {width} components, not the {spec.dimension} of its spec; correct its dimension"
        raise UnsuitableModelError(msg)
