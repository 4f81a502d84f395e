"""How document embedders turn documents into texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from haystack import Document

from haystack_integrations.common.bge._inputs import check_documents, document_texts


@dataclass(eq=False, repr=False, kw_only=True)
class DocumentInput:
    """The parameters by which documents become texts.

    Args:
        prefix: What precedes each text.
        suffix: What follows each text.
        meta_fields_to_embed: Metadata that precede the content, in this order; missing ones are left out.
        embedding_separator: What stands between metadata and content.
    """

    _for_texts: ClassVar[str]

    prefix: str = ""
    suffix: str = ""
    meta_fields_to_embed: list[str] | None = None
    embedding_separator: str = "\n"

    def _texts(self, documents: Sequence[Document]) -> list[str]:
        check_documents(documents, component=type(self).__name__, hint=f"; use {self._for_texts} to embed a str")
        return document_texts(
            documents,
            meta_fields=self.meta_fields_to_embed,
            separator=self.embedding_separator,
            prefix=self.prefix,
            suffix=self.suffix,
        )
