"""`check_index` on vectors made by known recipes with a small model: it must name the recipe, or say that it cannot."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bge_onnx import Embedder
from bge_onnx.errors import InputTypeError, InputValueError
from bge_onnx.evaluation import IndexReport, check_index
from bge_onnx.testing import write_tiny_model

INSTRUCTION = "Represent this sentence for searching relevant passages: "
QUESTION = "Represent this question for searching relevant passages: "
WORDS = "sail boat river stone apple cloud green table seven light paper night salt horn glass wheel".split()

Vectors = NDArray[np.float32]


def sentence(number: int, words: int) -> str:
    chosen = np.random.default_rng(number).choice(WORDS, size=words)
    return f"{number} {' '.join(chosen)}"


# Short ones, some of several lines, some of more than 128 and some of more than 256 tokens.
TEXTS = [
    *(sentence(number, 4 + number % 7) for number in range(20)),
    *(sentence(number, 5) + "\nand " + sentence(number + 100, 3) for number in range(20, 26)),
    *(sentence(number, 45 + 5 * (number % 3)) for number in range(26, 30)),
    *(sentence(number, 120) for number in range(30, 33)),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("index") / "embedder", query_instruction=INSTRUCTION)


Make = Callable[..., Vectors]


@pytest.fixture(scope="module")
def made(model: Path) -> Make:
    """Makes vectors by a recipe, without `bge_onnx.evaluation`."""

    def make(
        texts: Sequence[str] = TEXTS,
        *,
        prefix: str = "",
        pooling: str = "cls",
        length: int = 512,
        normalize: bool = True,
    ) -> Vectors:
        settings = {"pooling": pooling, "max_length": length, "normalize": normalize, "truncate": "silent"}
        with Embedder(model, query_instruction=prefix, **settings) as embedder:  # type: ignore[arg-type]
            return embedder.embed_queries(texts)

    return make


def test_our_own_documents_stay(model: Path, made: Make) -> None:
    report = check_index(model, TEXTS, made())
    assert report.verdict == "keep"
    (part,) = report.parts
    assert part.ours
    assert part.same
    assert part.length == "one"
    assert min(part.min_cosine, part.cosine_to_ours) > 0.999999
    assert report.unexplained == ()
    assert INSTRUCTION in report.advice


def test_our_own_queries_stay(model: Path, made: Make) -> None:
    report = check_index(model, TEXTS, made(prefix=INSTRUCTION), role="query")
    assert (report.verdict, report.parts[0].recipe.prefix) == ("keep", INSTRUCTION)


@pytest.mark.parametrize("prefix", ["", QUESTION, "query: ", "为这个句子生成表示以用于检索相关文章："])
def test_queries_with_another_instruction_change_and_documents_do_not(model: Path, made: Make, prefix: str) -> None:
    report = check_index(model, TEXTS, made(prefix=prefix), role="query")
    assert (report.verdict, report.parts[0].recipe.prefix) == ("queries-change", prefix)
    assert "Documents are not concerned" in str(report)


@pytest.mark.parametrize("prefix", [INSTRUCTION, QUESTION, "passage: "])
def test_documents_with_an_instruction_are_found(model: Path, made: Make, prefix: str) -> None:
    report = check_index(model, TEXTS, made(prefix=prefix))
    assert (report.verdict, report.parts[0].recipe.prefix) == ("re-embed", prefix)
    assert repr(prefix) in str(report)


@pytest.mark.parametrize("normalize", [True, False])
def test_mean_pooling_is_found(model: Path, made: Make, normalize: bool) -> None:
    report = check_index(model, TEXTS, made(pooling="mean", normalize=normalize))
    assert (report.verdict, report.parts[0].recipe.pooling) == ("re-embed", "mean")
    assert report.parts[0].length == ("one" if normalize else "raw")


def test_vectors_that_were_not_normalised_stay_with_a_condition(model: Path, made: Make) -> None:
    report = check_index(model, TEXTS, made(normalize=False))
    assert (report.verdict, report.parts[0].length) == ("keep", "raw")
    assert "divide each stored vector by its length" in report.advice


@pytest.mark.parametrize("length", [128, 256])
def test_a_shorter_limit_is_found(model: Path, made: Make, length: int) -> None:
    report = check_index(model, TEXTS, made(length=length))
    assert (report.verdict, report.parts[0].recipe.max_length) == ("re-embed", length)
    assert f"cut at {length} tokens" in str(report)


def test_prefix_pooling_limit_and_length_together_are_found(model: Path, made: Make) -> None:
    vectors = made(prefix=QUESTION, pooling="mean", length=128, normalize=False)
    (part,) = check_index(model, TEXTS, vectors).parts
    recipe = part.recipe
    assert (recipe.prefix, recipe.pooling, recipe.max_length, part.length) == (QUESTION, "mean", 128, "raw")


def test_a_change_that_the_tokenizer_does_not_see_is_no_change(model: Path, made: Make) -> None:
    report = check_index(model, TEXTS, made([text.replace("\n", " ") for text in TEXTS]))
    assert report.verdict == "keep"


@pytest.mark.parametrize(
    ("storage", "convert"),
    [
        ("float16", lambda vectors: vectors.astype(np.float16)),
        ("bfloat16", lambda vectors: (vectors.view(np.uint32) & 0xFFFF0000).view(np.float32)),
        ("int8", lambda vectors: np.rint(vectors / np.abs(vectors).max() * 127).astype(np.int8)),
    ],
)
def test_rounded_vectors_stay_and_their_format_is_named(
    model: Path, made: Make, storage: str, convert: Callable[[Vectors], NDArray[np.generic]]
) -> None:
    report = check_index(model, TEXTS, convert(made()))
    assert (report.verdict, report.storage) == ("keep", storage)


def test_another_models_vectors_are_nobodys(model: Path) -> None:
    report = check_index(model, TEXTS, np.random.default_rng(0).standard_normal((len(TEXTS), 32)))
    assert (report.verdict, report.parts) == ("re-embed", ())
    assert f"made by none of {report.tried} recipes" in str(report)
    assert report.nearest < 0.5
    assert report.tried > 30


def test_another_model_is_found_where_it_is_named(model: Path, tmp_path: Path) -> None:
    other = write_tiny_model(tmp_path / "other", seed=7)
    vectors = Embedder(other, truncate="silent").embed_documents(TEXTS)
    report = check_index(model, TEXTS, vectors, others=[other])
    assert report.verdict == "re-embed"
    assert "other" in report.parts[0].recipe.model
    assert "another model made them" in report.advice


def test_two_recipes_in_one_index_are_both_found(model: Path, made: Make) -> None:
    vectors = made()
    vectors[20:] = made(TEXTS[20:], pooling="mean")
    report = check_index(model, TEXTS, vectors)
    assert report.verdict == "re-embed"
    assert [part.recipe.pooling for part in report.parts] == ["cls", "mean"]
    assert [len(part.rows) for part in report.parts] == [20, len(TEXTS) - 20]
    assert report.parts[1].rows == tuple(range(20, len(TEXTS)))


def test_single_texts_that_do_not_fit_are_named(model: Path, made: Make) -> None:
    vectors = made()
    vectors[[3, 17]] = np.random.default_rng(0).standard_normal((2, 32))
    report = check_index(model, TEXTS, vectors)
    assert report.unexplained == (3, 17)
    assert "3, 17" in str(report)
    assert report.verdict == "keep"
    assert "those texts changed since" in report.advice


def test_many_texts_that_do_not_fit_forbid_keeping(model: Path, made: Make) -> None:
    vectors = made()
    vectors[::3] = np.random.default_rng(0).standard_normal((11, 32))
    report = check_index(model, TEXTS, vectors)
    assert report.verdict == "re-embed"
    assert "22 of 33" in report.advice


@pytest.mark.parametrize(("noise", "verdict"), [(0.005, "keep"), (0.02, "re-embed")])
def test_vectors_that_are_merely_near_are_called_that(model: Path, made: Make, noise: float, verdict: str) -> None:
    vectors = made() + noise * np.random.default_rng(0).standard_normal((len(TEXTS), 32))
    report = check_index(model, TEXTS, vectors)
    (part,) = report.parts
    assert not part.same
    assert report.verdict == verdict
    assert "nearest to, but not the same as," in str(report)


def test_what_short_plain_texts_cannot_tell_is_said(model: Path, made: Make) -> None:
    plain = [text.lower() for text in TEXTS[:20]]
    report = check_index(model, plain, made(plain))
    said = " ".join(report.undecided)
    assert "line breaks" in said
    assert "longer texts are cut" in said
    assert "capital" in said
    assert "This sample cannot tell" in str(report)
    assert not [said for said in check_index(model, TEXTS, made()).undecided if "line breaks" in said]


def test_few_texts_are_a_caution(model: Path, made: Make) -> None:
    assert any("Only 10 texts" in caution for caution in check_index(model, TEXTS[:10], made(TEXTS[:10])).cautions)


def test_repeated_texts_and_zero_vectors_are_cautions(model: Path, made: Make) -> None:
    texts = [*TEXTS, TEXTS[0], TEXTS[1], "nothing was stored for this one"]
    vectors = made(texts)
    vectors[-1] = 0
    vectors[-2] = vectors[5]
    report = check_index(model, texts, vectors)
    said = " ".join(report.cautions)
    assert report.verdict == "keep"
    assert f"1 vectors are zero, the first at position {len(texts) - 1}" in said
    assert "2 texts occur more than once" in said
    assert "1 of them have another vector each time" in said


def test_a_sample_is_spread_over_the_whole(model: Path) -> None:
    texts = [sentence(number, 6) for number in range(400)]
    vectors = Embedder(model).embed_documents(texts)
    (part,) = check_index(model, texts, vectors, sample=32).parts
    assert len(part.rows) <= 32
    assert part.rows[0] == 0
    assert part.rows[-1] == 399


@pytest.mark.parametrize("step", [1, 2])
def test_lists_that_are_out_of_step_are_refused(model: Path, step: int) -> None:
    texts = [sentence(number, 6) for number in range(200)]
    vectors = np.roll(Embedder(model).embed_documents(texts), step, axis=0)
    with pytest.raises(InputValueError, match="out of step"):
        check_index(model, texts, vectors)


@pytest.mark.parametrize(
    ("texts", "vectors", "error", "said"),
    [
        (TEXTS, np.ones((5, 32)), InputValueError, "33 texts and 5 vectors"),
        (TEXTS[:3], np.eye(3, 32), InputValueError, "only 3 different texts"),
        (TEXTS, np.full((len(TEXTS), 32), np.nan), InputValueError, "position 0 holds NaN"),
        (TEXTS, np.ones((len(TEXTS), 32)), InputValueError, "all 33 texts have the same vector"),
        (TEXTS, np.zeros((len(TEXTS), 32)), InputValueError, "only 0 different texts"),
        (TEXTS, np.eye(len(TEXTS), 384), InputValueError, "384 components and"),
        (TEXTS, np.eye(len(TEXTS), 384), InputValueError, "BAAI/bge-small-en-v1.5"),
        (TEXTS, np.ones(len(TEXTS)), InputValueError, "shape"),
        (TEXTS, [["a"]] * len(TEXTS), InputTypeError, "array of numbers"),
        (TEXTS, [[0.0] * 32, [0.0]], InputTypeError, "all of the same length"),
        ([None] * 33, np.eye(33, 32), InputTypeError, "text 0 must be a str"),
        ("a text", np.eye(33, 32), InputTypeError, "list of str"),
    ],
)
def test_what_cannot_be_checked_is_refused(
    model: Path, texts: Sequence[str], vectors: NDArray[np.float64], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        check_index(model, texts, vectors)


def test_an_unknown_role_is_refused(model: Path) -> None:
    with pytest.raises(InputValueError, match="role"):
        check_index(model, TEXTS, np.eye(33, 32), role="passage")  # type: ignore[arg-type]


def test_a_report_is_a_paragraph_and_plain_data(model: Path, made: Make) -> None:
    report: IndexReport = check_index(model, TEXTS, made())
    assert "\n" not in str(report)
    plain = json.loads(json.dumps(report.as_dict()))
    assert plain["verdict"] == report.verdict
    assert plain["text"] == str(report)
    assert plain["parts"][0]["recipe"]["pooling"] == "cls"
    assert plain["parts"][0]["mean_cosine"] == report.parts[0].mean_cosine
