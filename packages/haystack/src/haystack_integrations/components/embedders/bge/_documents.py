"""How document embedders turn documents into texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

from haystack import Document

from bge_onnx import checks
from bge_onnx.settings import Setting
from haystack_integrations.common.bge._inputs import MetadataSettings, check_documents, document_texts


class DocumentSettings(MetadataSettings, total=False):
    """The parameters by which documents become texts."""

    prefix: Annotated[str, Setting("", "What precedes each text.", checks.text)]
    suffix: Annotated[str, Setting("", "What follows each text.", checks.text)]


class DocumentInput:
    """A component that reads documents."""

    _for_texts: ClassVar[str]

    prefix: str
    suffix: str
    meta_fields_to_embed: list[str] | None
    embedding_separator: str

    def _texts(self, documents: Sequence[Document]) -> list[str]:
        check_documents(documents, component=type(self).__name__, hint=f"; use {self._for_texts} to embed a str")
        return document_texts(
            documents,
            meta_fields=self.meta_fields_to_embed,
            separator=self.embedding_separator,
            prefix=self.prefix,
            suffix=self.suffix,
        )
