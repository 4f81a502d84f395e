"""What a text is: something that is searched, or what somebody searches for."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from bge_onnx import checks

Role: TypeAlias = Literal["document", "query"]


def check_role(role: object) -> Role:
    """The role itself.

    Raises:
        InputValueError: It is neither "document" nor "query".
    """
    return checks.choice("role", role, allowed=get_args(Role))  # type: ignore[return-value]  # it is one of them
