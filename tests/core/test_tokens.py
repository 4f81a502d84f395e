from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Encoding

from bge_onnx._text.tokens import PairTruncation, TextTokenizer, Tokens, padded, pair_lengths
from bge_onnx.errors import UnsuitableModelError
from bge_onnx.testing import write_tiny_model
from bge_onnx.testing._folder import Kind

from .crafted import tokenizer

KINDS: tuple[Kind, ...] = ("bert-reranker", "reranker")  # BERT's layout and tokens, and XLM-RoBERTa's
TEXTS = [
    "",
    "a",
    "The capital of France is Paris.",
    "word " * 40,
    "机器学习是人工智能的一个分支，" * 5,
    "[CLS] <s> [SEP] </s> literal special tokens [PAD] <pad>",
    "Straße 🧪 naïve\n\ttabs " * 3,
]


@pytest.fixture(scope="module", params=KINDS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tokens"), kind=request.param)


def open_tokenizer(folder: Path) -> TextTokenizer:
    return TextTokenizer(folder / "tokenizer.json")


def rows(tokens: Tokens) -> list[list[int]]:
    return [tokens.row(row).tolist() for row in range(len(tokens.lengths))]


@pytest.mark.parametrize("limit", [8, 16, 17, 512])
@pytest.mark.parametrize("instruction", ["", "Represent this sentence: "])
def test_texts_are_cut_as_the_tokenizers_library_cuts_them(folder: Path, limit: int, instruction: str) -> None:
    reference = tokenizer(folder)
    uncut = [len(reference.encode(instruction + text)) for text in TEXTS]
    reference.enable_truncation(limit)
    expected = [reference.encode(instruction + text).ids for text in TEXTS]

    tokens = open_tokenizer(folder).texts(TEXTS, limit=limit, instruction=instruction)

    assert rows(tokens) == expected
    assert tokens.lengths.tolist() == list(map(len, expected))
    assert tokens.uncut.tolist() == uncut
    assert tokens.ids.dtype == np.int32


def test_more_texts_than_one_call_takes_keep_their_order(folder: Path) -> None:
    texts = [f"text {i} {'word ' * (i % 7)}" for i in range(1000)]
    reference = tokenizer(folder)
    assert rows(open_tokenizer(folder).texts(texts, limit=512)) == [reference.encode(text).ids for text in texts]


def test_no_texts_and_no_pairs_are_no_rows(folder: Path) -> None:
    opened = open_tokenizer(folder)
    for tokens in (opened.texts([], limit=8), opened.pairs([], limit=8, truncation="only_second")):
        assert tokens.ids.shape == (0,)
        assert tokens.lengths.shape == tokens.uncut.shape == (0,)


def flag_embedding(folder: Path, query: str, passage: str, limit: int) -> Encoding:
    """The query cut to three quarters of the limit, then only the passage, each cut by the tokenizers library."""
    reference = tokenizer(folder)
    reference.enable_truncation(limit * 3 // 4)
    cut = reference.encode(query, add_special_tokens=False)
    # Every word of the query is one token, so the cut query can be encoded again.
    reference.enable_truncation(limit, strategy="only_second")
    encoding = reference.encode(" ".join(query.split()[: len(cut)]), passage)
    assert [i for i, s in zip(encoding.ids, encoding.sequence_ids, strict=True) if s == 0] == cut.ids
    return encoding


def words(count: int, seed: int) -> str:
    """Words that are one token each."""
    return " ".join(random.Random(seed).choices(["the", "cat", "and", "dog", "of", "house"], k=count))


@pytest.mark.parametrize("limit", [20, 21, 33])
@pytest.mark.parametrize("query", [1, 5, 14, 15, 16, 24, 25, 60])
@pytest.mark.parametrize("passage", [3, 20, 60])
def test_pairs_are_cut_as_flag_embedding_cuts_them(folder: Path, limit: int, query: int, passage: int) -> None:
    pair = (words(query, 1), words(passage, 2))
    expected = flag_embedding(folder, *pair, limit)

    tokens = open_tokenizer(folder).pairs([pair], limit=limit, truncation="only_second")

    assert rows(tokens) == [expected.ids]
    assert padded([(tokens, np.array([0]))], pad=0)["token_type_ids"].tolist() == [expected.type_ids]
    assert tokens.uncut.tolist() == [len(tokenizer(folder).encode(*pair))]


@pytest.mark.parametrize("limit", [8, 16, 17, 33, 512])
def test_longest_first_is_the_rule_of_the_tokenizers_library(folder: Path, limit: int) -> None:
    lengths = [0, 1, 2, 3, 5, 6, 7, 11, 12, 13, 14, 30, 100]
    pairs = [(words(a, a), words(b, b)) for a in lengths for b in lengths]
    reference = tokenizer(folder)
    reference.enable_truncation(limit, strategy="longest_first")
    expected = [reference.encode(*pair) for pair in pairs]

    tokens = open_tokenizer(folder).pairs(pairs, limit=limit, truncation="longest_first")

    assert rows(tokens) == [encoding.ids for encoding in expected]
    types = [padded([(tokens, np.array([row]))], pad=0)["token_type_ids"][0].tolist() for row in range(len(pairs))]
    assert types == [encoding.type_ids for encoding in expected]


@pytest.mark.parametrize("truncation", ["only_second", "longest_first"])
def test_pairs_of_any_texts_have_the_layout_of_the_tokenizer(folder: Path, truncation: PairTruncation) -> None:
    pairs = [(a, b) for a in TEXTS for b in TEXTS]
    reference = tokenizer(folder)
    tokens = open_tokenizer(folder).pairs(pairs, limit=512, truncation=truncation)
    assert rows(tokens) == [reference.encode(*pair).ids for pair in pairs]
    assert (tokens.uncut == tokens.lengths).all()


@pytest.mark.parametrize("truncation", ["only_second", "longest_first"])
def test_a_cut_pair_always_fits_and_never_exceeds_what_there_is(truncation: PairTruncation) -> None:
    for limit in (8, 9, 64):
        for query in range(0, 80, 3):
            for passage in range(0, 80, 3):
                room = limit - 4
                kept = pair_lengths(query, passage, room=room, limit=limit, truncation=truncation)
                assert 0 <= kept[0] <= query
                assert 0 <= kept[1] <= passage
                assert sum(kept) <= room


def test_batches_are_padded_as_the_tokenizers_library_pads_them(folder: Path) -> None:
    reference = tokenizer(folder)
    opened = open_tokenizer(folder)
    pad = reference.token_to_id("[PAD]") or reference.token_to_id("<pad>") or 0
    assert opened.pad == pad
    reference.enable_padding(pad_id=pad)
    for inputs, tokens in (
        (TEXTS, opened.texts(TEXTS, limit=512)),
        (
            list(zip(TEXTS, TEXTS[::-1], strict=True)),
            opened.pairs(list(zip(TEXTS, TEXTS[::-1], strict=True)), limit=512, truncation="only_second"),
        ),
    ):
        order = [3, 0, 6, 2]
        expected = reference.encode_batch([inputs[row] for row in order])
        feed = padded([(tokens, np.array(order))], pad=opened.pad)
        assert feed["input_ids"].tolist() == [encoding.ids for encoding in expected]
        assert feed["attention_mask"].tolist() == [encoding.attention_mask for encoding in expected]
        assert feed["token_type_ids"].tolist() == [encoding.type_ids for encoding in expected]
        assert {array.dtype for array in feed.values()} == {np.dtype(np.int64)}


def test_tokens_are_counted_with_or_without_special_ones_and_before_any_cut(folder: Path) -> None:
    reference = tokenizer(folder)
    for special in (True, False):
        expected = [len(reference.encode(text, add_special_tokens=special)) for text in TEXTS]
        assert open_tokenizer(folder).count(TEXTS, special=special) == expected


def rewritten(folder: Path, target: Path, changes: dict[str, Any]) -> Path:
    content = json.loads((folder / "tokenizer.json").read_text())
    path = target / "tokenizer.json"
    path.write_text(json.dumps(content | changes))
    return path


def test_truncation_and_padding_that_a_file_carries_are_ignored(folder: Path, tmp_path: Path) -> None:
    """Published files carry both, for example a fixed length of 128."""
    padding = {
        "strategy": {"Fixed": 128},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 7,
        "pad_type_id": 0,
        "pad_token": "[PAD]",
    }
    truncation = {"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0}
    opened = TextTokenizer(rewritten(folder, tmp_path, {"padding": padding, "truncation": truncation}))
    assert opened.pad == 7
    assert rows(opened.texts(TEXTS, limit=512)) == rows(open_tokenizer(folder).texts(TEXTS, limit=512))


@pytest.mark.parametrize("content", ["", "{}", '{"model": {"type": "WordPiece"}}', "not json"])
def test_what_is_no_tokenizer_is_refused_by_its_path(tmp_path: Path, content: str) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(UnsuitableModelError, match=r"tokenizer\.json is not a readable tokenizer\.json ") as caught:
        TextTokenizer(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_tokenizer_that_reads_nothing_is_refused(folder: Path, tmp_path: Path) -> None:
    path = rewritten(folder, tmp_path, {"normalizer": {"type": "Replace", "pattern": {"Regex": "."}, "content": ""}})
    with pytest.raises(UnsuitableModelError, match="turns a plain letter into no token"):
        TextTokenizer(path)


def test_ids_without_meaning_are_begin_end_padding_and_unknown(folder: Path) -> None:
    opened = open_tokenizer(folder)
    names = {opened_name for index in opened.unused if (opened_name := tokenizer(folder).id_to_token(index))}
    assert names in ({"[CLS]", "[SEP]", "[PAD]", "[UNK]"}, {"<s>", "</s>", "<pad>", "<unk>"})
    assert opened.token(tokenizer(folder).encode("house").ids[1]) == "house"
