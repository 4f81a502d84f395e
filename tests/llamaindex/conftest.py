from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import llama_index_instrumentation as instrumentation
import pytest
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent

from bge_onnx import Embedder
from llama_index.embeddings.bge import BGEEmbedding

TEXTS = [
    "Paris is the capital of France.",
    "Rust is a programming language.",
    "",
    "中文和English混合 🧪",
    "  two\n\nlines,\ttabs and spaces  ",
    "Paris is the capital of France.",
]


class Recorder(BaseEventHandler):
    """Keeps the names of events and the events themselves."""

    _events: list[BaseEvent] = PrivateAttr(default_factory=list)

    @property
    def events(self) -> list[BaseEvent]:
        return self._events

    def named(self, name: str) -> list[BaseEvent]:
        return [event for event in self._events if event.class_name() == name]

    def handle(self, event: BaseEvent, **_: object) -> None:
        self._events.append(event)


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    handler = Recorder()
    dispatcher = instrumentation.get_dispatcher()
    dispatcher.add_event_handler(handler)
    yield handler
    dispatcher.event_handlers.remove(handler)


@pytest.fixture
def embedding(tiny_embedder: Path) -> BGEEmbedding:
    return BGEEmbedding(model_name=str(tiny_embedder))


@pytest.fixture
def core(tiny_embedder: Path) -> Embedder:
    return Embedder(tiny_embedder)
