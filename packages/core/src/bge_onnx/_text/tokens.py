"""What the model reads: texts and pairs as ragged token ids, cut exactly as the reference cuts them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from bge_onnx._runtime.shared import shared
from bge_onnx._text.growth import check_growth
from bge_onnx._text.reading import Reader, failure
from bge_onnx._text.template import Template
from bge_onnx._text.vocabulary import load_tokenizer
from bge_onnx._text.windows import Rules, Window, windows
from bge_onnx.errors import UnsuitableModelError

Ids = npt.NDArray[np.int32]
PairTruncation: TypeAlias = Literal["only_second", "longest_first"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Ragged token ids of n inputs, special tokens included.

    Attributes:
        ids: All ids, one input after the other, shape (total,).
        offsets: Input i is `ids[offsets[i]:offsets[i + 1]]`, shape (n + 1,).
        second: Position in input i at which the second segment of a pair starts, shape (n,); empty where the model
            knows no segments.
        uncut: Tokens of each input before it was cut to the limit, shape (n,).
    """

    ids: Ids
    offsets: npt.NDArray[np.int64]
    second: npt.NDArray[np.int64]
    uncut: npt.NDArray[np.int64]

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of each input, shape (n,)."""
        return self.offsets[1:] - self.offsets[:-1]

    def row(self, row: int) -> Ids:
        """Token ids of one input."""
        return self.ids[self.offsets[row] : self.offsets[row + 1]]


Part: TypeAlias = tuple[Tokens, npt.NDArray[np.int64]]


def padded(parts: Sequence[Part], *, pad: int) -> dict[str, npt.NDArray[np.int64]]:
    """The inputs of a BERT-like graph for some rows of one or several `Tokens`, padded on the right to the longest.

    Args:
        parts: Tokens with the numbers of the rows to take from each.
        pad: Id that fills the rows.

    Returns:
        `input_ids`, `attention_mask` and `token_type_ids`, each of shape (rows, longest), int64.
    """
    if len(parts) == 1 and len(parts[0][1]) == 1:  # a lone query, which feels every microsecond, has nothing to pad
        tokens, (row,) = parts[0]
        ids = tokens.row(row)[None].astype(np.int64)
        mask = np.ones_like(ids)
    else:
        lengths = np.concatenate([tokens.offsets[rows + 1] - tokens.offsets[rows] for tokens, rows in parts])
        longest = int(lengths.max())
        ids = np.full((len(lengths), longest), pad, dtype=np.int64)
        every = ((tokens, row) for tokens, rows in parts for row in rows)
        for target, (tokens, row), length in zip(ids, every, lengths, strict=True):
            target[:length] = tokens.row(row)
        mask = (np.arange(longest) < lengths[:, None]).astype(np.int64)
    if len(parts[0][0].second):
        second = np.concatenate([tokens.second[rows] for tokens, rows in parts])
        types = mask * (np.arange(ids.shape[1]) >= second[:, None])
    else:
        types = np.zeros_like(ids)
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


class TextTokenizer:
    """A tokeniser whose truncation and padding are switched off for good, so that it is safe to share among threads.

    Attributes:
        pad: Id that fills the rows of a batch; masked, so that models without a pad token work too.
    """

    def __init__(self, path: Path) -> None:
        """Load a `tokenizer.json`, or build the tokeniser from a vocabulary; see `load_tokenizer`.

        Raises:
            UnsuitableModelError: The file is not a tokeniser, or one that adds no usable special tokens.
        """
        try:
            self._tokenizer = load_tokenizer(path)
            check_growth(self._tokenizer, path)
        except UnsuitableModelError:
            raise
        except BaseException as error:
            msg = f"{path} is not a readable {path.name} ({failure(error)}); replace it by the model's own"
            raise UnsuitableModelError(msg) from error
        padding = self._tokenizer.padding
        self.pad = padding["pad_id"] if padding else self._named("[PAD]", "<pad>", default=0)
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        try:
            single, pair = self._tokenizer.encode("a"), self._tokenizer.encode("a", "a")
        except BaseException as error:
            msg = (
                f"the tokenizer failed at a single letter ({failure(error)}); replace tokenizer.json by the model's own"
            )
            raise UnsuitableModelError(msg) from error
        self._single, self._pair = Template.of(single), Template.of(pair)
        self._reader = Reader(self._tokenizer, before=self._single.before, after=self._single.after)

    def _named(self, *names: str, default: int) -> int:
        ids = (self._tokenizer.token_to_id(name) for name in names)
        return next((i for i in ids if i is not None), default)

    @property
    def largest_id(self) -> int:
        """The largest id that a text can get."""
        size = self._tokenizer.get_vocab_size(with_added_tokens=True)
        # Ids without gaps end here; the whole vocabulary as a dict takes as long as loading it.
        if size and self._tokenizer.id_to_token(size - 1) is not None and self._tokenizer.id_to_token(size) is None:
            return size - 1
        return max(self._tokenizer.get_vocab(with_added_tokens=True).values(), default=0)

    @property
    def unused(self) -> frozenset[int]:
        """Ids that carry no meaning of a text: begin, end, padding and unknown."""
        names = ("[CLS]", "[SEP]", "[PAD]", "[UNK]", "<s>", "</s>", "<pad>", "<unk>")
        return frozenset(i for name in names if (i := self._tokenizer.token_to_id(name)) is not None)

    @property
    def size(self) -> int:
        """How many different tokens there are."""
        return self._tokenizer.get_vocab_size()

    @property
    def pair_size(self) -> int:
        """How many special tokens surround a pair."""
        return self._pair.size

    def token(self, index: int) -> str:
        """The piece of text behind an id."""
        return self._tokenizer.decode([index])

    def texts(self, texts: Sequence[str], *, limit: int, instruction: str = "") -> Tokens:
        """Token ids of single texts, `instruction` put before each, cut to `limit` tokens from the right."""
        after = list(self._single.after)
        keep = limit - len(after)
        uncut: list[int] = []
        parts = []
        for read in self._reader.read((instruction + text for text in texts), special=True, keep=limit):
            uncut += (count for _, count in read)
            parts.append(_flat(ids if count <= limit else ids[:keep] + after for ids, count in read))
        lengths = np.array(uncut, dtype=np.int64)
        return Tokens(
            ids=np.concatenate(parts) if parts else np.empty(0, np.int32),
            offsets=_offsets(np.minimum(lengths, limit)),
            second=np.empty(0, np.int64),
            uncut=lengths,
        )

    def pairs(self, pairs: Sequence[tuple[str, str]], *, limit: int, truncation: PairTruncation) -> Tokens:
        """Token ids of (query, passage) pairs; each distinct text is tokenised once.

        "only_second" is FlagEmbedding's rule: the query is cut to three quarters of `limit`, then only the passage
        gives way. "longest_first" is the rule of the tokenizers library.
        """
        distinct = {text: index for index, text in enumerate(dict.fromkeys(chain.from_iterable(pairs)))}
        content = self._content(list(distinct), keep=limit)
        template = self._pair
        room = limit - template.size
        lengths = np.empty(len(pairs), np.int64)
        uncut = np.empty(len(pairs), np.int64)
        second = np.empty(len(pairs), np.int64)
        parts: list[Ids] = []
        before, between, after = (
            np.array(ids, np.int32) for ids in (template.before, template.between, template.after)
        )
        for i, (query, passage) in enumerate(pairs):
            (a, length_a), (b, length_b) = content[distinct[query]], content[distinct[passage]]
            keep_a, keep_b = pair_lengths(length_a, length_b, room=room, limit=limit, truncation=truncation)
            parts += [before, a[:keep_a], between, b[:keep_b], after]
            second[i] = len(before) + keep_a + len(between)
            lengths[i] = keep_a + keep_b + template.size
            uncut[i] = length_a + length_b + template.size
        return Tokens(
            ids=np.concatenate(parts) if parts else np.empty(0, np.int32),
            offsets=_offsets(lengths),
            second=second if template.second_type else np.empty(0, np.int64),
            uncut=uncut,
        )

    def count(self, texts: Sequence[str], *, special: bool) -> list[int]:
        """Tokens of each text, with or without the special ones, before any cut."""
        return [count for read in self._reader.read(texts, special=special, keep=0) for _, count in read]

    def ids(self, text: str) -> list[int]:
        """Ids of all tokens of a text, special ones left out."""
        ((ids, _),) = chain.from_iterable(self._reader.read([text], special=False, keep=len(text) + 1))
        return ids

    def windows(self, text: str, *, size: int, overlap: int = 0) -> Iterator[Window]:
        """The text in windows of at most `size` tokens, special ones left out; see `TokenSplitter.split`."""
        rules = Rules(
            size=size,
            overlap=overlap,
            count=lambda part: self.count([part], special=False)[0],
            sure=self._reader.borders.sure,
        )
        return windows(text, self._reader.spans(text), rules)

    def _content(self, texts: Sequence[str], *, keep: int) -> list[tuple[Ids, int]]:
        read = chain.from_iterable(self._reader.read(texts, special=False, keep=keep))
        return [(np.array(ids[:keep], dtype=np.int32), count) for ids, count in read]


def open_tokenizer(path: Path, *, digest: str, rows: int | None = None) -> TextTokenizer:
    """The tokeniser in this file, shared by all models that are open: XLM-R's vocabulary costs 0.3 s and 0.3 GB.

    Args:
        path: A `tokenizer.json`, `vocab.txt` or `sentencepiece.bpe.model`.
        digest: Its sha256, or that of all files that it is made from; equal ones are one tokeniser, wherever they lie.
        rows: Rows of the model's word table, where they are known.

    Raises:
        UnsuitableModelError: The file is not a tokeniser, one that adds no usable special tokens, or one with more
            tokens than the model has rows for.
    """
    tokenizer = shared((TextTokenizer, digest), lambda: TextTokenizer(path))
    if rows is not None and tokenizer.largest_id >= rows:
        msg = (
            f"{path} has {tokenizer.largest_id + 1} tokens, but the model's word table has {rows} rows; the tokenizer "
            "or the weights belong to another model"
        )
        raise UnsuitableModelError(msg)
    return tokenizer


def pair_lengths(query: int, passage: int, *, room: int, limit: int, truncation: PairTruncation) -> tuple[int, int]:
    """How many tokens of a query and of a passage are kept.

    Args:
        query: Tokens of the query, without special tokens.
        passage: Tokens of the passage, without special tokens.
        room: Tokens left for both once the special tokens have theirs.
        limit: The most tokens of the pair, special tokens included.
        truncation: "only_second" follows FlagEmbedding 1.4; "longest_first" follows the tokenizers library.
    """
    if truncation == "only_second":
        kept = min(query, query_limit(limit), room)
        return kept, min(passage, room - kept)
    if query + passage <= room:
        return query, passage
    short, long = sorted((query, passage))
    long = short if short > room else max(short, room - short)
    if short + long > room:
        short = room // 2
        long = short + room % 2
    return (long, short) if query > passage else (short, long)


def query_limit(limit: int) -> int:
    """The most tokens of a query under "only_second", FlagEmbedding's `max_length * 3 // 4`."""
    return limit * 3 // 4


def _flat(lists: Iterable[list[int]]) -> Ids:
    return np.fromiter(chain.from_iterable(lists), dtype=np.int32)


def _offsets(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets
