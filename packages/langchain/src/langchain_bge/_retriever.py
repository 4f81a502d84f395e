"""A retriever whose results are reranked."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable
from pydantic import ConfigDict


class BGERerankingRetriever(BaseRetriever):
    """Retrieves with one retriever and sorts what it finds with a reranker, as one step of a chain.

    Example:
        ```python
        from langchain_bge import BGEEmbeddings, BGEReranker
        from langchain_core.vectorstores import InMemoryVectorStore

        found = InMemoryVectorStore(BGEEmbeddings(model="BAAI/bge-small-en-v1.5")).as_retriever(search_kwargs={"k": 30})
        retriever = BGEReranker(model="BAAI/bge-reranker-base", top_n=3).as_retriever(found)
        retriever.invoke("Which city is the capital of France?")
        ```
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    base: Runnable[str, Any]
    """Finds the documents."""

    reranker: BaseDocumentCompressor
    """Sorts them, and keeps the most relevant ones."""

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        callbacks = run_manager.get_child()
        documents = self.base.invoke(query, config={"callbacks": callbacks})
        return list(self.reranker.compress_documents(documents, query, callbacks=callbacks))

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun
    ) -> list[Document]:
        callbacks = run_manager.get_child()
        documents = await self.base.ainvoke(query, config={"callbacks": callbacks})
        return list(await self.reranker.acompress_documents(documents, query, callbacks=callbacks))
