"""Settings and life cycle of a component with a BGE model.

Haystack writes a component to YAML by reading, for every parameter of its constructor, the attribute of the same name.
Here both come from one place: the settings that a class takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar, Generic, TypeVar, get_type_hints

from haystack.utils import Secret

from bge_onnx import checks
from bge_onnx.errors import InputTypeError
from bge_onnx.settings import check_settings, settings_of
from bge_onnx.types import CountsTokens, HubToken
from haystack_integrations.common.bge._on_demand import OnDemand

ModelT = TypeVar("ModelT", bound=CountsTokens)

# What Haystack's components call some settings, and arguments of their peers.
EMBEDDER_NAMES: Mapping[str, str] = {"show_progress": "progress_bar", "normalize": "normalize_embeddings"}
RANKER_NAMES: Mapping[str, str] = {"show_progress": "progress_bar", "normalize": "scale_score"}


def refuse_other_secrets(token: object) -> None:
    """Refuse a token that is not Haystack's own secret: YAML would hold a str itself, and can hold no other class.

    Raises:
        InputTypeError: It is neither a Secret nor None.
    """
    if token is not None and not isinstance(token, Secret):
        got = "a str" if isinstance(token, str | HubToken) else type(token).__name__
        msg = f"token must be a haystack.utils.Secret, such as Secret.from_env_var('HF_TOKEN'), or None, got {got}"
        raise InputTypeError(msg)


class ModelComponent(Generic[ModelT]):
    """A component that opens a model when it first runs, or on `warm_up`."""

    _renamed: ClassVar[Mapping[str, str]] = EMBEDDER_NAMES

    model: str
    progress_bar: bool | None

    def __init_subclass__(cls, **keywords: object) -> None:
        """Turn annotations that are strings into the types they name.

        Haystack compares those of `run` and `run_async`, and a subclass may have only one of them, in a module where
        annotations are strings or in one where they are not.
        """
        super().__init_subclass__(**keywords)
        for method in filter(None, map(vars(cls).get, ("run", "run_async"))):
            with suppress(NameError):  # a name that only type checkers know stays a string
                method.__annotations__ = get_type_hints(method)

    def _set(self, model: object, parameters: Mapping[str, Any], kind: type[Mapping[str, Any]]) -> None:
        """Keep checked parameters as attributes, in the form in which YAML can hold them.

        A method, as `component` makes another class of each component, of which `super()` does not know.

        Args:
            model: What the user passed as the model.
            parameters: What the user passed besides.
            kind: The settings that the component takes.

        Raises:
            BGEError: There is no such parameter, or a value cannot work; the message names the parameter.
        """
        given = check_settings(kind, parameters, owner=type(self).__name__, renamed=self._renamed)
        refuse_other_secrets(given.get("token"))
        self.model = checks.model_name("model", model)
        for name, setting in settings_of(kind).items():
            here = self._renamed.get(name, name)
            setattr(self, here, checks.plain(given.get(here, setting.default)))
        self._opened: OnDemand[ModelT] = OnDemand()

    def warm_up(self) -> None:
        """Open the model, fetching its weights if need be; does nothing if it is open.

        Raises:
            BGEError: The model is unknown, of another kind, or no source delivers its weights.
        """
        self._opened.get(self._open)

    async def warm_up_async(self) -> None:
        """`warm_up` off the event loop."""
        await self._opened.aget(self._open)

    def close(self) -> None:
        """Let go of the model; its memory returns when no other component uses it. The next run opens it again."""
        self._opened.let_go()

    def token_length(self, text: str) -> int:
        """Tokens of a text without special tokens. The limit includes these: two around a text, four in a pair."""
        return self._opened.get(self._open).count_tokens([text], special_tokens=False)[0]

    def _open(self) -> ModelT:
        raise NotImplementedError
