"""Texts of any length through the tokenizers library, in bounded memory and with errors of this package."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer

from bge_onnx._text.slices import SLICE, Borders
from bge_onnx.errors import InferenceError, InputValueError

Spans = npt.NDArray[np.int64]

# Characters of the tokeniser's own words in a message.
_LONGEST = 300

# Texts tokenised by one call into the tokeniser: large enough for its threads, small enough that the conversion of
# their ids to an array, which holds the interpreter lock, stays far below a millisecond-scale pause.
_CHUNK = 256

# The most characters of such a call, for the sake of memory: a character takes 100 to 420 bytes until it is done.
_CHUNK_CHARACTERS = 500_000

# Characters that are tokenised in a fraction of a millisecond.
_SHORT_TEXT = 2000

# Slices of the usual size tokenised by one call, so that the tokeniser's threads all have work.
_SLICES = 8

# A first slice of so many characters a token holds all that is kept of nearly any text.
_CHARACTERS_A_TOKEN = 8


class Reader:
    """A tokeniser that reads texts of any length; the answers are those of the whole text at once."""

    def __init__(
        self, tokenizer: Tokenizer, *, before: Sequence[int], after: Sequence[int], borders: Borders | None = None
    ) -> None:
        """Wrap a tokeniser without truncation and padding.

        Args:
            tokenizer: The tokeniser.
            before: Ids of the special tokens that it puts before a text.
            after: Ids of those behind it.
            borders: Where long texts may be cut; None for slices of the usual size.
        """
        self._tokenizer = tokenizer
        self.borders = borders or Borders(tokenizer)
        self._long_text = 2 * self.borders.size
        self._before = tuple(before)
        self._after = tuple(after)

    def read(self, texts: Iterable[str], *, special: bool, keep: int) -> Iterator[list[tuple[list[int], int]]]:
        """At least the first `keep` ids of each text, and how many it has, in lists of a bounded size."""
        for chunk in _chunks(texts, long_text=self._long_text):
            if len(chunk) == 1 and len(chunk[0]) > self._long_text:
                yield [self._read_long(chunk[0], special=special, keep=keep)]
            else:
                encodings = self._encoded(chunk, special=special)
                yield [(encoding.ids, len(encoding)) for encoding in encodings]

    def _read_long(self, text: str, *, special: bool, keep: int) -> tuple[list[int], int]:
        kept = list(self._before) if special else []
        after = self._after if special else ()
        count = len(kept) + len(after)
        for batch in _batches(self.borders.parts(text, first=_CHARACTERS_A_TOKEN * keep)):
            encodings = self._encoded([part for part, _ in batch], special=False)
            for encoding, (_, context) in zip(encodings, batch, strict=True):
                skipped = len(self._encoded([context], special=False)[0]) if context else 0
                count += len(encoding) - skipped
                if len(kept) < keep:
                    kept += encoding.ids[skipped:]
        return [*kept, *after], count

    def spans(self, text: str) -> Iterator[tuple[Spans, bool]]:
        """Where the tokens of a text start and end, in characters, slice by slice.

        Returns:
            Shape (n, 2), rising, and whether tokens certainly end where the slice does.
        """
        slices = self.borders.slices(text)
        while batch := list(islice(slices, _SLICES)):
            parts = [text[part.start - part.context : part.end] for part in batch]
            for part, encoding in zip(batch, self._encoded(parts, special=False, offsets=True), strict=True):
                spans = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2) + (part.start - part.context)
                yield np.maximum.accumulate(spans[spans[:, 0] >= part.start]), part.safe

    def _encoded(self, texts: list[str], *, special: bool, offsets: bool = False) -> list[Encoding]:
        try:
            if len(texts) == 1 and len(texts[0]) <= _SHORT_TEXT:
                # Spares the hand-over to the tokeniser's threads, but holds the interpreter lock.
                return [self._tokenizer.encode(texts[0], add_special_tokens=special)]
            encode = self._tokenizer.encode_batch if offsets else self._tokenizer.encode_batch_fast
            return encode(texts, add_special_tokens=special)
        except TypeError as error:  # texts were checked, so that it is what a folder's configuration says
            msg = "the model's own instruction holds a lone surrogate; pass query_instruction= without it"
            raise InputValueError(msg) from error
        except BaseException as error:
            msg = f"the tokenizer failed ({failure(error)}); check tokenizer.json, and the limits on threads and memory"
            raise InferenceError(msg) from error


def failure(error: BaseException) -> str:
    """Why the tokenizers library failed, if it did; whatever else was raised goes on.

    It raises bare `Exception`, and where it panics, for example because no thread can be started, a `BaseException`.
    """
    if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
        raise error
    return next(iter(str(error).splitlines()), type(error).__name__)[:_LONGEST]


def _chunks(texts: Iterable[str], *, long_text: int) -> Iterator[list[str]]:
    """Texts in lists of a bounded size, each long text in a list of its own."""
    chunk: list[str] = []
    characters = 0
    for text in texts:
        long = len(text) > long_text
        if chunk and (long or len(chunk) == _CHUNK or characters + len(text) > _CHUNK_CHARACTERS):
            yield chunk
            chunk, characters = [], 0
        if long:
            yield [text]
        else:
            chunk.append(text)
            characters += len(text)
    if chunk:
        yield chunk


def _batches(parts: Iterable[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    """Parts of a text in lists of a bounded size."""
    batch: list[tuple[str, str]] = []
    characters = 0
    for part in parts:
        batch.append(part)
        characters += len(part[0])
        if characters >= _SLICES * SLICE:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
