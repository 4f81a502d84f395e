"""`tokenizer.json` of a tiny model, in the two layouts that BGE has: uncased WordPiece and Unigram."""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from typing import Any

from bge_onnx.testing._vocabulary import CHARACTERS, PUNCTUATION, SUFFIXES, WORDS, pieces

_BERT_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_XLMR_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
_SPACE = "▁"


def bert_tokenizer(vocabulary: int | Sequence[str] | None) -> dict[str, Any]:
    """Returns an uncased WordPiece tokenizer: `[CLS] A [SEP]`, `[CLS] A [SEP] B [SEP]` with B in segment 1."""
    letters = string.digits + string.ascii_lowercase
    required = [*_BERT_SPECIAL, *PUNCTUATION, *letters, *(f"##{piece}" for piece in (*letters, *SUFFIXES)), *CHARACTERS]
    listed = pieces(required, _words(vocabulary, uncased=True), size=_size(vocabulary))
    ids = {piece: index for index, piece in enumerate(listed)}
    separated = [_special("[CLS]", 0), _sequence("A", 0), _special("[SEP]", 0)]
    return {
        **_common([(name, ids[name]) for name in _BERT_SPECIAL]),
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": separated,
            "pair": [*separated, _sequence("B", 1), _special("[SEP]", 1)],
            "special_tokens": {name: _template_token(name, ids[name]) for name in ("[CLS]", "[SEP]")},
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": ids,
        },
    }


def xlmr_tokenizer(vocabulary: int | Sequence[str] | None) -> dict[str, Any]:
    """Returns a Unigram tokenizer: `<s> A </s>`, `<s> A </s></s> B </s>`, one segment, `<mask>` as the last id."""
    required = [*_XLMR_SPECIAL, _SPACE, *PUNCTUATION, *string.digits, *string.ascii_letters, *SUFFIXES, *CHARACTERS]
    size = _size(vocabulary)
    words = [f"{_SPACE}{word}" for word in _words(vocabulary, uncased=False)]
    listed = [*pieces(required, words, size=None if size is None else size - 1), "<mask>"]
    ids = {piece: index for index, piece in enumerate(listed)}
    metaspace = {"type": "Metaspace", "replacement": _SPACE, "prepend_scheme": "always", "split": True}
    single = [_special("<s>", 0), _sequence("A", 0), _special("</s>", 0)]
    return {
        **_common([(name, ids[name]) for name in (*_XLMR_SPECIAL, "<mask>")]),
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, metaspace]},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": single,
            "pair": [*single, _special("</s>", 0), _sequence("B", 0), _special("</s>", 0)],
            "special_tokens": {name: _template_token(name, ids[name]) for name in ("</s>", "<s>")},
        },
        "decoder": metaspace,
        "model": {
            "type": "Unigram",
            "unk_id": ids["<unk>"],
            "byte_fallback": False,
            "vocab": [[piece, _score(piece, index)] for index, piece in enumerate(listed)],
        },
    }


def _score(piece: str, index: int) -> float:
    """A log probability under which a whole word always beats its characters, and a suffix too."""
    if piece in _XLMR_SPECIAL or piece == "<mask>":
        return 0.0
    return -14.0 if len(piece) == 1 else -math.log(index + 10)


def _words(vocabulary: int | Sequence[str] | None, *, uncased: bool) -> list[str]:
    words = WORDS if vocabulary is None or isinstance(vocabulary, int) else tuple(vocabulary)
    return [word.lower() for word in words] if uncased else [*words, *(word.title() for word in words)]


def _size(vocabulary: int | Sequence[str] | None) -> int | None:
    return vocabulary if isinstance(vocabulary, int) else None


def _common(special: Sequence[tuple[str, int]]) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    added = [{"id": index, "content": name, **flags} for name, index in special]
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added}


def _special(name: str, segment: int) -> dict[str, Any]:
    return {"SpecialToken": {"id": name, "type_id": segment}}


def _sequence(name: str, segment: int) -> dict[str, Any]:
    return {"Sequence": {"id": name, "type_id": segment}}


def _template_token(name: str, index: int) -> dict[str, Any]:
    return {"id": name, "ids": [index], "tokens": [name]}
