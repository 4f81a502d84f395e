"""Tokenizers for models that come without a `tokenizer.json`: from `vocab.txt` or `sentencepiece.bpe.model`.

Both are put together as the converters of transformers put them together (`convert_slow_tokenizer.py`), so that they
cut texts as its fast tokenizers do.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from bge_onnx._catalogue.json_file import read_object
from bge_onnx._regular import open_regular
from bge_onnx.errors import UnsuitableModelError

if TYPE_CHECKING:
    from bge_onnx._text.sentencepiece import Piece

__all__ = ["BESIDE_VOCABULARY", "VOCABULARIES", "load_tokenizer"]

# In the order in which they are looked for.
VOCABULARIES: Final = ("vocab.txt", "sentencepiece.bpe.model")
BESIDE_VOCABULARY: Final = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")

_BERT_CLASSES = (None, "BertTokenizer", "BertTokenizerFast")
_XLMR_CLASSES = (None, "XLMRobertaTokenizer", "XLMRobertaTokenizerFast")
_SPECIAL = ("unk_token", "sep_token", "pad_token", "cls_token", "mask_token", "bos_token", "eos_token")


def load_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer in a `tokenizer.json`, a `vocab.txt` or a `sentencepiece.bpe.model`.

    What stands in `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json` beside the latter two
    counts.

    Raises:
        UnsuitableModelError: The file is none, or the files beside it contradict it.
    """
    if path.suffix == ".txt":
        return _wordpiece(path, _Settings(path.parent))
    if path.suffix == ".model":
        return _unigram(path, _Settings(path.parent))
    return Tokenizer.from_file(str(path))


