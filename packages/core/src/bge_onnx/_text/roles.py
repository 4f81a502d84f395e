"""What a text is: something that is searched, or what somebody searches for."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from bge_onnx.errors import InputValueError

Role: TypeAlias = Literal["document", "query"]


def check_role(role: object) -> Role:
    """The role itself.

    Raises:
        InputValueError: It is neither "document" nor "query".
    """
    if role not in get_args(Role):
        msg = f"role must be 'document' or 'query', got {role!r}"
        raise InputValueError(msg)
    return role  # type: ignore[return-value]  # it is one of them
