"""Special tokens around one text or a pair."""

from __future__ import annotations

from dataclasses import dataclass

from tokenizers import Encoding

from bge_onnx.errors import UnsuitableModelError


@dataclass(frozen=True, slots=True)
class Template:
    """Special tokens around one text or a pair, read off the tokeniser itself."""

    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]
    second_type: int

    @classmethod
    def of(cls, encoding: Encoding) -> Template:
        """The special tokens of an encoded text or pair of single letters.

        Raises:
            UnsuitableModelError: The letters are not tokens.
        """
        special = encoding.special_tokens_mask
        content = [position for position, flag in enumerate(special) if not flag]
        if not content:
            msg = "the tokenizer turns a plain letter into no token; its tokenizer.json does not fit a BGE model"
            raise UnsuitableModelError(msg)
        first, last = content[0], content[-1]
        return cls(
            before=tuple(encoding.ids[:first]),
            between=tuple(i for i, flag in zip(encoding.ids[first:last], special[first:last], strict=True) if flag),
            after=tuple(encoding.ids[last + 1 :]),
            second_type=encoding.type_ids[last],
        )

    @property
    def size(self) -> int:
        """How many they are."""
        return len(self.before) + len(self.between) + len(self.after)
