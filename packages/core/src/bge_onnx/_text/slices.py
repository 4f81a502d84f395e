"""Long texts in slices, cut where a tokeniser's tokens end anyway: tokens of the slices are those of the whole.

Tokenising takes 100 to 420 bytes a character, and the tokenizers library ends the process where memory ends. Slices
bound that, whatever a text's length.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

from tokenizers import Tokenizer
from tokenizers.models import Unigram, WordPiece
from tokenizers.normalizers import BertNormalizer

# Characters of a slice: some 10 MB while it is tokenised, and large enough that calls cost nothing beside the work.
SLICE = 32_000

# The most characters tokenised at once where nothing offers a place to cut: up to some 100 MB.
LONGEST_SLICE = 256_000

# Where a cut is looked for first, in characters before the end of a slice: prose has a space there.
_NEAR_END = 512

# How many places inside a word are tried before the search goes elsewhere; each costs about a millisecond once.
_TRIES = 64

# Neighbouring characters of which is remembered whether a token may hold both.
_REMEMBERED = 10_000

# Neither combines with a neighbour, nor vanishes, nor changes with it, in any normaliser that BGE models have.
_PUNCTUATION = r"!-/:-@\[-`{-~«»¡¿\u2010-\u2027\u2030-\u203e\u060c\u061f\u06d4\u0964\u0965、。！？，；：「」"
_IDEOGRAPHS = r"\u4e00-\u9fff"
_ALONE = _PUNCTUATION + _IDEOGRAPHS
_PLAIN = _ALONE + "0-9A-Za-z"

# A slice begins with the space, because tokenisers that write spaces into tokens write them before a word. A carriage
# return and the signs that Arabic numbers begin with stay together with what follows them.
_SPACE = re.compile(r"(?<![\r\u0600-\u0605])[ \t\n\u3000]")
_SINGLE_SPACE = re.compile(r"(?<=[^\s\u0600-\u0605]) (?=\S)")
_MARK = re.compile(rf"(?<=[{_ALONE}])(?=[{_PLAIN}])|(?<=[0-9A-Za-z])(?=[{_ALONE}])")
_SPACE_OR_MARK = re.compile(f"{_SPACE.pattern}|{_MARK.pattern}")
_INSIDE_WORD = re.compile(rf"(?<=[{_PLAIN}])(?=[{_PLAIN}])")

# A run of characters that BERT's tokenisers never part; of a longer one than they read, its length does not matter.
_LONG_RUN = re.compile(rf"[^\W_{_IDEOGRAPHS}\u3400-\u4dbf\uf900-\ufaff\U00020000-\U0002ffff]{{201,}}")
_READ_OF_RUN = 200


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of a text.

    Attributes:
        start: First character.
        end: First character behind it.
        context: Characters before `start` that are tokenised along and whose tokens are dropped.
        safe: Whether tokens up to `end` and behind it are those of the whole text.
    """

    start: int
    end: int
    context: int
    safe: bool


