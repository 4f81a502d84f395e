from __future__ import annotations

import copy
from pathlib import Path

import pytest
from haystack import Document, Pipeline

from bge_onnx.errors import InputTypeError, InputValueError
from bge_onnx.late_interaction import M3Reranker
from haystack_integrations.components.rankers.bge import BGEColBERTRanker

_QUERY = "the red fish"
_TEXTS = ["one two house", "the red fish saw one bird", "", "the blue bird"]


@pytest.mark.parametrize("weights", [(0.0, 0.0, 1.0), (0.4, 0.2, 0.4)])
async def test_documents_are_ranked_as_the_core_ranks_texts(tiny_m3: Path, weights: tuple[float, float, float]) -> None:
    pipeline = Pipeline()
    pipeline.add_component("ranker", BGEColBERTRanker(tiny_m3, weights=weights, top_k=3))
    pipeline = Pipeline.loads(pipeline.dumps())
    documents = [Document(content=text, id=str(n), meta={"n": n}) for n, text in enumerate(_TEXTS)]
    before = copy.deepcopy(documents)
    ranked = pipeline.run({"ranker": {"query": _QUERY, "documents": [*documents, documents[1]]}})["ranker"]["documents"]
    expected = M3Reranker(tiny_m3, weights=weights).rank(_QUERY, _TEXTS, top_k=3)
    assert [(document.id, document.score) for document in ranked] == [
        (str(passage.index), pytest.approx(passage.score, abs=1e-6)) for passage in expected
    ]
    ranker = pipeline.get_component("ranker")
    assert isinstance(ranker, BGEColBERTRanker)
    assert (await ranker.run_async(_QUERY, documents))["documents"] == ranked
    assert ranker.run(_QUERY, documents, top_k=1)["documents"] == ranked[:1]
    assert ranker.run(_QUERY, documents, score_threshold=ranked[1].score)["documents"] == ranked[:2]
    assert documents == before


def test_metadata_precede_the_content(tiny_m3: Path) -> None:
    ranker = BGEColBERTRanker(tiny_m3, meta_fields_to_embed=["title"])
    documents = [Document(content="one", meta={"title": "the red fish"}), Document(content="two")]
    expected = M3Reranker(tiny_m3).rank(_QUERY, ["the red fish\none", "two"])
    assert [document.score for document in ranker.run(_QUERY, documents)["documents"]] == pytest.approx(
        [passage.score for passage in expected], abs=1e-6
    )


def test_what_cannot_work_is_refused(tiny_m3: Path) -> None:
    with pytest.raises(InputValueError, match="top_k"):
        BGEColBERTRanker(tiny_m3, top_k=0)
    with pytest.raises(InputValueError, match="weights must be three numbers"):
        BGEColBERTRanker(tiny_m3, weights=(0, 0, 0)).warm_up()
    with pytest.raises(InputTypeError, match="for the query"):
        BGEColBERTRanker(tiny_m3).run(None, [])  # type: ignore[arg-type]
    with pytest.raises(InputTypeError, match="it is called 'progress_bar' here"):
        BGEColBERTRanker(tiny_m3, show_progress=True)
