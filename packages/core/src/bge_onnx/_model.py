"""What every noun shares: the life of an open model."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, ClassVar, Generic, Self, TypeVar

from bge_onnx._catalogue.spec import ModelSpec
from bge_onnx._opening import HasOpened
from bge_onnx._repository.locate import Located
from bge_onnx._runtime.calls import Owner
from bge_onnx._runtime.lazy import Lazy
from bge_onnx._setting import changed
from bge_onnx._text.counting import CountsTokens
from bge_onnx._text.tokens import TextTokenizer
from bge_onnx.settings import EngineSettings, ModelName

O = TypeVar("O", bound=HasOpened)  # noqa: E741


class Model(CountsTokens, Generic[O]):
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
    def _tokenizer(self) -> TextTokenizer:
        return self._parts.model.tokenizer

    @property
    def _identity(self) -> Mapping[str, Any]:
        """What beyond files, limit and spec changes an answer."""
        return {}

    @property
    def _of_long_texts(self) -> Mapping[str, Any]:
        """What the treatment of texts over the limit adds to the identity."""
        return {"truncate": "window"} if self._settings.get("truncate") == "window" else {}

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


__all__ = ["Model"]
