"""Opening a model: what the user means, its files, its tokenizer, its engine."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from bge_onnx._cache.digest import combined, remembered_sha256
from bge_onnx._cache.making import Answer
from bge_onnx._cache.place import notes_place
from bge_onnx._cache.prepared import arithmetic, prepare_graph
from bge_onnx._catalogue.json_file import flag, read_object
from bge_onnx._catalogue.modules import dense_modules
from bge_onnx._catalogue.spec import MADE_HERE, ModelSpec, Pooling, Precision, Task
from bge_onnx._checkpoint.folder import CheckpointFiles
from bge_onnx._checkpoint.located import read_located
from bge_onnx._heads.dense import Dense, dense_weights, open_dense
from bge_onnx._repository.access import Access
from bge_onnx._repository.files import ModelFiles
from bge_onnx._repository.locate import Located, locate, resolve_base
from bge_onnx._runtime.device import Device
from bge_onnx._runtime.engine import Engine, EngineSpec, engine
from bge_onnx._runtime.parts import Head, Memory
from bge_onnx._runtime.pipeline import Pipeline
from bge_onnx._runtime.spec import SessionSpec
from bge_onnx._runtime.windowed import Way, Windowed
from bge_onnx._text.readers import TextReader
from bge_onnx._text.tokens import TextTokenizer, open_tokenizer
from bge_onnx.errors import BGEError, InputValueError, UnsuitableModelError, WeightsError
from bge_onnx.settings import EngineSettings, ModelName

# The special tokens and one place for each text; below 8, FlagEmbedding's rule for pairs leaves nothing to the passage.
_SHORTEST: Mapping[Task, int] = {"embedding": 3, "reranking": 8}

# Where a graph lies beside a checkpoint that cannot be served.
_GRAPHS = ("onnx/model.onnx", "model.onnx")


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
    located = partial(
        locate,
        model,
        task=task,
        file=settings["file"],
        revision=settings["revision"],
        cache=_cache(settings),
        sources=settings["sources"],
        progress=settings["show_progress"],
        access=_access(settings),
        pooling=pooling,
        query_instruction=query_instruction,
    )
    with _readable():
        if _makes_fp16(settings):
            with contextlib.suppress(WeightsError):
                return located(precision="fp32")
        return located(precision=settings["precision"])


def _makes_fp16(settings: Mapping[str, Any]) -> bool:
    """Whether float16 is made of float32 here: CUDA's kernels want another graph than the published one."""
    if settings["precision"] != "fp16" or settings["file"] is not None:
        return False
    return Device.of(settings["providers"], threads=settings["threads"]).target == "cuda"


def _is_made(settings: Mapping[str, Any], stored: Precision) -> bool:
    return settings["precision"] in MADE_HERE or (stored == "fp32" and _makes_fp16(settings))


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    """Say what cannot be read in an error of this package: a file on a broken disk, or one too many to be open."""
    try:
        yield
    except BGEError:
        raise
    except OSError as error:
        place = f"{error.filename} " if error.filename else "a file of the model "
        msg = f"{place}cannot be read: {error.strerror or error}; see to that and open the model again"
        raise WeightsError(msg) from error


def _cache(settings: Mapping[str, Any]) -> Path | None:
    folder = settings["cache_dir"]
    return None if folder is None else Path(folder).expanduser()


def _access(settings: Mapping[str, Any]) -> Access:
    return Access(token=settings["token"], local_only=settings["local_files_only"])


