"""What every class of the package is: an open model behind pydantic fields, which are the core's own keywords."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, create_model

from bge_onnx import ModelSpec, checks
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


def checked(check: Callable[[str, Any], Any]) -> BeforeValidator:
    """What gives a field of ours the core's check: pydantic alone takes True and "3" for whole numbers."""
    return BeforeValidator(lambda value, info: check(info.field_name, value))


class ModelSettings(BaseModel):
    """An open model behind pydantic fields.

    The model is opened by the constructor, and again by `model_copy(update=...)`; an unpickled object opens it at its
    first use. Instances with equal settings are equal and share their weights.
    """

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    _kind: ClassVar[type[Mapping[str, Any]]] = EngineSettings
    # What the class calls a setting that has another name in the core.
    _renamed: ClassVar[Mapping[str, str]] = {}

    model: str | Path | ModelSpec = Field(frozen=True)
    """Hub id, catalogue name, local folder or `bge_onnx.ModelSpec`."""

    _engine: Any = PrivateAttr()

    def __init__(self, **given: Any) -> None:  # noqa: ANN401
        """Check the settings and open the model."""
        owner, fields, renamed = type(self).__name__, type(self).model_fields, self._renamed
        beside = fields.keys() - settings_of(self._kind).keys()
        checked = check_settings(self._kind, given, owner=owner, beside=beside, renamed=renamed)
        if not isinstance(checked["model"], Mapping):  # a dump's, which pydantic turns into a ModelSpec
            checks.model("model", checked["model"])
        super().__init__(**{name: checks.plain(value) for name, value in checked.items()})
        # Not in a validator, which would wrap those of the core's errors that are ValueErrors.
        self._engine = self._open()

    @abstractmethod
    def _open(self) -> object:
        """The model, opened with the settings."""

    def token_length(self, text: str) -> int:
        """Tokens of a text without special tokens, to be a text splitter's `length_function`.

        The model's limit includes the special tokens, two for BGE's models and four around a pair; `BGETextSplitter`
        leaves them room.
        """
        tokens: int = self._engine.count_tokens([text], special_tokens=False)[0]
        return tokens

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy that shares the open model, or a newly checked and opened one where settings are updated."""
        if not update:
            return super().model_copy(deep=deep)
        return type(self)(**{**{name: getattr(self, name) for name in self.model_fields_set}, **update})

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    __hash__ = None  # type: ignore[assignment]  # some fields can be assigned

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        """The model and what differs from the defaults."""
        name = self.model.name if isinstance(self.model, ModelSpec) else str(self.model)
        fields = type(self).model_fields
        shown = [(key, value) for key, value in self if key != "model" and fields[key].repr]
        changed = [(key, value) for key, value in shown if value != fields[key].default]
        return [("model", name), *changed]


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
        fields = {name: (hint, Field(**arguments)) for name, (hint, arguments) in fields_of(kind).items()}
        model = create_model(kind.__name__, __base__=ModelSettings, __module__=__name__, **fields)
        model._kind = kind
        return model

    EmbedderModel, M3Model, RerankerModel = map(_with_fields, (OpenSettings, M3Settings, RerankerSettings))
