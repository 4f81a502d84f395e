"""Which model an embedder opens, and with which settings."""

from __future__ import annotations

from bge_onnx import Embedder, M3Embedder, open_embedder
from bge_onnx.settings import M3Fields, M3Settings, OpenFields, OpenSettings, forward
from haystack_integrations.common.bge._component import ModelComponent
from haystack_integrations.components.embedders.bge._documents import DocumentSettings


class DenseSettings(OpenSettings, total=False):
    """What components with dense vectors take, under the names of Haystack's own."""

    normalize_embeddings: bool
    progress_bar: bool | None


class LexicalSettings(M3Settings, total=False):
    """What components with lexical weights take, under the names of Haystack's own."""

    progress_bar: bool | None


class DenseDocumentSettings(DenseSettings, DocumentSettings, total=False):
    """What components with dense vectors of documents take."""


class LexicalDocumentSettings(LexicalSettings, DocumentSettings, total=False):
    """What components with lexical weights of documents take."""


class DenseComponent(OpenFields, ModelComponent[Embedder]):
    """A component with dense vectors."""

    normalize_embeddings: bool

    def _open(self) -> Embedder:
        return open_embedder(self.model, **forward(OpenSettings, vars(self), renamed=self._renamed))


class LexicalComponent(M3Fields, ModelComponent[M3Embedder]):
    """A component with bge-m3's lexical weights."""

    def _open(self) -> M3Embedder:
        return M3Embedder(self.model, **forward(M3Settings, vars(self), renamed=self._renamed))
