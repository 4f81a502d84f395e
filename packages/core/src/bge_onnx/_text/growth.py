"""How much longer a tokenizer file can make a text: one that makes a page of a letter is none of a model's.

Normalizers and decoders of a `tokenizer.json` may replace texts, one after the other. Thirty that double a letter make
a gigabyte of it, and the tokenizers library ends the process where memory ends.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from bge_onnx.errors import UnsuitableModelError

__all__ = ["check_growth"]

# XLM-RoBERTa's table of characters has replacements of 33 bytes, with a regular expression behind it that counts twice.
_MOST = 256.0
# The longest decompositions of Unicode: U+FDFA, and U+1D160.
_COMPATIBLE, _CANONICAL = 18.0, 4.0
_SEVERAL = ("normalizers", "decoders")


def check_growth(tokenizer: Tokenizer, path: Path) -> None:
    """Refuse a tokenizer whose replacements could make a text very much longer.

    Raises:
        UnsuitableModelError: They could.
    """
    for component in (tokenizer.normalizer, tokenizer.decoder):
        if component is not None and _growth(json.loads(component.__getstate__())) > _MOST:
            msg = f"{path} can make a text more than {_MOST:.0f} times as long; replace it by the model's own"
            raise UnsuitableModelError(msg)


def _growth(state: Mapping[str, Any]) -> float:
    """The most characters that come of one, or more than that."""
    growth = 1.0
    for name in _SEVERAL:
        for part in state.get(name, ()):
            growth *= _growth(part)
    match state.get("type"):
        case "Replace":
            pattern = state["pattern"].get("String")
            content = len(state["content"])
            # A regular expression may fit between any two characters.
            return growth * (max(1.0, content / max(1, len(pattern))) if pattern is not None else content + 1.0)
        case "Prepend":
            return growth * (1.0 + len(state["prepend"]))
        case "Precompiled":
            return growth * _longest_replacement(base64.b64decode(state["precompiled_charsmap"]))
        case "NFKD" | "NFKC":
            return growth * _COMPATIBLE
        case "NFD":
            return growth * _CANONICAL
    return growth


def _longest_replacement(table: bytes) -> float:
    """Bytes of the longest text in a compiled table: its index behind 4 bytes of length, then texts that NUL ends."""
    index = int.from_bytes(table[:4], "little")
    return float(max(map(len, table[4 + index :].split(b"\0")), default=1) or 1)
