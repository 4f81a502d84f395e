"""The error tree: every error of the package is a `BGEError`, and also the built-in that callers would expect.

BGEError
├── InputTypeError (TypeError)       a text, pair or list has the wrong type
├── InputValueError (ValueError)     an argument or a text has a value that cannot work
│   └── TextTooLongError             a text exceeds the model's limit and truncate="error"
├── UnknownModelError (LookupError)  the catalogue has no such name and no such folder exists
├── AmbiguousModelError (ValueError) a folder leaves pooling or query instruction open
├── UnsuitableModelError (ValueError) a model of another task, or a graph that cannot serve
├── WeightsError (OSError)           no source could deliver verified weights
├── ProviderError (RuntimeError)     an execution provider was asked for and does not run
├── InferenceError (RuntimeError)    ONNX Runtime failed while it computed
├── ModelOutputError (ArithmeticError) the model answered NaN or infinity
└── ClosedError (RuntimeError)       the object was closed, or the program is about to end
"""

from __future__ import annotations

__all__ = [
    "AmbiguousModelError",
    "BGEError",
    "ClosedError",
    "InferenceError",
    "InputTypeError",
    "InputValueError",
    "ModelOutputError",
    "ProviderError",
    "TextTooLongError",
    "TruncationWarning",
    "UnknownModelError",
    "UnsuitableModelError",
    "WeightsError",
]


# Characters of a message. Ours are shorter; what a file holds may not be.
_LONGEST = 1_900


class BGEError(Exception):
    """Root of every error that this package raises on purpose."""

    def __str__(self) -> str:
        """The message: one line of bounded length, whatever a path or a name out of a file holds."""
        text = super().__str__()
        text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
        return text if text.isprintable() else "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


class InputTypeError(BGEError, TypeError):
    """A text, a pair or a list of them has the wrong type; the message names its position."""


class InputValueError(BGEError, ValueError):
    """An argument or a text has a value that cannot work."""


class TextTooLongError(InputValueError):
    """A text exceeds the model's limit while `truncate="error"` is in force."""


class UnknownModelError(BGEError, LookupError):
    """The catalogue holds no such name, and no such folder exists."""


class AmbiguousModelError(BGEError, ValueError):
    """A folder leaves pooling or query instruction open; the message names the argument that settles it."""


class UnsuitableModelError(BGEError, ValueError):
    """The model serves another task, or its graph cannot do what is asked."""


class WeightsError(BGEError, OSError):
    """No source could deliver complete, verified weights; the message names every source tried."""


class ProviderError(BGEError, RuntimeError):
    """An ONNX Runtime execution provider was asked for and cannot run here."""


class InferenceError(BGEError, RuntimeError):
    """ONNX Runtime or the tokenizer failed while it computed; the message carries its reason."""


class ModelOutputError(BGEError, ArithmeticError):
    """The model answered NaN or infinity, which no vector, score or rank may be built on."""


class ClosedError(BGEError, RuntimeError):
    """The object was closed, or the interpreter is about to end; nothing more can be computed."""


class TruncationWarning(UserWarning):
    """Inputs exceeded the model's limit and were cut.

    The message is the same for every call, so that Python shows it once a place; the figures of the call are attributes
    and go to the logger "bge_onnx" at level DEBUG.

    Attributes:
        cut: How many inputs were cut.
        seen: How many inputs there were.
        longest: Tokens of the longest input before it was cut.
        limit: The most tokens that the model reads.
    """

    def __init__(self, message: str, *, cut: int = 0, seen: int = 0, longest: int = 0, limit: int = 0) -> None:
        """Take the message and the figures of one call."""
        super().__init__(message)
        self.cut = cut
        self.seen = seen
        self.longest = longest
        self.limit = limit
