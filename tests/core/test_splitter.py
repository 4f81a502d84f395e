"""Texts split by the tokens of a model: exact parts, at the borders people see, none of which the model cuts."""

from __future__ import annotations

import copy
import os
import pickle
import re
import shutil
import subprocess
import sys
import threading
import warnings
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from bge_onnx import Embedder, Reranker, TokenSplitter
from bge_onnx._text.tokens import TextTokenizer
from bge_onnx.errors import InputTypeError, InputValueError, UnknownModelError
from bge_onnx.splitter import WINDOW_TOKENS, Window
from bge_onnx.testing import write_tiny_model

from .nasty_texts import nasty_texts

_PROSE = """Paris lies on the Seine. It is the capital of France, and has been for a long time! Why?

Rome lies on the Tiber (in Italy). "All roads lead there." Trains do too; planes do as well.
A new line begins here and goes on for quite a while without any other sign in it so that it must be split somewhere

机器学习是人工智能的一个分支，它研究计算机怎样模拟人类的学习行为。深度学习是其中的一种方法！你知道吗？我们继续写下去。"""

_CHILD = """
import re, sys
from pathlib import Path
from bge_onnx import TokenSplitter

def peak():
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

splitter = TokenSplitter(sys.argv[1])
texts = ["The house is red. " * 60_000, "abcdefghij" * 100_000, "机器学习是人工智能的一个分支，" * 10_000]
sum(1 for _ in splitter.iterate("The house is red. " * 20_000))
before = peak()
for text in texts:
    assert sum(len(part.text) for part in splitter.iterate(text)) == len(text)
print(peak() - before)
"""


@pytest.fixture(scope="module", params=["tiny-bge-en", "tiny-bge-m3", "checkpoints/m3"])
def trained(request: pytest.FixtureRequest, shared: Path) -> Path:
    return shared / "reference" / str(request.param) / "tokenizer.json"


@pytest.fixture(scope="module", params=["bert-reranker", "m3"])
def crafted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("crafted"), kind=request.param)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def splitter(model: Path) -> TokenSplitter:
    return TokenSplitter(model, max_tokens=20)


def check(text: str, parts: list[Window], file: Path, *, overlap: int) -> None:
    """Parts cover the text, overlap as far as is allowed, and have the tokens they say."""
    whole = Tokenizer.from_file(str(file))
    whole.no_truncation()
    whole.no_padding()
    end = 0
    for part in parts:
        again = len(whole.encode(text[part.start : end], add_special_tokens=False))
        assert again <= overlap + 1  # a word that begins a part may have one token more than inside the text
        assert part.text == text[part.start : part.end]
        assert part.start <= end < part.end
        assert part.tokens == len(whole.encode(part.text, add_special_tokens=False))
        end = part.end
    assert end == len(text)
    assert len(parts) == len(set(parts))


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(text=nasty_texts, size=st.integers(3, 40), share=st.floats(0, 0.5))
def test_parts_cover_any_text_and_fit(trained: Path, text: str, size: int, share: float) -> None:
    overlap = int(size * share)
    parts = list(TextTokenizer(trained).windows(text, size=size, overlap=overlap))
    check(text, parts, trained, overlap=overlap)
    # Only a single character with more tokens than a part may have exceeds them.
    assert all(part.tokens <= size for part in parts if len(part.text.strip()) > 1)


