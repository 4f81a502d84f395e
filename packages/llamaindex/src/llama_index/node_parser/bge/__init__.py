"""Node parsing by the tokens of a BGE model for LlamaIndex."""

from __future__ import annotations

from llama_index.node_parser.bge.base import BGENodeParser

__all__ = ["BGENodeParser"]
