"""Long texts are tokenised in slices: tokens are those of the whole text, in memory that its length does not set."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from bge_onnx._text.reading import Reader
from bge_onnx._text.slices import Borders
from bge_onnx._text.tokens import TextTokenizer
from bge_onnx.errors import InferenceError, UnsuitableModelError
from bge_onnx.testing import write_tiny_model

from .nasty_texts import FRAGMENTS, nasty_texts

_CRAFTED = ("bert-reranker", "reranker")  # BERT's layout and tokens, and XLM-RoBERTa's
_TRAINED = ("tiny-bge-en", "tiny-bge-m3", "checkpoints/m3")

# Runs where nothing else has left a peak; prints the growth in bytes that long texts cause, one after the other.
_CHILD = """
import re, sys
from pathlib import Path
from bge_onnx._text.tokens import TextTokenizer

def peak():
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

tokenizer = TextTokenizer(Path(sys.argv[1]))
texts = ["." * 1_000_000, "abcdefghij" * 100_000, "机器学习是人工智能的一个分支，" * 50_000, "some words " * 100_000]
tokenizer.texts([". " * 100_000], limit=512)
before = peak()
for text in texts:
    tokenizer.texts([text], limit=512)
print(peak() - before)
"""


@pytest.fixture(scope="module", params=[*_CRAFTED, *_TRAINED])
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `tokenizer.json`."""
    if request.param in _CRAFTED:
        return write_tiny_model(tmp_path_factory.mktemp("crafted"), kind=request.param) / "tokenizer.json"
    shared: Path = request.getfixturevalue("shared")
    return shared / "reference" / str(request.param) / "tokenizer.json"


@pytest.fixture(scope="module")
def whole(file: Path) -> Tokenizer:
    """The library's own tokeniser, which reads any text in one go."""
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def read(tokenizer: Tokenizer, text: str, *, size: int, longest: int, keep: int = 10**9) -> tuple[list[int], int]:
    before, after = tokenizer.encode("").ids
    borders = Borders(tokenizer, size=size, longest=longest)
    ((found,),) = Reader(tokenizer, before=[before], after=[after], borders=borders).read(
        [text], special=True, keep=keep
    )
    return found


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(text=nasty_texts, size=st.integers(10, 200))
def test_tokens_of_slices_are_those_of_the_whole(whole: Tokenizer, text: str, size: int) -> None:
    expected = whole.encode(text).ids
    assert read(whole, text, size=size, longest=10**6) == (expected, len(expected))


@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(text=nasty_texts, size=st.integers(10, 50), keep=st.integers(1, 20))
def test_what_is_kept_is_the_beginning_of_the_whole(whole: Tokenizer, text: str, size: int, keep: int) -> None:
    expected = whole.encode(text).ids
    ids, count = read(whole, text, size=size, longest=10**6, keep=keep)
    assert count == len(expected)
    assert ids[:keep] == expected[:keep]


def long_texts() -> dict[str, str]:
    chance = random.Random(7)
    pieces = ("".join(chance.choices(FRAGMENTS, k=3)) for _ in range(5_000))
    return {
        "full stops": "." * 270_000 + " end",
        "a word without end": "abcdefghij" * 26_000 + " end of it",
        "ideographs": "".join(chr(chance.randrange(0x4E00, 0x9FFF)) for _ in range(70_000)),
        "one ideograph": "哈" * 270_000,
        "sentences without spaces": "机器学习是人工智能的一个分支，" * 5_000,
        "kana": "".join(chance.choices("これはペンです。日本語テキストを", k=70_000)),
        "combining marks": "a" + "\u0301" * 270_000 + "b c",
        "spaces": "a" + " " * 100_000 + "b",
        "line ends": "\r\n" * 40_000,
        "literal special tokens": "[CLS]" * 15_000,
        "families": "👩‍👩‍👧" * 15_000,
        "everything": " ".join(pieces),
    }


@pytest.mark.parametrize("file", _CRAFTED, indirect=True)
@pytest.mark.parametrize("name", long_texts())
def test_long_texts_are_read_like_short_ones(file: Path, whole: Tokenizer, name: str) -> None:
    text = long_texts()[name]
    opened = TextTokenizer(file)
    ids = whole.encode(text).ids
    for limit in (16, 8192) if len(text) < 100_000 else (512,):
        tokens = opened.texts(["before", text, "after"], limit=limit)
        assert tokens.row(1).tolist() == (ids if len(ids) <= limit else [*ids[: limit - 1], ids[-1]])
        assert tokens.uncut[1] == len(ids)
        assert tokens.row(2).tolist() == whole.encode("after").ids
    assert opened.count([text], special=False) == [len(ids) - 2]
    pair = whole.encode("query", text).ids
    tokens = opened.pairs([("query", text)], limit=512, truncation="only_second")
    assert tokens.row(0).tolist() == (pair if len(pair) <= 512 else [*pair[:511], pair[-1]])
    assert tokens.uncut.tolist() == [len(pair)]


def test_an_instruction_before_a_long_text_is_read_with_it(file: Path, whole: Tokenizer) -> None:
    text = "the house of the cat " * 10_000
    tokens = TextTokenizer(file).texts([text], limit=512, instruction="Represent this: ")
    ids = whole.encode("Represent this: " + text).ids
    assert tokens.row(0).tolist() == [*ids[:511], ids[-1]]
    assert tokens.uncut.tolist() == [len(ids)]


@pytest.mark.parametrize("file", _CRAFTED, indirect=True)
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="the peak is read from /proc, which Linux has")
def test_memory_does_not_grow_with_a_text(file: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(file)], capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr
    # Read whole, the full stops alone take 140 MB with XLM-RoBERTa's kind of tokeniser, and 420 MB with BERT's.
    assert int(done.stdout) < 120 * 2**20


def _rewritten(file: Path, target: Path, **changes: object) -> Path:
    path = target / "tokenizer.json"
    path.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return path


@pytest.mark.parametrize("texts", [["x" * 40], ["fine", "x" * 40]])
def test_a_tokenizer_that_panics_is_an_error_of_the_package(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    file = write_tiny_model(tmp_path_factory.mktemp("tiny")) / "tokenizer.json"
    endless = {"type": "Split", "pattern": {"Regex": "(x+x+)+y"}, "behavior": "Isolated", "invert": False}
    opened = TextTokenizer(_rewritten(file, tmp_path, pre_tokenizer=endless))
    with pytest.raises(InferenceError, match="the tokenizer failed"):
        opened.texts(texts, limit=512)
    with pytest.raises(InferenceError, match="the tokenizer failed"):
        opened.count(texts, special=False)


def test_a_tokenizer_that_panics_at_once_is_refused(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = write_tiny_model(tmp_path_factory.mktemp("tiny")) / "tokenizer.json"
    normalizer = {"type": "Replace", "pattern": {"Regex": "a"}, "content": "x" * 40}
    endless = {"type": "Split", "pattern": {"Regex": "(x+x+)+y"}, "behavior": "Isolated", "invert": False}
    with pytest.raises(UnsuitableModelError, match="failed at a single letter"):
        TextTokenizer(_rewritten(file, tmp_path, normalizer=normalizer, pre_tokenizer=endless))
