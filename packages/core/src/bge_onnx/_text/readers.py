"""Checked inputs to tokens: single texts behind an instruction, or pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bge_onnx._text.tokens import PairTruncation, TextTokenizer, Tokens, query_limit
from bge_onnx._text.truncation import Truncate, TruncationRule

__all__ = ["PairReader", "TextReader"]


@dataclass(frozen=True, slots=True)
class TextReader:
    """Reads single texts.

    Attributes:
        tokenizer: The model's own.
        rule: What happens to texts over the limit.
        instruction: Put before each text.
    """

    tokenizer: TextTokenizer
    rule: TruncationRule
    instruction: str = ""

    @classmethod
    def of(cls, tokenizer: TextTokenizer, *, limit: int, truncate: Truncate, instruction: str = "") -> TextReader:
        """A reader that keeps `limit` tokens, special ones included."""
        return cls(
            tokenizer, TruncationRule(mode=truncate, limit=limit, what="text", limits=f"{limit} tokens"), instruction
        )

    @property
    def pad(self) -> int:
        """Id that fills rows."""
        return self.tokenizer.pad

    def read(self, inputs: Sequence[str]) -> Tokens:
        """Tokens of each text."""
        return self.tokenizer.texts(inputs, limit=self.rule.limit, instruction=self.instruction)

    def size(self, one: str) -> int:
        """Characters of a text."""
        return len(one)


@dataclass(frozen=True, slots=True)
class PairReader:
    """Reads (query, passage) pairs.

    Attributes:
        tokenizer: The model's own.
        rule: What happens to pairs over the limit.
        truncation: Which of the two gives way.
    """

    tokenizer: TextTokenizer
    rule: TruncationRule
    truncation: PairTruncation

    @classmethod
    def of(cls, tokenizer: TextTokenizer, *, limit: int, truncate: Truncate, truncation: PairTruncation) -> PairReader:
        """A reader that keeps `limit` tokens of a pair, special ones included."""
        query = f" or {query_limit(limit)} in the query" if truncation == "only_second" else ""
        limits = f"{limit} tokens{query}"
        return cls(tokenizer, TruncationRule(mode=truncate, limit=limit, what="pair", limits=limits), truncation)

    @property
    def pad(self) -> int:
        """Id that fills rows."""
        return self.tokenizer.pad

    def read(self, inputs: Sequence[tuple[str, str]]) -> Tokens:
        """Tokens of each pair."""
        return self.tokenizer.pairs(inputs, limit=self.rule.limit, truncation=self.truncation)

    def size(self, one: tuple[str, str]) -> int:
        """Characters of a pair."""
        return len(one[0]) + len(one[1])
