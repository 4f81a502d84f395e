"""Counting tokens, the same for everything that has a tokenizer."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable

from bge_onnx import checks
from bge_onnx._text.checks import check_text, check_texts
from bge_onnx._text.tokens import TextTokenizer


class CountsTokens:
    """What embedders, rerankers and splitters tell about the tokens of texts."""

    @property
    @abstractmethod
    def _tokenizer(self) -> TextTokenizer:
        """The model's own."""

    def count_tokens(self, texts: Iterable[str], *, special_tokens: bool = True) -> list[int]:
        """Tokens of each text as the model counts them, before any cut.

        Args:
            texts: Any number of texts, of any length.
            special_tokens: Whether to count the special tokens that surround a text; a splitter that adds up pieces
                leaves them out.

        Raises:
            InputTypeError: `texts` is not a list of str; the message names the position.
            InputValueError: `special_tokens` is neither True nor False.
        """
        special = bool(checks.flag("special_tokens", special_tokens))
        return self._tokenizer.count(check_texts(texts), special=special)

    def tokenize(self, text: str) -> list[int]:
        """Ids of the tokens of a text, special tokens left out, before any cut: for code that takes a tokenizer.

        Raises:
            InputTypeError: `text` is not a str.
        """
        return self._tokenizer.ids(check_text(text))

    @property
    def vocabulary_size(self) -> int:
        """How many different tokens there are; ids are below it."""
        return self._tokenizer.size
