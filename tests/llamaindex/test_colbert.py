from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
from llama_index.core.schema import NodeWithScore, TextNode

from bge_onnx.errors import InputValueError
from bge_onnx.late_interaction import M3Reranker
from llama_index.postprocessor.bge import BGEColBERTRerank
from tests.llamaindex.conftest import Recorder

_QUERY = "the red fish"
_TEXTS = ["one two house", "the red fish saw one bird", "", "the blue bird"]


@pytest.mark.parametrize("weights", [(0.0, 0.0, 1.0), (0.4, 0.2, 0.4)])
async def test_nodes_are_ranked_as_the_core_ranks_texts(
    tiny_m3: Path, recorder: Recorder, weights: tuple[float, float, float]
) -> None:
    rerank = BGEColBERTRerank(model=str(tiny_m3), weights=weights, top_n=3)
    nodes = [NodeWithScore(node=TextNode(text=text, id_=str(n)), score=0.5) for n, text in enumerate(_TEXTS)]
    found = rerank.postprocess_nodes(nodes, query_str=_QUERY)
    expected = M3Reranker(tiny_m3, weights=weights).rank(_QUERY, _TEXTS, top_k=3)
    assert [node.node_id for node in found] == [str(passage.index) for passage in expected]
    assert [node.score for node in found] == pytest.approx([passage.score for passage in expected], abs=1e-6)
    assert len(recorder.named("ReRankStartEvent")) == len(recorder.named("ReRankEndEvent")) == 1
    again = await rerank.apostprocess_nodes(nodes, query_str=_QUERY)
    for twin in (BGEColBERTRerank.from_dict(json.loads(rerank.to_json())), pickle.loads(pickle.dumps(rerank))):
        assert [node.node_id for node in twin.postprocess_nodes(nodes, query_str=_QUERY)] == [n.node_id for n in again]
    assert all(node.score == 0.5 for node in nodes)


def test_what_cannot_work_is_refused(tiny_m3: Path) -> None:
    with pytest.raises(InputValueError, match="weights must be three numbers"):
        BGEColBERTRerank(model=str(tiny_m3), weights=(0, 0, 0))
    with pytest.raises(InputValueError, match="reads no pairs"):
        BGEColBERTRerank(model=str(tiny_m3), truncation="longest_first")
    nodes = [NodeWithScore(node=TextNode(text="a"))]
    with pytest.raises(InputValueError, match=r"^BGEColBERTRerank ranks nodes for a query and got none"):
        BGEColBERTRerank(model=str(tiny_m3)).postprocess_nodes(nodes)
