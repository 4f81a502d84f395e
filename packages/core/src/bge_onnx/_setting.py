"""Settings as data: what a kind of them holds, how given ones are checked, how they become signatures and fields."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Annotated, Any, TypeVar, cast, get_args, get_type_hints

from bge_onnx._argument_names import check_argument_names

S = TypeVar("S", bound=Mapping[str, Any])
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Setting:
    """One keyword.

    Attributes:
        default: What holds where the user says nothing.
        about: What it does, for people.
        check: Takes the name and a value and returns the value in its plain form, or raises.
        secret: Whether no dump may hold it.
    """

    default: Any
    about: str
    check: Callable[[str, Any], Any]
    secret: bool = False


@cache
def settings_of(kind: type[Mapping[str, Any]]) -> Mapping[str, Setting]:
    """Every setting of a kind by name, in the order in which it is written; keys that are not settings are left out."""
    hints = get_type_hints(kind, include_extras=True)
    found = {name: [one for one in get_args(hint) if isinstance(one, Setting)] for name, hint in hints.items()}
    return MappingProxyType({name: settings[0] for name, settings in found.items() if settings})


def check_settings(
    kind: type[Mapping[str, Any]],
    given: Mapping[str, Any],
    *,
    owner: str,
    beside: Collection[str] = ("model",),
    renamed: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What was given, checked, under the names that it was given by.

    Args:
        kind: Which settings the owner takes.
        given: What the user passed.
        owner: The class, for the message.
        beside: What the owner takes besides, and checks itself.
        renamed: What the owner calls a setting, where it follows the names of its framework.

    Raises:
        InputTypeError: There is no such setting, or a value has the wrong type.
        InputValueError: A value cannot work; the message names the setting.
    """
    known = {(renamed or {}).get(name, name): one for name, one in settings_of(kind).items()}
    check_argument_names(given, allowed=(*beside, *known), owner=owner, renamed=renamed)
    return {name: known[name].check(name, value) if name in known else value for name, value in given.items()}


def complete(kind: type[S], given: Mapping[str, Any], *, owner: str) -> S:
    """Checked settings with every default filled in; see `check_settings` for arguments and errors."""
    checked = check_settings(kind, given, owner=owner)
    return cast("S", {name: checked.get(name, one.default) for name, one in settings_of(kind).items()})


def forward(kind: type[S], values: Mapping[str, Any], *, renamed: Mapping[str, str] | None = None) -> S:
    """The settings of a kind out of the attributes of an object that holds more, under the core's names.

    Args:
        kind: Which settings the receiver takes.
        values: Attributes by name, as `vars` gives them.
        renamed: What the object calls a setting, where it follows the names of its framework.
    """
    return cast("S", {name: values[(renamed or {}).get(name, name)] for name in settings_of(kind)})


class Checked:
    """Tells pydantic that `check_settings` has seen a value, so that errors stay those of this package."""

    def __get_pydantic_core_schema__(self, source: object, handler: object) -> dict[str, str]:
        return {"type": "any"}


def fields_of(kind: type[Mapping[str, Any]], **defaults: object) -> dict[str, tuple[Any, dict[str, Any]]]:
    """Every setting of a kind as a pydantic field: its type, and the arguments of `pydantic.Field`.

    Args:
        kind: Which settings the owner takes.
        **defaults: Defaults that the owner sets otherwise.
    """
    hints = get_type_hints(kind)
    return {
        name: (
            Annotated[hints[name], Checked()],
            {"default": defaults.get(name, one.default), "description": one.about, "frozen": True}
            | ({"exclude": True, "repr": False} if one.secret else {}),
        )
        for name, one in settings_of(kind).items()
    }


def changed(kind: type[Mapping[str, Any]], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that differ from their defaults, for people: secrets are hidden."""
    differ = {name: one for name, one in settings_of(kind).items() if settings[name] != one.default}
    return {name: "***" if one.secret else settings[name] for name, one in differ.items()}


def describe_settings(kind: type[Mapping[str, Any]], *, renamed: Mapping[str, str] | None = None) -> str:
    """Every setting with what it does, as lines of a docstring's `Args` section."""
    return "\n".join(f"    {(renamed or {}).get(name, name)}: {one.about}" for name, one in settings_of(kind).items())


def takes(
    kind: type[Mapping[str, Any]], *, renamed: Mapping[str, str] | None = None, **defaults: object
) -> Callable[[F], F]:
    """Give a constructor that takes `**settings` the signature and the documentation of its settings.

    Args:
        kind: Which settings the owner takes.
        renamed: What the owner calls a setting, where it follows the names of its framework.
        **defaults: Defaults that the owner sets otherwise.
    """

    def decorate(function: F) -> F:
        written = inspect.signature(function)
        hints = get_type_hints(kind)
        own = [p for p in written.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        more = [
            inspect.Parameter(
                (renamed or {}).get(name, name),
                inspect.Parameter.KEYWORD_ONLY,
                default=defaults.get(name, one.default),
                annotation=hints[name],
            )
            for name, one in settings_of(kind).items()
        ]
        function.__signature__ = written.replace(parameters=[*own, *more])  # type: ignore[attr-defined]
        about = describe_settings(kind, renamed=renamed)
        function.__doc__ = f"{function.__doc__ or 'Open the model.'}\n\nArgs:\n{about}\n"
        return function

    return decorate
