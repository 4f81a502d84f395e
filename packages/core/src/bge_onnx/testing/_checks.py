"""What the contracts of embedders and rerankers share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

THREADS = 8
TOLERANCE = 1e-6
NO_TEXTS: tuple[object, ...] = (None, b"bytes", 3, ["list"])


def assert_close(actual: object, expected: object, *, tolerance: float = TOLERANCE) -> None:
    """Fails unless two arrays, or lists of rows, have one shape and differ nowhere by more than the tolerance."""
    left, right = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    # `assert_allclose(..., strict=True)` would say so itself, from numpy 2 on.
    np.testing.assert_equal(left.shape, right.shape)
    np.testing.assert_allclose(left, right, rtol=0, atol=tolerance)


def type_error(function: Callable[..., object], argument: object) -> str:
    """The message of the TypeError that the call must raise."""
    return _raised(TypeError, function, argument)


def value_error(function: Callable[..., object], argument: object) -> str:
    """The message of the ValueError that the call must raise."""
    return _raised(ValueError, function, argument)


def _raised(error: type[Exception], function: Callable[..., object], argument: object) -> str:
    try:
        function(argument)
    except error as raised:
        return str(raised)
    raise AssertionError(f"{argument!r} was accepted where {error.__name__} is due")
