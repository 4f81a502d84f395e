"""A text planned into windows of so many tokens, at the borders people see: paragraphs, sentences, words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from bge_onnx._text.checks import check_whole
from bge_onnx._text.reading import Spans
from bge_onnx.errors import InputValueError

# Scripts that put no space between words: kana and ideographs.
_UNSPACED = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_CLOSING = r"\"'”’»」』）)\]"

# Each matches up to the border. White space belongs to what precedes it.
_PARAGRAPH = re.compile(r"\n[^\S\n]*\n\s*")
_SENTENCE = re.compile(rf"[.!?…][{_CLOSING}]*\s+|[。！？；][{_CLOSING}]*\s*|\n\s*")
_CLAUSE = re.compile(rf"[,;:][{_CLOSING}]*\s+|[，、：][{_CLOSING}]*\s*")
_WORD = re.compile(
    rf"\s+|(?<=[{_UNSPACED}、，。！？；：」』）])(?=[{_UNSPACED}0-9A-Za-z「『（])|(?<=[0-9A-Za-z])(?=[{_UNSPACED}])"
)

# Characters in which the nearest word border is looked for before the whole window is.
_NEAR = 200

# Characters before a position that may belong to a border there.
_REACH = 64


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a text that fits a model.

    Attributes:
        text: The part, exactly as it stands in the text.
        start: Its first character in the text.
        end: The first character behind it.
        tokens: How many tokens the model makes of it, special tokens left out.
    """

    text: str
    start: int
    end: int
    tokens: int

    def stripped(self) -> Window | None:
        """The window without white space around it, as frameworks keep texts; None if nothing is left."""
        text = self.text.strip()
        if not text:
            return None
        start = self.start + len(self.text) - len(self.text.lstrip())
        return Window(text, start, start + len(text), self.tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What windows must fulfil, and how tokens are counted.

    Attributes:
        size: The most tokens of a window.
        overlap: The most tokens at the beginning of a window that the window before ends with; at most half of `size`.
        count: Tokens of a text that stands alone.
        sure: Whether both sides of a position in a text have the tokens that they would have alone.
    """

    size: int
    overlap: int
    count: Callable[[str], int]
    sure: Callable[[str, int], bool]


def checked_size(asked: int | None, *, most: int, default: int, overlap: int, model: str) -> int:
    """The most tokens of a window.

    Args:
        asked: What the user asked for; None for `default`, or `most` if that is less.
        most: What the model reads beside special tokens and instruction.
        default: See `asked`.
        overlap: What the user asked windows to share at most.
        model: The model's name, for the message.

    Raises:
        InputValueError: The model cannot read so many, or `overlap` is more than half of them.
    """
    check_whole(asked, name="max_tokens", none=f"{default}, or what the model reads")
    check_whole(overlap, name="overlap", least=0)
    size = min(default, most) if asked is None else asked
    if size > most:
        msg = (
            f"max_tokens={size} exceeds the {most} tokens that {model} reads beside its special tokens and "
            "instruction; pass less, or leave it"
        )
        raise InputValueError(msg)
    if overlap > size // 2:
        msg = f"overlap must be at most half of max_tokens={size}, got {overlap}"
        raise InputValueError(msg)
    return size


class _Tokens:
    """The tokens from some character of the text on, as far as they are known."""

    def __init__(self, source: Iterator[tuple[Spans, bool]]) -> None:
        self._source = source
        self.starts = np.empty(0, np.int64)
        self.ends = np.empty(0, np.int64)
        self.unsure: list[int] = []
        self.all_known = False

    def advance(self, begin: int, *, most: int) -> None:
        """Forget what lies before `begin`, and know more than `most` tokens if there are so many."""
        known = int(np.searchsorted(self.starts, begin))
        starts, ends = [self.starts[known:]], [self.ends[known:]]
        self.unsure = [position for position in self.unsure if position > begin]
        length = len(starts[0])
        while length <= most and not self.all_known:
            if (following := next(self._source, None)) is None:
                self.all_known = True
                break
            spans, safe = following
            starts.append(spans[:, 0])
            ends.append(spans[:, 1])
            length += len(spans)
            if not safe and len(spans):
                self.unsure.append(int(spans[-1, 1]))
        one = len(starts) == 1
        self.starts, self.ends = (starts[0], ends[0]) if one else (np.concatenate(starts), np.concatenate(ends))

    def until(self, position: int) -> int:
        """How many tokens start before a position."""
        return int(np.searchsorted(self.starts, position))

    def between(self, position: int) -> bool:
        """Whether no token lies on both sides of a position."""
        before = self.until(position)
        return before == 0 or bool(self.ends[before - 1] <= position)


def windows(text: str, source: Iterator[tuple[Spans, bool]], rules: Rules) -> Iterator[Window]:
    """Windows that cover the whole text, in order.

    Args:
        text: The text.
        source: Where its tokens start and end, shape (n, 2), piece by piece, in order; and whether the end of the
            piece is one where tokens certainly end.
        rules: What windows must fulfil.
    """
    tokens = _Tokens(source)
    begin = covered = 0
    clean = True
    while covered < len(text):
        tokens.advance(begin, most=rules.size)
        end, count = _fitting(text, tokens, begin, covered, clean, rules)
        if count > rules.size and begin < covered:  # what is new has too many tokens to be read beside what is not
            begin = covered
            tokens.advance(begin, most=rules.size)
            end, count = _fitting(text, tokens, begin, covered, False, rules)
        yield Window(text[begin:end], begin, end, count)
        begin, covered = _next_begin(text, tokens, begin, end, rules.overlap), end
        clean = tokens.between(begin)


def _fitting(text: str, tokens: _Tokens, begin: int, covered: int, clean: bool, rules: Rules) -> tuple[int, int]:
    """Where a window ends, and the tokens of what it then holds; `clean` says that no token lies across its begin."""
    size = rules.size
    end = _end(text, tokens, begin, covered, size)
    sure = clean and tokens.between(end) and rules.sure(text, begin) and rules.sure(text, end)
    if sure and not any(position < end for position in tokens.unsure):
        return end, tokens.until(end)
    count = rules.count(text[begin:end])
    while count > rules.size and (size := min(size, tokens.until(end)) - (count - rules.size)) > 0:
        end = _end(text, tokens, begin, covered, size)
        count = rules.count(text[begin:end])
    return end, count


def _end(text: str, tokens: _Tokens, begin: int, covered: int, size: int) -> int:
    """Where a window of at most `size` tokens ends: at the end of a sentence in its second half, else at a word's."""
    if tokens.all_known and len(tokens.starts) <= size:
        return len(text)
    least = max(begin, covered) + 1
    most = max(int(tokens.starts[size]), least)
    half = max(int(tokens.starts[size // 2]), least)
    for pattern, low in (
        (_PARAGRAPH, half),
        (_SENTENCE, half),
        (_CLAUSE, half),
        (_WORD, max(most - _NEAR, least)),
        (_WORD, least),
    ):
        for position in reversed(_borders(pattern, text, low, most)):
            if not _joined(text, position):
                return position
    characters = (p for p in range(most, least - 1, -1) if tokens.between(p) and not _joined(text, p))
    return next(characters, most)


def _next_begin(text: str, tokens: _Tokens, begin: int, end: int, overlap: int) -> int:
    """Where the next window begins: at the first sentence, else word, of the last `overlap` tokens of this one."""
    length = tokens.until(end)
    kept = min(overlap, length - 1)
    if kept <= 0:
        return end
    low = max(int(tokens.starts[length - kept]), begin + 1)
    for pattern in (_SENTENCE, _WORD):
        for position in _borders(pattern, text, low, end - 1):
            # Several tokens may begin with one character.
            if length - tokens.until(position) <= kept and not _joined(text, position):
                return position
    return end


def _borders(pattern: re.Pattern[str], text: str, low: int, high: int) -> list[int]:
    """Borders from `low` to `high`, both included."""
    # One character more, so that what follows a border at `high` is seen.
    found = (match.end() for match in pattern.finditer(text, max(low - _REACH, 0), high + 1))
    return [position for position in found if low <= position <= high]


def _joined(text: str, position: int) -> bool:
    """Whether the characters around a position are one sign to a reader, by the main rules of Unicode's annex 29."""
    if not 0 < position < len(text):
        return False
    before, after = text[position - 1], text[position]
    return (
        unicodedata.category(after).startswith("M")
        or "\u200d" in (before, after)
        or "\U0001f3fb" <= after <= "\U0001f3ff"
        or ("\U0001f1e6" <= before <= "\U0001f1ff" and "\U0001f1e6" <= after <= "\U0001f1ff")
        or before + after == "\r\n"
        or "\u1160" <= after <= "\u11ff"
        or after in "\u0e33\u0eb3"
    )