@dataclass(frozen=True)
class Borders:
    """Where the tokens of a text certainly end, by what a tokeniser consists of.

    `BertPreTokenizer` parts at spaces, punctuation and ideographs. `WhitespaceSplit` before `Metaspace`, XLM-RoBERTa's
    way, parts at spaces; within a word, its Unigram model must have a border wherever no piece spans two characters.
    Of any other tokeniser nothing is supposed but that words keep the space before them.

    Attributes:
        tokenizer: The tokeniser, without truncation.
        size: Characters of a slice.
        longest: The most characters of a slice where nothing offers a place to cut.
    """

    tokenizer: Tokenizer
    size: int = SLICE
    longest: int = LONGEST_SLICE
    _spanned: dict[str, bool] = field(default_factory=dict)

    @cached_property
    def bert(self) -> bool:
        """Whether the tokeniser parts and reads words as BERT's does."""
        model, normalizer = self.tokenizer.model, self.tokenizer.normalizer
        return (
            _kinds(self.tokenizer.pre_tokenizer) == ["BertPreTokenizer"]
            and isinstance(model, WordPiece)
            and model.max_input_chars_per_word < _READ_OF_RUN
            and isinstance(normalizer, BertNormalizer)
            and normalizer.handle_chinese_chars
        )

    @cached_property
    def _unigram(self) -> bool:
        """Whether words are parted at spaces and then read by a Unigram model."""
        parted = _kinds(self.tokenizer.pre_tokenizer) == ["WhitespaceSplit", "Metaspace"]
        return parted and isinstance(self.tokenizer.model, Unigram)

    @cached_property
    def _spaces(self) -> re.Pattern[str]:
        if self.bert:
            return _SPACE_OR_MARK
        return _SPACE if self._unigram else _SINGLE_SPACE

    @cached_property
    def _added(self) -> frozenset[str]:
        """Neighbouring characters inside tokens that are matched literally, "[CLS]", and the last of each."""
        contents = [token.content for token in self.tokenizer.get_added_tokens_decoder().values()]
        inside = {a + b for content in contents for a, b in pairwise(content)}
        return frozenset(inside | {content[-1] for content in contents if content})

    @cached_property
    def _pieces(self) -> str:
        return "\n".join(self.tokenizer.get_vocab())

    def parts(self, text: str, *, first: int = 0) -> Iterator[tuple[str, str]]:
        """What to tokenise one after the other in place of the whole text, with the context of each; see `Slice`.

        Of a single word without any place to cut, longer than `longest`, a Unigram model may part the characters
        around the cuts, and characters that it could part in equally good ways, differently than in the whole.
        """
        start, context, size = 0, 0, max(first, self.size)
        while start < len(text):
            end, inside, safe = self._end(text, start, start + size)
            if safe or not self.bert:
                yield text[start - context : end], text[start - context : start]
            else:
                read, end = self._squeezed(text, start)
                yield read, ""
            start, context, size = end, int(inside), self.size

    def slices(self, text: str) -> Iterator[Slice]:
        """The whole text in slices of about `size` characters, in order."""
        start, context = 0, 0
        while start < len(text):
            end, inside, safe = self._end(text, start, start + self.size)
            yield Slice(start, end, context, safe)
            start, context = end, int(inside)

    def sure(self, text: str, position: int) -> bool:
        """Whether both sides of a position have the tokens that they would have alone, without spaces around it."""
        if not 0 < position < len(text):
            return True
        if not (self.bert or self._unigram) or not self._apart(text, position):
            return False
        return text[position - 1] in " \t\n\u3000" or (self.bert and _MARK.match(text, position) is not None)

    def _end(self, text: str, start: int, end: int) -> tuple[int, bool, bool]:
        """Where a slice ends, whether that is inside a word, and whether it is safe."""
        if end >= len(text):
            return len(text), False, True
        for low in (max(start + 1, end - _NEAR_END), start + 1):
            if found := self._last_space(text, low, end):
                return found, False, True
            if self._unigram and (found := self._last_inside_word(text, low, end)):
                return found, True, True
        longest = min(start + self.longest, len(text))
        for match in self._spaces.finditer(text, end, longest):
            if self._apart(text, match.start()):
                return match.start(), False, True
        return (longest, False, True) if longest == len(text) else (_anywhere(text, start, longest), True, False)

    def _last_space(self, text: str, low: int, high: int) -> int:
        found = [match.start() for match in self._spaces.finditer(text, low, high)]
        return next((position for position in reversed(found) if self._apart(text, position)), 0)

    def _last_inside_word(self, text: str, low: int, high: int) -> int:
        found = [match.start() for match in _INSIDE_WORD.finditer(text, low, high)]
        spread = found[:: -max(1, len(found) // _TRIES)]
        return next((p for p in spread if self._apart(text, p) and not self._spans(text[p - 1], text[p])), 0)

    def _apart(self, text: str, position: int) -> bool:
        return text[position - 1 : position + 1] not in self._added

    def _spans(self, before: str, after: str) -> bool:
        """Whether a token may hold both of two neighbouring characters."""
        known = self._spanned.get(before + after)
        if known is None:
            if len(self._spanned) >= _REMEMBERED:
                self._spanned.clear()
            known = self._spanned[before + after] = self._looked_up(before, after)
        return known

    def _looked_up(self, before: str, after: str) -> bool:
        left, right = self._normalised(before), self._normalised(after)
        if before in self._added:  # what follows such a token is read as another word
            return True
        if not left or not right or self._normalised(before + after) != left + right:
            return True
        # Neighbours that the vocabulary lacks become one unknown token.
        unknown = all(self.tokenizer.token_to_id(c) is None for c in (left[-1], right[0]))
        return unknown or left[-1] + right[0] in self._pieces

    def _normalised(self, text: str) -> str:
        """The text as the model of the tokeniser sees it."""
        normalizer = self.tokenizer.normalizer
        return text if normalizer is None else str(normalizer.normalize_str(text))

    def _squeezed(self, text: str, start: int) -> tuple[str, int]:
        """A stretch that BERT's tokenisers read as they read `text` from `start` to the next border, and that border.

        A word of more than 100 characters is one unknown token, however long it is, and accents vanish.
        """
        read = ""
        while start < len(text):
            end, _, safe = self._end(text, start, min(start + self.size, len(text)))
            read = _LONG_RUN.sub(_shortened, read + self._normalised(text[start:end]))
            start = end
            if safe or len(read) > self.longest:
                break
        return read, start


def _shortened(run: re.Match[str]) -> str:
    return run[0][:_READ_OF_RUN]


def _anywhere(text: str, start: int, end: int) -> int:
    """A place to cut where none is safe: at least not before a combining mark."""
    for position in range(end, max(start, end - _NEAR_END), -1):
        if not unicodedata.category(text[position]).startswith("M"):
            return position
    return end


def _kinds(component: Any) -> list[str]:  # noqa: ANN401  # the library has no common type for them
    """The types of a pre-tokeniser and of those in it, in order."""
    if component is None:
        return []
    state = json.loads(component.__getstate__())
    return [str(part["type"]) for part in state.get("pretokenizers", [state])]
