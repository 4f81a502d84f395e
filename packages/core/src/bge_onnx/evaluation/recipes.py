"""The ways in which the world makes vectors with BGE models: what `check_index` tries."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from bge_onnx import ModelSpec
from bge_onnx._text.checks import check_text
from bge_onnx.types import Pooling, Precision

__all__ = ["Change", "Recipe", "lengths", "prefixes"]

Change: TypeAlias = Literal["none", "strip", "line breaks", "line breaks and strip", "white space", "lower case"]

# What libraries do to a text before the model reads it: LangChain's classes turn "\n" into " ", sentence-transformers
# strips, splitters and loaders join runs of white space, and older pipelines lower the case.
CHANGES: Mapping[Change, Callable[[str], str]] = {
    "none": str,
    "strip": str.strip,
    "line breaks": lambda text: text.replace("\n", " "),
    "line breaks and strip": lambda text: text.replace("\n", " ").strip(),
    "white space": lambda text: re.sub(r"\s+", " ", text).strip(),
    "lower case": str.lower,
}
_SAID: Mapping[Change, str] = {
    "none": "",
    "strip": "outer white space removed",
    "line breaks": "line breaks replaced by spaces",
    "line breaks and strip": "line breaks replaced by spaces and outer white space removed",
    "white space": "runs of white space joined",
    "lower case": "text in lower case",
}

# Prefixes in use, byte for byte, beside the model's own. The first is what LangChain's and LlamaIndex's BGE classes
# send with English queries, where the models were trained with "sentence" (langchain_community/embeddings/
# huggingface.py, llama_index/embeddings/huggingface/utils.py); the last two are those of the E5 family.
_PREFIXES = (
    "Represent this question for searching relevant passages: ",
    "Represent this sentence for searching relevant passages: ",
    "为这个句子生成表示以用于检索相关文章：",
    "query: ",
    "passage: ",
)
# Limits in tokens that libraries set where the model reads more: 512 is FlagEmbedding's and sentence-transformers' for
# BGE, 384 and 256 come from other models' configurations, 128 from early ones.
_LENGTHS = (512, 384, 256, 128)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One way to make a vector's direction from a text.

    Attributes:
        model: The model's name.
        precision: Its number format.
        pooling: How token outputs become one vector.
        prefix: Put before the text, byte for byte.
        change: What is done to the text before that.
        max_length: The most tokens that are read, special tokens included.
    """

    model: str
    pooling: Pooling
    max_length: int
    precision: Precision = "fp32"
    prefix: str = ""
    change: Change = "none"

    def text(self, text: str) -> str:
        """What the model reads."""
        return self.prefix + CHANGES[self.change](check_text(text))

    def __str__(self) -> str:
        pooled = "the first token's vector" if self.pooling == "cls" else "the mean of the token vectors"
        parts = [
            f"{self.model}{'' if self.precision == 'fp32' else f' in {self.precision}'}",
            pooled,
            f"{self.prefix!r} before each text" if self.prefix else "no instruction",
            _SAID[self.change],
            f"cut at {self.max_length} tokens",
        ]
        return ", ".join(part for part in parts if part)


def prefixes(spec: ModelSpec) -> tuple[str, ...]:
    """The prefixes to try with a model, its own ones first."""
    return tuple(dict.fromkeys(["", spec.query_instruction, spec.passage_instruction, *_PREFIXES]))


def lengths(spec: ModelSpec) -> tuple[int, ...]:
    """The limits to try with a model, in tokens, its own one first."""
    return (spec.max_tokens, *(length for length in _LENGTHS if length < spec.max_tokens))