@pytest.mark.parametrize("size", [5, 12, 30, 300])
@pytest.mark.parametrize("overlap", [0, 2, 6])
def test_words_and_signs_stay_whole(crafted: Path, size: int, overlap: int) -> None:
    splitter = TokenSplitter(crafted, max_tokens=size, overlap=min(overlap, size // 2))
    parts = splitter.split(_PROSE)
    check(_PROSE, parts, crafted / "tokenizer.json", overlap=overlap)
    for part in parts:
        around = _PROSE[max(0, part.start - 1) : part.start + 1]
        word = re.fullmatch(r"[a-zA-Z]{2}", around)
        assert not word or size == 5, f"{part} begins inside a word"  # words of more than 5 tokens are split


def test_the_last_paragraph_sentence_or_clause_that_fits_ends_a_part(splitter: TokenSplitter) -> None:
    half, rest = "one two " * 5, "one two " * 12
    for end in (".\n\n", ".\n\n \n", ". ", "! ", '."  ', "?) ", "\n", ", ", "; "):
        text = f"{half}one{end}{rest}"
        assert splitter.split(text)[0].text == f"{half}one{end}"
    assert splitter.split(f"{half}one.\n\ntwo. {rest}")[0].text == f"{half}one.\n\n"
    assert splitter.split(f"{half}one. two, {rest}")[0].text == f"{half}one. "
    assert splitter.split(f"one. {rest}")[0].text == "one. " + "one two " * 9


def test_chinese_is_split_behind_its_signs(shared: Path) -> None:
    tokenizer = TextTokenizer(shared / "reference" / "tiny-bge-m3" / "tokenizer.json")
    text = "机器学习是人工智能的一个分支。它研究计算机，怎样模拟“人类的学习行为。”深度学习是其中的一种方法"
    parts = [part.text for part in tokenizer.windows(text, size=24)]
    assert parts[0] == "机器学习是人工智能的一个分支。"
    assert parts[1] == "它研究计算机，怎样模拟“人类的学习行为。”"


def test_parts_overlap_from_a_sentence_or_word_on(model: Path, splitter: TokenSplitter) -> None:
    text = "One two one two. Two one two one. Red fish red fish. Bird one two red. Fish one two fish. " * 5
    wide = TokenSplitter(model, max_tokens=20, overlap=10)
    parts = wide.split(text)
    for before, after in pairwise(parts):
        shared = text[after.start : before.end]
        assert 0 < splitter.count_tokens([shared], special_tokens=False)[0] <= 10
        assert text[: after.start].endswith(". ")


def test_a_word_that_fits_no_part_is_split_between_characters(crafted: Path) -> None:
    text = "the " + "e\u0301👩‍👩‍👧x" * 200
    parts = TokenSplitter(crafted, max_tokens=16).split(text)
    assert "".join(part.text for part in parts) == text
    for part in parts:
        assert part.text[0] not in "\u0301\u200d"


def test_by_default_neither_an_embedder_nor_a_reranker_cuts_a_part(tmp_path: Path, tiny_reranker: Path) -> None:
    folder = write_tiny_model(tmp_path / "model", query_instruction="Represent this sentence: ")
    text = "the red fish and the blue bird saw one two houses. " * 200
    parts = [part.text for part in TokenSplitter(folder).split(text)]
    assert len(parts) > 5
    query = "one two " * 32
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Embedder(folder).embed_documents(parts)
        Reranker(tiny_reranker).score([(query, part) for part in parts])


def test_the_default_leaves_a_query_of_128_tokens_room_in_a_reranker() -> None:
    assert WINDOW_TOKENS * 1.25 + 4 + 128 <= 512


def test_a_model_that_reads_less_gets_shorter_parts(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "model", max_tokens=64)
    assert TokenSplitter(folder).max_tokens == 62
    with pytest.raises(InputValueError, match="max_tokens=63 exceeds the 62 tokens"):
        TokenSplitter(folder, max_tokens=63)


def test_an_empty_text_has_no_parts_and_spaces_are_one(splitter: TokenSplitter) -> None:
    assert splitter.split("") == []
    assert splitter.split(" \n ") == [Window(" \n ", 0, 3, 0)]


def test_parts_leave_room_for_what_is_read_beside_them(splitter: TokenSplitter) -> None:
    beside = "the title of it"
    (taken,) = splitter.count_tokens([beside], special_tokens=False)
    parts = splitter.split(_PROSE, beside=beside)
    assert "".join(part.text for part in parts) == _PROSE
    assert max(splitter.count_tokens([f"{beside}\n{part.text}" for part in parts], special_tokens=False)) <= 20
    assert max(part.tokens for part in splitter.split(_PROSE)) > 20 - taken
    with pytest.raises(InputValueError, match="has 24 tokens of max_tokens=20"):
        splitter.split(_PROSE, beside="house " * 24)


def test_a_part_without_the_space_around_it_says_where_it_is(splitter: TokenSplitter) -> None:
    text = "  \n " + _PROSE
    stripped = [part.stripped() for part in splitter.split(text)]
    assert all(part and part.text == text[part.start : part.end] == part.text.strip() for part in stripped)
    assert Window(" \n ", 0, 3, 0).stripped() is None


def test_a_reranker_splits_too(tiny_reranker: Path) -> None:
    splitter = TokenSplitter(tiny_reranker, max_tokens=10)
    assert splitter.spec.task == "reranking"
    assert len(splitter.split("the house " * 20)) > 2


def test_tokens_are_counted_as_the_embedder_counts_them(model: Path, splitter: TokenSplitter) -> None:
    texts = ["", "the house", "word " * 700]
    embedder = Embedder(model)
    assert splitter.count_tokens(texts, special_tokens=False) == [len(embedder.tokenize(text)) for text in texts]
    assert splitter.count_tokens(texts) == embedder.count_tokens(texts)


def test_copies_and_pickles_split_alike(splitter: TokenSplitter) -> None:
    for twin in (copy.copy(splitter), copy.deepcopy(splitter), pickle.loads(pickle.dumps(splitter))):
        assert twin.split(_PROSE) == splitter.split(_PROSE)
        assert repr(twin) == repr(splitter)


def test_a_pickle_is_opened_at_first_use(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "model")
    pickled = pickle.dumps(TokenSplitter(folder))
    shutil.rmtree(folder)
    twin = pickle.loads(pickled)
    with pytest.raises(UnknownModelError, match="does not exist"):
        twin.split("text")


def test_threads_split_alike(splitter: TokenSplitter) -> None:
    expected = splitter.split(_PROSE * 20)
    found: list[list[Window]] = []
    threads = [threading.Thread(target=lambda: found.append(splitter.split(_PROSE * 20))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_tokens": 0}, "max_tokens must be a whole number of at least 1"),
        ({"max_tokens": "9"}, "max_tokens must be a whole number"),
        ({"max_tokens": 10, "overlap": 6}, "overlap must be at most half of max_tokens=10, got 6"),
        ({"overlap": -1}, "overlap must be a whole number of at least 0"),
        ({"max_tokens": 511}, "exceeds the 510 tokens"),
    ],
)
def test_what_cannot_work_is_refused(tiny_embedder: Path, arguments: dict[str, int], message: str) -> None:
    with pytest.raises(InputValueError, match=message):
        TokenSplitter(tiny_embedder, **arguments)  # type: ignore[arg-type]


def test_what_is_no_text_or_model_is_refused(splitter: TokenSplitter) -> None:
    with pytest.raises(InputTypeError, match="text must be a str"):
        splitter.split(None)  # type: ignore[arg-type]
    with pytest.raises(InputTypeError, match="must be a str"):
        splitter.iterate(b"text")  # type: ignore[arg-type]
    with pytest.raises(InputValueError, match="lone surrogate"):
        splitter.split("bad \ud800")
    with pytest.raises(UnknownModelError):
        TokenSplitter("./no-such-folder")


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="the peak is read from /proc, which Linux has")
def test_memory_does_not_grow_with_a_text(model: Path) -> None:
    arguments = [sys.executable, "-c", _CHILD, str(model)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 60 * 2**20