@_readable()
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
    files, checkpoint = _read(found, settings)
    device = Device.of(
        settings["providers"],  # type: ignore[arg-type]  # checked: a list
        threads=settings["threads"],
        precision=settings["precision"],
    )
    limit = _limit(spec, settings["max_length"], default_length)
    precision: Precision = settings["precision"] if _is_made(settings, files.precision) else files.precision
    if spec.pooling == "mean" and answer == "vector":
        answer = "tokens"  # a graph rebuilt for the first token alone has nothing to average
    graph = prepare_graph(
        files,
        checkpoint,
        answer=answer,
        precision=precision,
        cache_dir=_cache(settings),
        device=device,
    )
    files, dense = (
        _with_dense(files, checkpoint, notes_place(_cache(settings))) if spec.task == "embedding" else (files, ())
    )
    stat = graph.path.stat()
    session = SessionSpec(
        path=graph.path,
        stamp=(stat.st_size, stat.st_mtime_ns),
        content=tuple(files.digests.get(role, "") for role in ("model", "data")),
        outputs=graph.outputs,
        form=graph.form,
    )
    return Opened(
        found=replace(found, files=files),
        limit=limit,
        token_budget=settings["token_budget"] or device.token_budget,
        tokenizer=_open_tokenizer(files, checkpoint),
        dense=dense,
        graph=graph.note,
        arithmetic=arithmetic(answer, precision),
        engine=engine(EngineSpec(session=session, device=device)),
    )


@_readable()
def open_text(found: Located, settings: EngineSettings) -> TextTokenizer:
    """The tokenizer of a model; no engine is opened."""
    return _open_tokenizer(*_read(found, settings))


def text_way(
    opened: Opened,
    settings: Mapping[str, Any],
    head: Head,
    *,
    join: Callable[..., Any],
    instruction: str = "",
    memory: Memory[str] | None = None,
) -> Way:
    """A way of single texts through an open model; `join` makes one answer of those to windows of a text."""
    windowed = settings["truncate"] == "window"
    pipeline: Pipeline[str] = Pipeline(
        engine=opened.engine,
        reader=TextReader.of(
            opened.tokenizer,
            limit=opened.limit,
            truncate="warn" if windowed else settings["truncate"],
            instruction=instruction,
        ),
        head=head,
        token_budget=opened.token_budget,
        show_progress=settings["show_progress"] is True,
        memory=memory,
    )
    return (
        Windowed.of(pipeline, opened.tokenizer, limit=opened.limit, beside=instruction, join=join)
        if windowed
        else pipeline
    )


def _read(found: Located, settings: EngineSettings) -> tuple[ModelFiles, CheckpointFiles | None]:
    cache = _cache(settings)
    base_of = partial(
        resolve_base,
        cache=cache,
        sources=settings["sources"],
        progress=settings["show_progress"],
        access=_access(settings),
    )
    try:
        return read_located(found.files, find_base=base_of, notes=notes_place(cache))
    except UnsuitableModelError as error:
        graph_beside = next((name for name in _GRAPHS if (found.files.folder / name).is_file()), None)
        if graph_beside is None or settings["file"] is not None:
            raise
        msg = f"{error}; pass file={graph_beside!r} to open the graph beside it"
        raise UnsuitableModelError(msg) from error


def _with_dense(
    files: ModelFiles, checkpoint: CheckpointFiles | None, notes: Path | None
) -> tuple[ModelFiles, tuple[Dense, ...]]:
    """The layers behind the pooling, those of an adapter's base where the adapter states no modules of its own."""
    own = checkpoint is None or (files.folder / "modules.json").is_file()
    modules = dense_modules(files.folder if own or checkpoint is None else checkpoint.folder)
    if not modules:
        return files, ()
    layers = open_dense(modules)
    read = [path for module in modules for path in (module.folder / "config.json", dense_weights(module.folder))]
    digest = combined(remembered_sha256(path, notes) for path in read)
    return replace(files, digests={**files.digests, "dense": digest}), layers


def _open_tokenizer(files: ModelFiles, checkpoint: CheckpointFiles | None) -> TextTokenizer:
    rows = None if checkpoint is None else checkpoint.architecture.vocabulary
    tokenizer = open_tokenizer(files.paths["tokenizer"], digest=files.digests["tokenizer"], rows=rows)
    path = files.folder / "sentence_bert_config.json"
    if flag(read_object(path), "do_lower_case") and tokenizer.ids("Aa") != tokenizer.ids("aa"):
        msg = f"{path} says do_lower_case, and the tokenizer keeps capitals; remove the one or set it in the other"
        raise UnsuitableModelError(msg)
    return tokenizer


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


__all__ = ["HasOpened", "Opened", "find", "open_model", "open_text", "text_way"]
