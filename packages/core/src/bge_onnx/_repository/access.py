"""How one search may use the network: with which token, or not at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, runtime_checkable

from bge_onnx.errors import InputTypeError, InputValueError

__all__ = ["Access", "HubToken", "TokenLike", "check_token"]


@dataclass(frozen=True, slots=True)
class HubToken:
    """A token of the hub, which no `repr` shows."""

    value: str = field(repr=False)


@runtime_checkable
class _PydanticSecret(Protocol):
    def get_secret_value(self) -> str: ...


@runtime_checkable
class _HaystackSecret(Protocol):
    def resolve_value(self) -> Any: ...  # noqa: ANN401


TokenLike: TypeAlias = str | HubToken | _PydanticSecret | _HaystackSecret


def check_token(name: str, value: object) -> HubToken | _PydanticSecret | _HaystackSecret | None:
    """A token in a form that hides itself; secrets of frameworks stay as they are.

    Raises:
        InputTypeError: It is neither a str nor a secret. The message does not show it.
        InputValueError: It is empty, or holds what no header can.
    """
    if isinstance(value, str):
        token = value.strip()
        if not token or not token.isascii() or not token.isprintable():
            msg = f"{name} must be a token of the hub, got one that is empty or holds other characters than a token has"
            raise InputValueError(msg)
        return HubToken(token)
    if value is None or isinstance(value, HubToken | _PydanticSecret | _HaystackSecret):
        return value
    msg = f"{name} must be a str, a secret of pydantic or Haystack, or None, got {type(value).__name__}"
    raise InputTypeError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How a search may use the network.

    Attributes:
        token: For the hub; None for the user's own, if there is one.
        local_only: Whether nothing may be asked.
    """

    token: TokenLike | None = None
    local_only: bool = False

    def secret(self) -> str | None:
        """The token itself.

        Raises:
            InputTypeError: The secret holds no str.
            InputValueError: It holds no token.
        """
        token = self.token
        try:
            if isinstance(token, _PydanticSecret):
                token = token.get_secret_value()
            elif isinstance(token, _HaystackSecret):
                token = token.resolve_value()
        except Exception as error:  # of whatever class the framework has
            said = " ".join(str(error).split()) or type(error).__name__
            raise InputValueError(f"token cannot be resolved ({said}); set what it names, or pass None") from None
        checked = check_token("token", token)
        return checked.value if isinstance(checked, HubToken) else None
