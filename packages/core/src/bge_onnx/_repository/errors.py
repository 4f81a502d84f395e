"""Why one source could not deliver; texts of other people's errors without their secrets."""

from __future__ import annotations

import os
import re

__all__ = ["SourceError", "brief"]

_LONGEST = 240
_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")


class SourceError(Exception):
    """Why one source could not deliver; never leaves the package, a search collects them into one `WeightsError`."""


def brief(error: BaseException | str, *, secret: str | None = None) -> str:
    """One line of an error's text, without tokens, and without the user names and passwords of addresses."""
    text = " ".join(str(error).split()) or type(error).__name__
    for token in filter(None, (secret, *map(os.environ.get, _TOKENS))):
        text = text.replace(token.strip() or token, "***")
    text = re.sub(r"\bhf_[A-Za-z0-9]{16,}", "***", text)
    text = re.sub(r"//[^/\s]*@", "//***@", text)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
