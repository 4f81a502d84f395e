"""The example that sends questions to the model of their language."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.languages import PASSAGES, QUESTIONS, language_of, main


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("What do pandas eat?", "en"),
        ("长城是什么时候修建的？", "zh"),
        ("BGE 模型支持哪些语言？", "zh"),
        ("Who wrote 红楼梦 in the eighteenth century?", "en"),
        ("パンダは何を食べますか", "en"),
        ("판다는 무엇을 먹나요", "en"),
        ("", "en"),
        ("1949?", "en"),
    ],
)
def test_languages_are_told_by_their_script(text: str, language: str) -> None:
    assert language_of(text) == language


@pytest.mark.weights
@pytest.mark.usefixtures("small_en", "small_zh")
def test_each_question_finds_its_passage(capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    shown = capsys.readouterr().out
    assert PASSAGES["en"][0] in shown
    assert PASSAGES["zh"][1] in shown
    assert "[en: BAAI/bge-small-en-v1.5]" in shown
    assert "[zh: BAAI/bge-small-zh-v1.5]" in shown


def test_one_model_answers_all_languages(tiny_m3: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--multilingual", str(tiny_m3)])
    shown = capsys.readouterr().out
    assert all(question in shown for question in QUESTIONS)
    assert sum(passage in shown for passages in PASSAGES.values() for passage in passages) >= 1
