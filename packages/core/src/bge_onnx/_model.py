"""What every noun shares: opening a model, and the life of an open one."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

from bge_onnx._cache.place import notes_place
from bge_onnx._cache.prepared import Answer, arithmetic, prepare_graph
from bge_onnx._catalogue.modules import dense_modules
from bge_onnx._catalogue.spec import ModelSpec, Pooling, Precision, Task
from bge_onnx._checkpoint.located import read_located
from bge_onnx._heads.dense import Dense, open_dense
from bge_onnx._repository.locate import Located, locate, resolve_base
from bge_onnx._runtime.calls import Owner
from bge_onnx._runtime.device import Device
from bge_onnx._runtime.engine import Engine, EngineSpec, engine
from bge_onnx._runtime.lazy import Lazy
from bge_onnx._runtime.session import SessionSpec
from bge_onnx._text.tokens import TextTokenizer, open_tokenizer
from bge_onnx.errors import InputValueError
from bge_onnx.settings import EngineSettings, ModelName, changed

# The special tokens and one place for each text; below 8, FlagEmbedding's rule for pairs leaves nothing to the passage.
_SHORTEST: Mapping[Task, int] = {"embedding": 3, "reranking": 8}


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A model that is ready to compute.

    Attributes:
        found: What it is, and its verified files.
        limit: The longest input in tokens, special tokens included.
        token_budget: The most padded tokens in a batch.
        tokenizer: Shared with every other model that reads with the same file.
        dense: Linear layers behind the pooling.
        graph: What was done to the published graph, for people.
        arithmetic: What the graph's answers depend on beside the files, for fingerprints.
        engine: Shared with every other model opened with the same settings.
    """

    found: Located
    limit: int
    token_budget: int
    tokenizer: TextTokenizer
    dense: tuple[Dense, ...]
    graph: str
    arithmetic: str
    engine: Engine

    def fingerprint(self, identity: Mapping[str, Any]) -> str:
        """A sha256, hexadecimal, over the digests of the files and everything else that changes an answer."""
        spec = self.found.spec
        parts = {
            "files": dict(sorted(self.found.files.digests.items())),
            "precision": self.arithmetic,
            "limit": self.limit,
            "pooling": spec.pooling,
            "instructions": [spec.query_instruction, spec.passage_instruction],
            "settings": dict(identity),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class HasOpened(Protocol):
    """Whatever a noun is made of once it is open."""

    @property
    def model(self) -> Opened:
        """The open model."""
        ...


O = TypeVar("O", bound=HasOpened)  # noqa: E741


def find(
    model: ModelName | Located,
    settings: Mapping[str, Any],
    *,
    task: Task,
    pooling: Pooling | None = None,
    query_instruction: str | None = None,
) -> Located:
    """Find out what a user means and bring its files here, unless that is done already; see `locate` for the errors.

    Args:
        model: As the user named it, or what was found already.
        settings: Complete.
        task: What the model must be made for.
        pooling: Settles or overrides the model's pooling.
        query_instruction: Settles or overrides the model's query instruction.
    """
    if isinstance(model, Located):
        return model
    return locate(
        model,
        task=task,
        precision=settings["precision"],
        file=settings["file"],
        revision=settings["revision"],
        cache=_cache(settings),
        sources=settings["sources"],
        progress=settings["show_progress"],
        pooling=pooling,
        query_instruction=query_instruction,
    )


def _cache(settings: Mapping[str, Any]) -> Path | None:
    folder = settings["cache_dir"]
    return None if folder is None else Path(folder).expanduser()


def open_model(
    found: Located, settings: EngineSettings, *, answer: Answer, default_length: int | None = None
) -> Opened:
    """Open the engine of a model.

    Args:
        found: The model.
        settings: The user's, complete.
        answer: What the graph must deliver.
        default_length: The limit in tokens where the user sets none; None for the model's own.
    """
    spec = found.spec
    base_of = partial(
        resolve_base, cache=_cache(settings), sources=settings["sources"], progress=settings["show_progress"]
    )
    files, checkpoint = read_located(found.files, find_base=base_of, notes=notes_place(_cache(settings)))
    device = Device.of(settings["providers"], threads=settings["threads"])  # type: ignore[arg-type]  # checked: a list
    limit = _limit(spec, settings["max_length"], default_length)
    precision: Precision = "int8" if settings["precision"] == "int8" else files.precision
    if spec.pooling == "mean" and answer == "vector":
        answer = "tokens"  # a graph rebuilt for the first token alone has nothing to average
    graph = prepare_graph(
        files,
        checkpoint,
        answer=answer,
        precision=precision,
        cache_dir=_cache(settings),
        on_cpu=device.is_cpu,
    )
    stat = graph.path.stat()
    session = SessionSpec(
        path=graph.path, stamp=(stat.st_size, stat.st_mtime_ns), outputs=graph.outputs, optimised=graph.prepared
    )
    return Opened(
        found=replace(found, files=files),
        limit=limit,
        token_budget=settings["token_budget"] or device.token_budget,
        tokenizer=open_tokenizer(
            files.paths["tokenizer"],
            digest=files.digests["tokenizer"],
            rows=None if checkpoint is None else checkpoint.architecture.vocabulary,
        ),
        dense=open_dense(dense_modules(files.folder)) if spec.task == "embedding" else (),
        graph=graph.note,
        arithmetic=arithmetic(answer, precision),
        engine=engine(EngineSpec(session=session, device=device)),
    )


def _limit(spec: ModelSpec, asked: int | None, default: int | None) -> int:
    if asked is None:
        return min(spec.max_tokens, default or spec.max_tokens)
    if asked > spec.max_tokens:
        msg = f"max_length={asked} exceeds the {spec.max_tokens} tokens that {spec.name} reads; pass less, or leave it"
        raise InputValueError(msg)
    shortest = _SHORTEST[spec.task]
    if asked < shortest:
        msg = f"max_length={asked} leaves no room for a text beside the special tokens; pass at least {shortest}"
        raise InputValueError(msg)
    return asked


class Model(Generic[O]):
    """A model with its identity, its life cycle and its way into other processes.

    Constructors open the model. Unpickled objects open it at first use, so that a worker process raises what goes wrong
    where it can be reported; copies share what is open and are closed one by one.
    """

    _settings_kind: ClassVar[type[Mapping[str, Any]]] = EngineSettings

    def __init__(
        self, model: ModelName | Located, settings: Mapping[str, Any], open_parts: Callable[[Any, Any], O]
    ) -> None:
        """Open a model.

        Args:
            model: As the user named it, or what was found already.
            settings: Complete, see `bge_onnx.settings.complete`.
            open_parts: A function of a module, which takes the model and the settings.
        """
        self._settings = dict(settings)
        self._open_parts = open_parts
        self._lazy = Lazy(partial(open_parts, model, self._settings))
        found = self._lazy.get().model.found
        self._spec = found.spec
        self._origins = dict(found.origins)
        self._reference: ModelName = found.spec if found.folder is None else str(found.folder)
        self._owner = self._new_owner()

    def _new_owner(self) -> Owner:
        return Owner(f"this {type(self).__name__} of {self._spec.name}")

    @property
    def _parts(self) -> O:
        self._owner.check()
        return self._lazy.get()

    @property
    def spec(self) -> ModelSpec:
        """What the model is: instructions, pooling, limits, licence."""
        return self._spec

    @property
    def source(self) -> str:
        """Where the weights came from, and why these where there were several."""
        files = self._parts.model.found.files
        return f"{files.source}: {files.why}" if files.why else files.source

    @property
    def graph(self) -> str:
        """What was done to the published graph before it ran: "as published" or how it was rebuilt."""
        return self._parts.model.graph

    @property
    def max_length(self) -> int:
        """The longest input in tokens, special tokens included."""
        return self._parts.model.limit

    @property
    def providers(self) -> tuple[str, ...]:
        """ONNX Runtime execution providers that are active, the preferred one first."""
        return self._parts.model.engine.providers

    @property
    def fingerprint(self) -> str:
        """Identity of the results: equal fingerprints mean equal answers to equal inputs.

        Equal up to rounding, which depends on the kind of CPU: some 1e-7 in fp32. int8 turns that into whole steps, and
        keeps a cosine of .9996 or more between an AVX2 and an AVX-512 machine.

        A sha256, hexadecimal, over the digests of the files and every setting that changes an answer.
        """
        return self._parts.model.fingerprint(self._identity)

    @property
    def _identity(self) -> Mapping[str, Any]:
        """What beyond files, limit and spec changes an answer."""
        return {}

    def close(self) -> None:
        """Let go of the model; its memory returns when nobody else uses it. Closing twice is fine.

        Calls that are under way raise `ClosedError`; what has not begun is not computed.
        """
        self._owner.close()
        self._lazy = Lazy(partial(self._open_parts, self._reference, self._settings))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        """What differs from the defaults, and who answered what a vector depends on where it was not the catalogue."""
        shown = "".join(f", {name}={value!r}" for name, value in changed(self._settings_kind, self._settings).items())
        told = [f"{what} by {who}" for what, who in self._origins.items() if who not in ("catalogue", "argument")]
        behind = f"  # {', '.join(told)}" if told else ""
        return f"{type(self).__name__}({self._spec.name!r}{shown}){behind}"

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return copy.copy(self)

    def __copy__(self) -> Self:
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__, _owner=self._new_owner())
        return twin

    def __getstate__(self) -> dict[str, Any]:
        """Settings, not weights."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_lazy", "_owner")}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        self._lazy = Lazy(partial(self._open_parts, self._reference, self._settings))
        self._owner = self._new_owner()


__all__ = ["HasOpened", "Model", "Opened", "find", "open_model"]
