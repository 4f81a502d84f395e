"""What every noun shares: opening a model, and the life of an open one."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar

from bge_onnx._cache.prepared import Answer, arithmetic, prepare_graph
from bge_onnx._catalogue.modules import dense_modules
from bge_onnx._catalogue.registry import resolve_model
from bge_onnx._catalogue.spec import ModelSpec, Pooling, Task
from bge_onnx._heads.dense import Dense, open_dense
from bge_onnx._repository.files import ModelFiles
from bge_onnx._repository.search import fetch
from bge_onnx._runtime.cpu import available_cpus
from bge_onnx._runtime.engine import Engine, EngineSpec, Reader, Rows, engine
from bge_onnx._runtime.plan import schedule
from bge_onnx._runtime.session import SessionSpec, cpu_only, provider_specs
from bge_onnx._text.tokens import TextTokenizer, Tokens, open_tokenizer
from bge_onnx.errors import ClosedError, InputValueError
from bge_onnx.settings import Options

T = TypeVar("T")
ModelName: TypeAlias = str | PathLike[str] | ModelSpec

# The special tokens and one place for each text; below 8, FlagEmbedding's rule for pairs leaves nothing to the passage.
_SHORTEST: Mapping[Task, int] = {"embedding": 3, "reranking": 8}


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenModel:
    """A model that is ready to compute.

    Attributes:
        spec: What the model is, with the user's own settings applied.
        folder: The folder it was opened from, where the user named one.
        files: Its verified files.
        options: The user's settings.
        limit: The longest input in tokens, special tokens included.
        tokenizer: Shared with every other model that reads with the same file.
        graph: What was done to the published graph, for people.
        dense: Layers over pooled vectors.
        arithmetic: What the graph's answers depend on beside the files, for fingerprints.
        engine: Shared with every other model opened with the same settings.
    """

    spec: ModelSpec
    folder: Path | None
    files: ModelFiles
    options: Options
    limit: int
    tokenizer: TextTokenizer
    graph: str
    arithmetic: str
    engine: Engine
    dense: tuple[Dense, ...] = ()

    def rows(self, tokens: Tokens, read: Reader[T]) -> Iterator[tuple[Rows, T]]:
        """Plan and run all inputs; yields what `read` makes of each batch, as batches finish."""
        batches = schedule(tokens.lengths, token_budget=self.options.token_budget, callers=self.engine.callers)
        return self.engine.map(tokens, batches, read, pad=self.tokenizer.pad)


def open_model(
    model: ModelName,
    *,
    task: Task,
    answer: Answer,
    options: Options,
    default_length: int | None = None,
    pooling: Pooling | None = None,
    query_instruction: str | None = None,
) -> OpenModel:
    """Resolve a name, fetch its files and open the engine.

    Args:
        model: Hub id, catalogue name, folder or `ModelSpec`.
        task: What the model must be made for.
        answer: What the graph must deliver.
        options: The user's settings.
        default_length: The limit in tokens where the user sets none; None for the model's own.
        pooling: Settles or overrides the model's pooling.
        query_instruction: Settles or overrides the model's query instruction.
    """
    providers = provider_specs(options.providers)
    spec, folder = resolve_model(model, task=task, pooling=pooling, query_instruction=query_instruction)
    limit = _limit(spec, options.max_length, default_length)
    files = fetch(
        spec,
        "fp32" if options.precision == "int8" else options.precision,
        folder=folder,
        cache_dir=options.cache,
        sources=options.sources,
        show_progress=options.show_progress,
        file=options.file,
    )
    checkpoint = files.checkpoint
    tokenizer = open_tokenizer(
        files.paths["tokenizer"],
        digest=files.digests["tokenizer"],
        rows=None if checkpoint is None else checkpoint.architecture.vocabulary,
    )
    dense = open_dense(dense_modules(files.folder)) if files.dense else ()
    on_cpu = cpu_only(providers)
    if spec.pooling == "mean" and answer == "vector":
        answer = "tokens"  # a graph rebuilt for the first token alone has nothing to average
    graph = prepare_graph(files, answer=answer, precision=options.precision, cache_dir=options.cache, on_cpu=on_cpu)
    stat = graph.path.stat()
    session = SessionSpec(
        path=graph.path,
        stamp=(stat.st_size, stat.st_mtime_ns),
        outputs=graph.outputs,
        providers=providers,
        optimised=graph.prepared,
    )
    return OpenModel(
        spec=spec,
        folder=folder,
        files=files,
        options=options,
        limit=limit,
        tokenizer=tokenizer,
        graph=graph.note,
        arithmetic=arithmetic(answer, options.precision),
        engine=engine(EngineSpec(session=session, threads=options.threads or available_cpus())),
        dense=dense,
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


class Model:
    """An open model with its identity, its life cycle and its way into other processes.

    Pickling stores the settings and reopens the model where it is loaded; copies share the engine.
    """

    def __init__(self, opened: OpenModel, *, settings: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
        """Take over an open model.

        Args:
            opened: The model.
            settings: Keyword arguments of the subclass's constructor beyond `Options`, for pickling.
            identity: What beyond files, options and spec changes an answer, for the fingerprint.
        """
        self._state: OpenModel | None = opened
        self._spec = opened.spec
        self._settings = dict(settings)
        self._identity = dict(identity)
        self._options = opened.options
        self._model: ModelName = opened.spec if opened.folder is None else str(opened.folder)

    @property
    def _opened(self) -> OpenModel:
        if self._state is None:
            msg = f"this {type(self).__name__} of {self._spec.name} was closed; open a new one"
            raise ClosedError(msg)
        return self._state

    @property
    def spec(self) -> ModelSpec:
        """What the model is: instructions, pooling, limits, licence."""
        return self._spec

    @property
    def source(self) -> str:
        """Where the weights came from."""
        return self._opened.files.source

    @property
    def graph(self) -> str:
        """What was done to the published graph before it ran: "as published" or how it was rebuilt."""
        return self._opened.graph

    @property
    def max_length(self) -> int:
        """The longest input in tokens, special tokens included."""
        return self._opened.limit

    @property
    def providers(self) -> tuple[str, ...]:
        """ONNX Runtime execution providers that are active, the preferred one first."""
        return self._opened.engine.providers

    @property
    def fingerprint(self) -> str:
        """Identity of the results: equal fingerprints mean equal answers to equal inputs.

        Equal up to rounding, which depends on the kind of CPU: some 1e-7 in fp32. int8 turns that into whole steps, and
        keeps a cosine of .9996 or more between an AVX2 and an AVX-512 machine.

        A sha256, hexadecimal, over the digests of the files and every setting that changes an answer.
        """
        opened = self._opened
        identity = {
            "files": dict(sorted(opened.files.digests.items())),
            "precision": opened.arithmetic,
            "limit": opened.limit,
            "pooling": opened.spec.pooling,
            "instructions": [opened.spec.query_instruction, opened.spec.passage_instruction],
            "settings": self._identity,
        }
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()

    def close(self) -> None:
        """Let go of the engine; its memory returns when nobody else uses it. Closing twice is fine."""
        self._state = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._spec.name!r})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return copy.copy(self)

    def __copy__(self) -> Self:
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin

    def __reduce__(self) -> tuple[Any, ...]:
        options = {name: getattr(self._options, name) for name in Options.__dataclass_fields__}
        return _reopen, (type(self), self._model, {**options, **self._settings})


def _reopen(kind: type[Model], model: ModelName, arguments: Mapping[str, Any]) -> Model:
    return kind(model, **arguments)  # type: ignore[arg-type]