class _Settings:
    """What the JSON files beside a vocabulary say."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config, self._special, self._added = (read_object(folder / name) for name in BESIDE_VOCABULARY)

    def check_class(self, known: Sequence[str | None]) -> None:
        found = self.config.get("tokenizer_class")
        if found not in known:
            raise UnsuitableModelError(
                f"{self.folder} has a {found}, which is not built from its vocabulary alone; save it with a "
                "tokenizer.json"
            )

    def flag(self, name: str, *, default: bool | None) -> bool | None:
        value = self.config.get(name, default)
        if value is not None and not isinstance(value, bool):
            raise UnsuitableModelError(f"{self.folder}: {name} in tokenizer_config.json must be true or false")
        return value

    def special(self, name: str, default: str) -> str:
        """The text of a special token."""
        value = self._special.get(name) or self.config.get(name) or default
        return _content(value) or default

    def added(self, *, normalized: bool = False) -> list[tuple[int | None, AddedToken]]:
        """Tokens to declare, with the id each must get; None where the files leave that to the vocabulary."""
        decoder = self.config.get("added_tokens_decoder")
        if isinstance(decoder, dict) and decoder:
            stated = sorted((_id(key), key) for key in decoder)
            return [(place, _token(decoder[key])) for place, key in stated]
        names = [self.special(name, "") for name in _SPECIAL]
        extra = self._special.get("additional_special_tokens") or self.config.get("additional_special_tokens") or []
        special = dict.fromkeys([*names, *map(_content, extra if isinstance(extra, list) else [])])
        found: list[tuple[int | None, AddedToken]] = [
            (self._added.get(name), AddedToken(name, normalized=normalized, special=True)) for name in special if name
        ]
        plain = {name: place for name, place in self._added.items() if name not in special}
        found += [(_id(place), AddedToken(name, normalized=True)) for name, place in plain.items()]
        return sorted(found, key=lambda pair: -1 if pair[0] is None else pair[0])

    def declare(self, tokenizer: Tokenizer) -> Tokenizer:
        """Add the tokens; each must get the id that its files state, because the weights know it by that."""
        for place, token in self.added():
            known = tokenizer.token_to_id(token.content)
            if known is None and place is None:
                continue  # named by convention, and not part of this vocabulary
            (tokenizer.add_special_tokens if token.special else tokenizer.add_tokens)([token])
            found = tokenizer.token_to_id(token.content)
            if place is not None and found != place:
                raise UnsuitableModelError(
                    f"{self.folder}: the added token {token.content!r} should have id {place}, but its vocabulary "
                    f"gives it {found}; save the tokenizer with a tokenizer.json"
                )
        return tokenizer


def _wordpiece(path: Path, settings: _Settings) -> Tokenizer:
    settings.check_class(_BERT_CLASSES)
    vocabulary = {word: place for place, word in enumerate(_lines(path))}
    unknown, cls, sep = (
        settings.special(name, default)
        for name, default in (("unk_token", "[UNK]"), ("cls_token", "[CLS]"), ("sep_token", "[SEP]"))
    )
    missing = [token for token in (unknown, cls, sep) if token not in vocabulary]
    if missing:
        raise UnsuitableModelError(f"{path} has no {missing[0]}, so it is not a vocabulary of BERT's kind")
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=unknown))
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=bool(settings.flag("tokenize_chinese_chars", default=True)),
        strip_accents=settings.flag("strip_accents", default=None),
        lowercase=bool(settings.flag("do_lower_case", default=True)),
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=[f"{cls}:0", "$A:0", f"{sep}:0"],
        pair=[f"{cls}:0", "$A:0", f"{sep}:0", "$B:1", f"{sep}:1"],
        special_tokens=[(cls, vocabulary[cls]), (sep, vocabulary[sep])],
    )
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    return settings.declare(tokenizer)


def _unigram(path: Path, settings: _Settings) -> Tokenizer:
    """XLM-R's: sentencepiece's ids moved up by one, with fairseq's special tokens in front and the mask behind."""
    from bge_onnx._text.sentencepiece import read_pieces  # costs memory that models with a tokenizer.json need not pay

    settings.check_class(_XLMR_CLASSES)
    model = read_pieces(path)
    vocabulary = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    vocabulary += [(piece.text, piece.score) for piece in model.pieces[3:]]
    vocabulary += [("<mask>", 0.0)]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=3, byte_fallback=False))
    tokenizer.add_tokens(list(_own_tokens(model.pieces)))
    charsmap = [normalizers.Precompiled(model.charsmap)] if model.charsmap else []
    tokenizer.normalizer = normalizers.Sequence(
        [*charsmap, normalizers.Strip(left=False, right=True), normalizers.Replace(Regex(" {2,}"), "▁")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=["<s>", "$A", "</s>"],
        pair=["<s>", "$A", "</s>", "</s>", "$B", "</s>"],
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    mask = AddedToken("<mask>", lstrip=True, normalized=True, special=True)
    tokenizer.add_special_tokens([mask])
    return settings.declare(tokenizer)


def _own_tokens(pieces: Sequence[Piece]) -> Iterator[AddedToken]:
    for piece in pieces:
        if piece.kind in ("control", "user"):
            yield AddedToken(piece.text, normalized=False, special=piece.kind == "control")


def _lines(path: Path) -> list[str]:
    """One token a line; only line feeds end a line, because other separators are tokens themselves."""
    try:
        with open_regular(path) as file, io.TextIOWrapper(file, encoding="utf-8") as lines:
            return [line.removesuffix("\n") for line in lines]
    except (OSError, UnicodeDecodeError) as error:
        raise UnsuitableModelError(
            f"{path} is not a readable vocab.txt ({error}); replace it by the model's own"
        ) from error


def _content(value: object) -> str:
    content = value.get("content") if isinstance(value, dict) else value
    return content if isinstance(content, str) else ""


def _id(value: object) -> int:
    try:
        return int(str(value))
    except ValueError:
        raise UnsuitableModelError(f"an added token has the id {value!r}; replace the tokenizer's files") from None


def _token(value: object) -> AddedToken:
    if not isinstance(value, dict) or not _content(value):
        raise UnsuitableModelError(f"an added token is {value!r}; replace the tokenizer's files")
    flags = {name: value.get(name) is True for name in ("lstrip", "normalized", "rstrip", "single_word", "special")}
    return AddedToken(_content(value), **flags)
