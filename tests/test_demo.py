"""The demo: what it says, what it compares, and what it does without a reranker."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bge_onnx import Reranker
from bge_onnx.errors import WeightsError
from examples.demo import story
from examples.demo.corpus import Corpus, Store
from examples.demo.reranking import open_reranker
from examples.demo.results import Score, places, same

_ROOT = Path(__file__).parents[1]


class TestReranker:
    def test_a_folder_in_the_environment_is_used(self, tiny_reranker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("BGE_RERANKER", str(tiny_reranker))

        reranker, line = open_reranker()

        assert reranker is not None
        assert reranker.source == f"folder {tiny_reranker}"
        assert line == f"{tiny_reranker}: weights from folder {tiny_reranker}"

    def test_a_folder_that_cannot_rerank_is_told_in_one_line(
        self, tiny_embedder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for folder, reason in ((tiny_embedder, "is an embedding model"), (tiny_embedder / "absent", "does not exist")):
            monkeypatch.setenv("BGE_RERANKER", str(folder))
            reranker, line = open_reranker()
            assert reranker is None
            assert line.startswith(f"no reranking with BGE_RERANKER={folder}: ")
            assert reason in line
            assert "\n" not in line

    @pytest.mark.parametrize("value", [None, ""])
    def test_without_weights_the_ways_to_get_them_are_told_in_one_line(
        self, value: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("BGE_RERANKER", raising=False)
        if value is not None:
            monkeypatch.setenv("BGE_RERANKER", value)
        monkeypatch.setenv("BGE_SOURCES", "cache")
        monkeypatch.setenv("BGE_CACHE", str(tmp_path))
        with pytest.raises(WeightsError):
            Reranker()

        reranker, line = open_reranker()

        assert reranker is None
        assert all(way in line for way in ("hub", "HF_ENDPOINT", "BGE_RERANKER=/path make demo"))
        assert "\n" not in line


class TestResults:
    def test_frameworks_agree_where_paragraphs_and_scores_do(self) -> None:
        hits = [(0.9, "a"), (0.8, "b")]
        assert same(hits, [(0.9 + 1e-7, "a"), (0.8, "b")])
        assert not same(hits, [(0.9, "a")])
        assert not same(hits, [(0.9, "b"), (0.8, "a")])
        assert not same(hits, [(0.9, "a"), (0.79, "b")])
        assert not same(hits, [(0.9, "a"), (0.8, "c")])

    def test_paragraphs_of_equal_score_may_stand_in_either_order(self) -> None:
        assert same([(0.9, "a"), (0.9, "b")], [(0.9, "b"), (0.9, "a")])

    def test_the_rates_are_those_of_the_places(self) -> None:
        found = [[(0.9, "a"), (0.8, "b")], [(0.9, "x"), (0.8, "c")], [(0.9, "x")]]
        score = Score("en", "m", places(found, ["a", "c", "d"]), None, 1.0)
        assert score.places == [0, 1, None]
        assert [score.hit_rate(k) for k in (1, 2, 10)] == [1 / 3, 2 / 3, 2 / 3]
        assert score.ndcg == pytest.approx((1 + 1 / 1.584962500721156) / 3)  # 1 / log2(3) for the second place

    def test_a_score_that_is_not_the_published_one_is_no_success(self) -> None:
        score = Score("en", "m", [0, 0, 0], 0.9531, 1.0)
        assert not score.as_published
        assert replace(score, published=1.0).as_published
        assert replace(score, published=None).as_published


def test_the_first_line_does_not_wait_for_a_framework() -> None:
    heavy = "{'qdrant_client', 'langchain_core', 'llama_index', 'haystack'}"
    code = f"import sys; import examples.demo.__main__; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=_ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.weights
@pytest.mark.slow
class TestTheWholeStory:
    @pytest.fixture
    def few(self, monkeypatch: pytest.MonkeyPatch, small_en: str, small_zh: str) -> None:
        """Ten paragraphs a language, so that the story takes seconds."""
        read = Corpus.read

        def short(language: str, model: str) -> Corpus:
            corpus = read(language, model)
            questions = [(text, right) for text, right in corpus.questions if right < 10]
            return replace(corpus, passages=corpus.passages[:10], questions=questions)

        monkeypatch.setattr(Corpus, "read", short)
        monkeypatch.setattr(story, "_SHOWN", {"en": (0, 12), "zh": (0, 12)})
        assert (small_en, small_zh) == (story.ENGLISH, story.CHINESE)

    @pytest.mark.usefixtures("few")
    def test_each_question_is_told_once_with_the_agreement_of_the_three(
        self,
        tmp_path: Path,
        tiny_reranker: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setenv("BGE_RERANKER", str(tiny_reranker))
        page = tmp_path / "demo.html"
        # Ten paragraphs are easier than 240, so this is not the published score, and the demo must not say it is.
        verdict, good = story.run(Store(None, tmp_path / "index"), page, 0.9531, compared=5)
        printed, html = capsys.readouterr().out, page.read_text(encoding="utf-8")
        assert not good
        assert verdict.startswith("NOT SHOWN: BAAI/bge-small-en-v1.5 reaches nDCG@10 ")
        agreed = re.search(r"the same for (\d+) of (\d+) questions; PyTorch was not loaded", verdict)
        assert agreed is not None
        assert agreed[1] == agreed[2]
        for language in ("en", "zh"):
            corpus = Corpus.read(language, "")
            for number in (0, 12):
                assert printed.count(corpus.questions[number][0]) == 1
        assert (
            printed.count("LangChain = LlamaIndex = Haystack") == html.count("LangChain = LlamaIndex = Haystack") == 4
        )
        assert printed.count("  reranked 1: ") == html.count(">reranked</th>") == 4

        measured = re.findall(r"nDCG@10 ([\d.]+) on", verdict)[0]
        again, good = story.run(Store(None, tmp_path / "index"), page, float(measured), compared=5)
        assert good
        assert again == verdict.replace("NOT SHOWN", "Shown").replace("published 0.9531", f"published {measured}")
        assert "10 paragraphs are indexed already" in capsys.readouterr().out
