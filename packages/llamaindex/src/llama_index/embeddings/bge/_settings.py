"""What every class of the package is: an open model behind pydantic fields, which are the core's own keywords."""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, TypeAlias

from llama_index.core.bridge.pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model
from llama_index.core.callbacks import CallbackManager

from bge_onnx import checks
from bge_onnx.settings import (
    EngineSettings,
    M3Fields,
    M3Settings,
    OpenFields,
    OpenSettings,
    RerankerFields,
    RerankerSettings,
    check_settings,
    fields_of,
    settings_of,
)


# A path is kept as a str, so that a dump is JSON.
def _location(value: object) -> object:
    if isinstance(value, bytes | bytearray):
        msg = "must be a str or a path, not bytes; decode it first"
        raise ValueError(msg)
    return os.fspath(value) if isinstance(value, os.PathLike) else value


Location: TypeAlias = Annotated[str, BeforeValidator(_location)]


def checked(check: Callable[[str, Any], Any]) -> BeforeValidator:
    """What gives a field of ours the core's check: pydantic alone takes True and "3" for whole numbers."""
    return BeforeValidator(lambda value, info: check(info.field_name, value))


# An index embeds so many nodes before its store asks for the sparse vectors of the first of them.
REMEMBERED = 2048

# What a dump says beside the fields.
_DERIVED = {"class_name", "fingerprint"}


class EmbeddingSettings(OpenSettings, total=False):
    """What `BGEEmbedding` takes."""

    embed_batch_size: int
    embeddings_cache: Any
    num_workers: int | None
    callback_manager: CallbackManager | None
    rate_limiter: Any


class ModelSettings(BaseModel):
    """Settings of an open model. They are frozen: a model is opened once, by the constructor.

    An unpickled object opens its model at first use, where a worker can report what goes wrong.
    """

    model_config = ConfigDict(extra="forbid")

    _kind: ClassVar[type[Mapping[str, Any]]] = EngineSettings
    # What the class calls a setting that has another name in the core; the model first of all.
    _renamed: ClassVar[Mapping[str, str]] = {}

    def __init__(self, **given: Any) -> None:  # noqa: ANN401
        """Check the settings and open the model."""
        given = {name: value for name, value in given.items() if name not in _DERIVED}
        owner, fields, renamed = type(self).__name__, type(self).model_fields, self._renamed
        beside = fields.keys() - settings_of(self._kind).keys()
        checked = check_settings(self._kind, given, owner=owner, beside=beside, renamed=renamed)
        name = renamed.get("model", "model")
        # A dump is JSON, and plain values are equal however they were written.
        plain = {name: checks.plain(value) for name, value in checked.items() if name in settings_of(self._kind)}
        super().__init__(**{**checked, **plain, name: checks.model_name(name, checked[name])})
        # Not in `model_post_init`, where pydantic would wrap those of the core's errors that are ValueErrors.
        self._open()

    def _open(self) -> None:
        raise NotImplementedError  # not abstract, lest LlamaIndex make a traced span of it

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy that shares the open model, or a newly opened one where settings are updated."""
        if not update:
            return super().model_copy(deep=deep)
        return type(self)(**{**dict(self), **update})

    def __getstate__(self) -> dict[Any, Any]:
        """Everything that can be pickled; a warning names what cannot, and the object itself keeps it."""
        state = BaseModel.__getstate__(self)
        fields = type(self).model_fields
        lost = [name for name in fields.keys() - settings_of(self._kind).keys() if not _pickles(getattr(self, name))]
        if lost:
            warnings.warn(
                f"{' and '.join(sorted(lost))} cannot be pickled and is left out of the copy of this "
                f"{type(self).__name__}; assign it anew where the copy is used",
                UserWarning,
                stacklevel=2,
            )
        kept = {name: fields[name].get_default(call_default_factory=True) for name in lost}
        return {**state, "__dict__": {**state["__dict__"], **kept}}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        """Hold what was pickled, without opening the model as LlamaIndex's own `__setstate__` would."""
        BaseModel.__setstate__(self, state)


def _pickles(value: object) -> bool:
    try:
        pickle.dumps(value)
    except Exception:  # whatever a stranger's class raises
        return False
    return True


if TYPE_CHECKING:

    class EmbedderModel(ModelSettings, OpenFields):
        """`ModelSettings` with the fields of `open_embedder`."""

        def __init__(self, **given: object) -> None: ...

    class M3Model(ModelSettings, M3Fields):
        """`ModelSettings` with the fields of `M3Embedder`."""

        def __init__(self, **given: object) -> None: ...

    class RerankerModel(ModelSettings, RerankerFields):
        """`ModelSettings` with the fields of `Reranker`."""

        def __init__(self, **given: object) -> None: ...

else:

    def _with_fields(kind: type[Mapping[str, Any]]) -> type[ModelSettings]:
        fields = fields_of(kind, remember=REMEMBERED)
        arguments = {name: (hint, Field(**options)) for name, (hint, options) in fields.items()}
        model = create_model(kind.__name__, __base__=ModelSettings, __module__=__name__, **arguments)
        model._kind = kind
        return model

    EmbedderModel, M3Model, RerankerModel = map(_with_fields, (OpenSettings, M3Settings, RerankerSettings))
