"""Why one source could not deliver; texts of other people's errors without their secrets."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

__all__ = ["SourceError", "brief"]

_LONGEST = 240
_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_ADDRESSES = ("_proxy", "hf_endpoint")


class SourceError(Exception):
    """Why one source could not deliver; never leaves the package, a search collects them into one `WeightsError`."""


def brief(error: BaseException | str, *, secret: str | None = None) -> str:
    """One line of an error's text, without tokens, passwords and what stands behind the question mark of an address."""
    text = " ".join(str(error).split()) or type(error).__name__
    for hidden in filter(None, (secret and secret.strip(), *_secrets())):
        text = text.replace(hidden, "***")
    text = re.sub(r"\bhf_[A-Za-z0-9]{16,}", "***", text)
    text = re.sub(r"(?i)\b(bearer|basic) [\w.~+/=-]{6,}", r"\1 ***", text)
    text = re.sub(r"//[^/\s]*@|//[^\s/@]*:\S*@", "//***@", text)
    text = re.sub(r"(https?://[^\s?]*)\?[^\s'\")]+", r"\1?***", text)  # addresses of stores are signed there
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _secrets() -> Iterator[str]:
    """What the environment holds that nobody should read in a message."""
    for name in _TOKENS:
        if token := os.environ.get(name, "").strip():
            yield token
    for name, value in os.environ.items():
        if name.lower().endswith(_ADDRESSES) and "@" in value:
            credentials = value.rpartition("@")[0].rpartition("//")[2]
            parts = [credentials, *credentials.partition(":")[2:]]
            yield from (part for part in parts if len(part) > 3)
