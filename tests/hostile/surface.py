"""Everything that users can call: found by walking the public modules, so that nothing new is forgotten."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import inspect
import pkgutil
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import bge_onnx
from bge_onnx._catalogue.entries import checked
from bge_onnx.types import FileSpec, MavenArtifact, ModelSpec, WeightsSpec

__all__ = ["OURS", "Target", "targets"]

# Modules that are public and hold nothing to call for users.
_NOT_FOR_USERS = {
    "bge_onnx.adapting": "for adapters, which pass functions of their own",
    "bge_onnx.checks": "checks values itself",
    "bge_onnx.cli": "the command line, which click checks",
    "bge_onnx.settings": "for adapters, which pass classes of their own",
    **dict.fromkeys(
        [f"bge_onnx.evaluation.{name}" for name in ("commands", "golden", "mteb", "recipes", "report", "scores")],
        "what the command line and mteb call",
    ),
}


def _modules() -> Iterator[ModuleType]:
    """Every public module of the four packages; those whose engines are not installed are left to their own tests."""
    names = ["bge_onnx", "langchain_bge"]
    names += [f"bge_onnx.{found.name}" for found in pkgutil.iter_modules(bge_onnx.__path__)]
    for package in ("bge_onnx.evaluation", "bge_onnx.bulk"):
        names += [
            f"{package}.{found.name}" for found in pkgutil.iter_modules(importlib.import_module(package).__path__)
        ]
    for root, pattern in (("llama_index", "*/bge"), ("haystack_integrations", "*/*/bge")):
        for place in map(Path, importlib.import_module(root).__path__):
            for folder in sorted(place.glob(pattern)):
                package = ".".join([root, *folder.relative_to(place).parts])
                names += [package, *(f"{package}.{found.name}" for found in pkgutil.iter_modules([str(folder)]))]
    for name in dict.fromkeys(names):
        if "._" not in name and not name.endswith("__main__") and name not in _NOT_FOR_USERS:
            with contextlib.suppress(ImportError):
                yield importlib.import_module(name)


_FRAMEWORKS = (("langchain", "langchain:"), ("llama_index", "llamaindex:"), ("haystack", "haystack:"))
OURS = ("bge_onnx", "langchain_bge", "llama_index.", "haystack_integrations.")

# What is called by people, and written by the framework around our own methods.
FRAMEWORK_METHODS = {
    "BGEEmbedding": ("get_text_embedding", "aget_text_embedding"),
    "BGESparseEmbedding": ("get_text_embedding", "get_query_embedding"),
}
# Whose arguments are other people's: see the value.
LEFT_OUT = {
    "EmbedderContract": "a test class, whose methods are tests",
    "RerankerContract": "a test class, whose methods are tests",
    "to_dict": "takes what the framework's own takes",
    "from_dict": "reads what to_dict has written",
    "model_copy": "pydantic's, and the constructor's in turn",
    "model_post_init": "called by pydantic",
    "class_name": "takes nothing",
    "get_agg_embedding_from_queries": "LlamaIndex's, which reads its list before we see it",
    "aget_agg_embedding_from_queries": "LlamaIndex's, which reads its list before we see it",
    "aget_text_embedding_batch": "LlamaIndex's, which reads its list before we see it",
    "BGERerankingRetriever": "LangChain's own fields, checked by pydantic",
    "as_retriever": "makes a BGERerankingRetriever",
    **dict.fromkeys(
        ["llamaindex:BGEHybridRetriever", "haystack:BGEHybridRetriever", "haystack:BGEHybridDocumentStore"],
        "fronts of QdrantHybrid, which is walked",
    ),
    **dict.fromkeys(["check_weights", "check_fusion", "check_filter", "check_limit"], "checks values itself"),
    "measure": "the Spark and Ray fronts' own",
    "opener": "the Spark and Ray fronts' own",
}
# Parameters that an interface has and that its framework alone reads.
_NOT_OURS = ("callbacks", "callback_manager", "id_func")


@dataclass(frozen=True, slots=True)
class Target:
    """Something to call.

    Attributes:
        label: Module-free name, "Embedder", "Embedder.embed_query", "sigmoid".
        kind: The class of the instance that it is a method of; None for functions and constructors.
        call: Takes the instance first, if it is a method.
        parameters: Name to annotation.
        required: Names without a default.
    """

    label: str
    kind: type | None
    call: Callable[..., Any]
    parameters: Mapping[str, Any]
    required: tuple[str, ...]


def targets() -> list[Target]:
    """Every public function, constructor and method, each once, and what specs of models hold."""
    found = {target.label: target for target in map(_checked_spec, _SPECS)}
    for module in _modules():
        for target in _in_module(module):
            owner, _, method = target.label.partition(".")
            if target.parameters and not {owner, method, owner.rpartition(":")[2]} & LEFT_OUT.keys():
                found.setdefault(target.label, target)
    return list(found.values())


def _checked_spec(kind: type) -> Target:
    """A part of a spec: checked by whoever takes the whole spec."""

    def check(**arguments: Any) -> ModelSpec:
        part = kind(**arguments)
        if isinstance(part, FileSpec):
            part = WeightsSpec(precision="fp32", repository="a/b", revision="main", files=(part, _TOKENIZER))
        if isinstance(part, MavenArtifact):
            part = WeightsSpec(precision="fp32", repository="a/b", revision="main", maven=part)
        if isinstance(part, WeightsSpec):
            part = ModelSpec(name="me/part", dimension=8, query_instruction="", weights=(part,))
        return checked(part)

    fields = typing.get_type_hints(kind)
    required = [field.name for field in dataclasses.fields(kind) if field.default is dataclasses.MISSING]
    return Target(kind.__name__, None, check, fields, tuple(required))


_SPECS = (ModelSpec, WeightsSpec, FileSpec, MavenArtifact)
_TOKENIZER = FileSpec(path="tokenizer.json", role="tokenizer")


def _in_module(module: ModuleType) -> Iterator[Target]:
    own = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
    for name in getattr(module, "__all__", [name for name in own if not name.startswith("_")]):
        value = getattr(module, name)
        framework = next((word for root, word in _FRAMEWORKS if module.__name__.startswith(root)), "")
        if inspect.isclass(value) and value.__module__.startswith(OURS):
            if not _is_passive(value):
                yield _target(framework + name, None, value)
            if not getattr(value, "_is_protocol", False):
                yield from _methods(framework + name, value)
        elif inspect.isfunction(value):
            yield _target(framework + name, None, value)


def _is_passive(kind: type) -> bool:
    """Whether a constructor stores what it is given, to be checked by whoever takes the whole."""
    facts = is_dataclass(kind) and kind.__module__.startswith("bge_onnx")
    return facts or issubclass(kind, BaseException) or getattr(kind, "_is_protocol", False)


def _methods(label: str, kind: type) -> Iterator[Target]:
    for name, function in inspect.getmembers(kind, inspect.isfunction):
        ours = function.__module__.startswith(OURS) and ".core." not in function.__module__
        if (ours and not name.startswith("_")) or name in FRAMEWORK_METHODS.get(label.rpartition(":")[2], ()):
            yield _target(f"{label}.{name}", kind, function)


def _target(label: str, kind: type | None, call: Callable[..., Any]) -> Target:
    fields = getattr(call, "model_fields", {})  # pydantic's, whatever the constructor is written as
    # Not the class itself: Haystack puts a metaclass before its components, whose call takes anything.
    plain = inspect.isclass(call) and not fields
    signature = inspect.signature(call.__init__ if plain else call)
    parameters = [
        p
        for p in list(signature.parameters.values())[kind is not None or plain :]
        if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    ]
    hints = _hints(call)
    named = {p.name: _hint(p, hints) for p in parameters if p.name not in _NOT_OURS and not fields} | {
        name: field.annotation
        for name, field in fields.items()
        if field.init is not False and name in _own_annotations(call) - set(_NOT_OURS)
    }
    required = tuple(p.name for p in parameters if p.default is p.empty)
    return Target(label, kind, call, named, required)


def _own_annotations(kind: Any) -> set[str]:
    ours = (
        base for base in inspect.getmro(kind) if base.__module__.startswith(OURS) and ".core." not in base.__module__
    )
    return {name for base in ours for name in vars(base).get("__annotations__", {})}


def _hint(parameter: inspect.Parameter, hints: Mapping[str, Any]) -> Any:
    written = parameter.annotation
    return hints.get(parameter.name, written if not isinstance(written, str) else Any)


def _hints(call: Callable[..., Any]) -> dict[str, Any]:
    function = call.__init__ if inspect.isclass(call) else call
    try:
        return typing.get_type_hints(inspect.unwrap(function))
    except (NameError, AttributeError, TypeError):  # names that only type checkers import
        return {}
