"""bge-m3: dense, lexical and ColBERT answers from one forward pass."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Collection, Iterable, Iterator, Mapping
from itertools import chain
from operator import itemgetter
from typing import Any, ClassVar, Unpack, cast

import numpy as np

from bge_onnx import checks
from bge_onnx._heads.lexical import (
    LexicalWeights,
    M3Output,
    M3Scores,
    M3Vectors,
    check_lexical,
    check_weights,
    pair_scores,
    weighted_score,
)
from bge_onnx._heads.m3 import stack
from bge_onnx._m3_parts import M3Parts, open_parts
from bge_onnx._model import Model
from bge_onnx._runtime.windowed import Way
from bge_onnx._runtime.windows import in_windows, in_windows_async
from bge_onnx._text.checks import check_iterable, check_pairs, check_texts
from bge_onnx.embedder import Embedder, flat
from bge_onnx.errors import TextTooLongError
from bge_onnx.settings import DEFAULT_M3, M3Settings, ModelName, complete, takes

__all__ = ["M3Embedder"]


class M3Embedder(Embedder):
    """bge-m3, or a model of its kind, with all three heads.

    It is also an `Embedder` of dense vectors. bge-m3 takes no query instruction: queries and passages are alike. The
    last texts are remembered together with their dense and lexical answers, so that asking for one kind and then for
    the other, as frameworks do, is one forward pass; models whose answers are equal share that memory.

    Args:
        model: Hub id ("BAAI/bge-m3"), catalogue name, local folder, or `ModelSpec`.
        **settings: See `bge_onnx.settings.M3Settings`.

    Raises:
        UnsuitableModelError: The model gives dense vectors only.
        BGEError: The model is unknown, or no source delivers its weights; see `bge_onnx.errors`.
    """

    _settings_kind: ClassVar[type[Mapping[str, Any]]] = M3Settings

    @takes(M3Settings)
    def __init__(self, model: ModelName = DEFAULT_M3, **settings: Unpack[M3Settings]) -> None:
        """Open the model."""
        given = complete(M3Settings, settings, owner=type(self).__name__)
        Model.__init__(self, model, given, open_parts)

    def encode(
        self, texts: Iterable[str], *, dense: bool = True, lexical: bool = True, colbert: bool = False
    ) -> M3Output:
        """All answers that are asked for, from one forward pass.

        Args:
            texts: Any number of texts; "" is a valid one.
            dense: Whether to return dense vectors.
            lexical: Whether to return lexical weights.
            colbert: Whether to return ColBERT vectors, which take `tokens * dim * 4` bytes a text.

        Raises:
            InputTypeError: `texts` is not a list of str; the message names the position.
            TextTooLongError: A text exceeds the limit and `truncate` is "error".
        """
        wanted = _wanted(dense=dense, lexical=lexical, colbert=colbert)
        answers = self._way(colbert=wanted["colbert"]).run(check_texts(texts), self._owner)
        return self._output(answers, **wanted)

    async def aencode(
        self, texts: Iterable[str], *, dense: bool = True, lexical: bool = True, colbert: bool = False
    ) -> M3Output:
        """`encode` off the event loop. A call that is cancelled is not computed any further."""
        wanted = _wanted(dense=dense, lexical=lexical, colbert=colbert)
        inputs = list(check_iterable(texts))
        answers = await self._way(colbert=wanted["colbert"]).arun(inputs, self._owner, check=check_texts)
        return self._output(answers, **wanted)

    def encode_stream(
        self, texts: Iterable[str], *, colbert: bool = False, show_progress: bool | None = None
    ) -> Iterator[M3Vectors]:
        """Answers as they come, for iterables of any size; nothing is remembered.

        `texts` is read in the calling thread, at most two windows of 2,048 texts ahead.

        Args:
            texts: Any number of texts.
            colbert: Whether to make ColBERT vectors.
            show_progress: Whether to draw a progress bar; None for what the embedder was opened with.

        Returns:
            The answers to each text, in the order of `texts`.

        Raises:
            InputTypeError: `texts` is not an iterable, at once; or holds something else than str, when it is reached.
            TextTooLongError: A text exceeds the limit and `truncate` is "error".
        """
        way = self._m3.every if checks.flag("colbert", colbert) else self._m3.unremembered
        windows = in_windows(check_iterable(texts), _checked)
        stream = way.stream(windows, self._owner, show_progress=self._bar(show_progress))
        return (answer for answers in stream for answer in answers)

    def aencode_stream(
        self,
        texts: Iterable[str] | AsyncIterable[str],
        *,
        colbert: bool = False,
        show_progress: bool | None = None,
    ) -> AsyncIterator[M3Vectors]:
        """`encode_stream` off the event loop; `texts` may be asynchronous itself."""
        way = self._m3.every if checks.flag("colbert", colbert) else self._m3.unremembered
        if not isinstance(texts, AsyncIterable):
            texts = check_iterable(texts)
        windows = in_windows_async(texts, _checked)
        return flat(way.astream(windows, self._owner, show_progress=self._bar(show_progress)))

    def lexical_weights(self, texts: Iterable[str]) -> list[LexicalWeights]:
        """The lexical weights alone, in the order of `texts`; see `encode`."""
        return _lexical(self._m3.answers.run(check_texts(texts), self._owner))

    async def alexical_weights(self, texts: Iterable[str]) -> list[LexicalWeights]:
        """`lexical_weights` off the event loop. A call that is cancelled is not computed any further."""
        inputs = list(check_iterable(texts))
        return _lexical(await self._m3.answers.arun(inputs, self._owner, check=check_texts))

    def lexical_tokens(self, weights: LexicalWeights) -> dict[str, float]:
        """Token to weight, for people to read; of tokens that read alike, the largest weight.

        Raises:
            InputTypeError: `weights` are not the lexical weights of a text.
        """
        check_lexical("weights", weights)
        tokenizer = self._m3.model.tokenizer
        by_weight = sorted(weights.as_dict().items(), key=itemgetter(1))
        return {tokenizer.token(index): weight for index, weight in by_weight}

    def score(
        self, pairs: Iterable[tuple[str, str]], *, weights: tuple[float, float, float] = (0.4, 0.2, 0.4)
    ) -> M3Scores:
        """How well the texts of each (query, passage) pair fit, in every way that bge-m3 has.

        Args:
            pairs: The pairs; each distinct text is encoded once.
            weights: Of dense, lexical and ColBERT scores in the weighted means. The default is the one that the
                model's authors recommend for hybrid retrieval.

        Raises:
            InputTypeError: `pairs` is not a list of pairs of str; the message names the position.
            InputValueError: The weights are not three numbers with positive sums.
        """
        checked = check_pairs(pairs)
        d, s, c = check_weights(weights, without_colbert=True)
        texts = list(dict.fromkeys(chain.from_iterable(checked)))
        try:
            answers = dict(zip(texts, self._m3.every.run(texts, self._owner), strict=True))
        except TextTooLongError:
            self._name_the_long_one(checked)
            raise
        rows = [pair_scores(answers[query], answers[passage]) for query, passage in checked]
        dense, lexical, colbert = np.array(rows, dtype=np.float32).reshape(-1, 3).T
        return M3Scores(
            dense=dense,
            lexical=lexical,
            colbert=colbert,
            dense_lexical=weighted_score((dense, lexical), (d, s)),
            combined=weighted_score((dense, lexical, colbert), (d, s, c)),
        )

    def _name_the_long_one(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Raise what says where among the pairs the first text over the limit is; each was read but once."""
        for position, pair in enumerate(pairs):
            for what, text in zip(("query", "passage"), pair, strict=True):
                (tokens,) = self.count_tokens([text])
                if tokens > self.max_length:
                    msg = (
                        f"the {what} of pair {position} has {tokens} tokens, the limit is {self.max_length} tokens; "
                        "split it, or pass truncate='warn' to have it cut"
                    )
                    raise TextTooLongError(msg)

    @property
    def normalize(self) -> bool:
        """Whether vectors have length 1; bge-m3's always do."""
        return True

    def _every(self, texts: list[str]) -> Collection[M3Vectors]:
        return self._m3.every.run(texts, self._owner)

    async def _aevery(self, texts: list[str]) -> Collection[M3Vectors]:
        return await self._m3.every.arun(texts, self._owner, check=list)

    @property
    def _m3(self) -> M3Parts:
        return cast("M3Parts", self._parts)

    def _way(self, *, colbert: bool) -> Way:
        return self._m3.every if colbert else self._m3.answers

    def _output(self, answers: Collection[M3Vectors], *, dense: bool, lexical: bool, colbert: bool) -> M3Output:
        return M3Output(
            dense=stack(answers, dimension=self.dimension) if dense else None,
            lexical=_lexical(answers) if lexical else None,
            colbert=[answer.colbert for answer in answers] if colbert else None,
        )


def _wanted(**flags: object) -> dict[str, bool]:
    """What was asked for, by name; see `checks.flag` for the error."""
    return {name: bool(checks.flag(name, value)) for name, value in flags.items()}


def _lexical(answers: Iterable[M3Vectors]) -> list[LexicalWeights]:
    return [answer.lexical for answer in answers]


def _checked(texts: Iterable[str], first: int) -> list[str]:
    return check_texts(texts, first=first)
