"""`BGERerank` as the plain function that the contract common to all frameworks asks for."""

from __future__ import annotations

from pathlib import Path

from llama_index.core.schema import NodeWithScore, TextNode

from llama_index.postprocessor.bge import BGERerank


def rank(folder: Path, query: str, passages: list[str], top_k: int | None) -> list[tuple[int, float]]:
    """Indices of the best passages and their scores, the most relevant first."""
    rerank = BGERerank(model=str(folder), top_n=top_k)
    nodes = [NodeWithScore(node=TextNode(id_=str(i), text=passage)) for i, passage in enumerate(passages)]
    return [(int(node.node_id), node.get_score()) for node in rerank.postprocess_nodes(nodes, query_str=query)]
