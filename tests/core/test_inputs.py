from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from bge_onnx import BGEError
from bge_onnx._text.checks import check_iterable, check_pairs, check_text, check_texts, check_whole
from bge_onnx.errors import InputTypeError, InputValueError


class Indexed:
    """A sequence of the oldest kind: no `__iter__`, only numbers to ask for."""

    def __init__(self, *items: str) -> None:
        self._items = items

    def __getitem__(self, index: int) -> str:
        return self._items[index]


@pytest.mark.parametrize("text", ["", "a", "中文 🧪", np.str_("numpy")])
def test_every_string_is_a_text(text: str) -> None:
    assert check_text(text) == text
    assert check_texts([text, text]) == [text, text]


@pytest.mark.parametrize(
    "texts",
    [["a", "b"], ("a", "b"), (t for t in "ab"), {"a": 0, "b": 1}.keys(), np.array(["a", "b"]), Indexed("a", "b")],
)
def test_any_iterable_of_strings_is_a_list_of_texts(texts: Any) -> None:
    assert check_texts(texts) == ["a", "b"]


@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        (None, "pass ''"),
        (b"bytes", "decode it"),
        (np.bytes_(b"bytes"), "decode it"),
        (3, "str()"),
        (2.5, "str()"),
        (["nested"], "a str of its own"),
        (("query", "passage"), "got tuple of length 2"),
    ],
)
def test_what_is_no_text_is_named_by_position_and_kind(wrong: object, advice: str) -> None:
    with pytest.raises(InputTypeError, match=r"^passage 2 must be a str, got ") as caught:
        check_texts(["a", "b", wrong, None], what="passage")
    assert advice in str(caught.value)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, BGEError)


def test_positions_go_on_where_a_stream_left_off() -> None:
    with pytest.raises(InputTypeError, match=r"^text 129 "):
        check_texts(["a", None], first=128)


@pytest.mark.parametrize(
    "wrong", ["a text", b"bytes", bytearray(b"x"), None, 7, {"text": "a"}, object(), np.array("a text")]
)
def test_what_is_no_list_is_refused_with_the_way_to_pass_one(wrong: object) -> None:
    with pytest.raises(InputTypeError, match=r"expected a list of str, got .*pass \[query\]"):
        check_texts(wrong, what="query")
    with pytest.raises(InputTypeError, match="expected a list of \\(query, passage\\) pairs"):
        check_pairs(wrong)


def test_an_iterable_is_checked_without_reading_it() -> None:
    texts = iter(["a", "b"])
    check_iterable(texts)
    assert list(texts) == ["a", "b"]


def test_pairs_may_be_tuples_or_lists_and_become_tuples() -> None:
    assert check_pairs(iter([("q", "p"), ["q", ""]])) == [("q", "p"), ("q", "")]


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("qp", "pair 1 must be a .* got str .*list of pairs is due"),
        (("q",), "pair 1 must be a .* got tuple of length 1"),
        (("q", "p", "x"), "pair 1 must be a .* got tuple of length 3"),
        (None, "pair 1 must be a .* got None"),
        ((None, "p"), "the query of pair 1 must be a str, got None"),
        (("q", b"p"), "the passage of pair 1 must be a str, got bytes"),
    ],
)
def test_what_is_no_pair_is_named_by_position(pair: object, message: str) -> None:
    with pytest.raises(InputTypeError, match=message):
        check_pairs([("q", "p"), pair])


def test_a_lone_surrogate_is_quoted_with_its_place() -> None:
    broken = b"caf\xe9".decode("utf-8", "surrogateescape")
    assert check_texts(["fine", "\U0001f9ea"]) == ["fine", "\U0001f9ea"]
    with pytest.raises(InputValueError, match=r"^text 1 holds a lone surrogate at character 3 \(in 'caf\\udce9'\)"):
        check_texts(["fine", broken])
    with pytest.raises(InputValueError, match=r"^the passage of pair 1 holds a lone surrogate"):
        check_pairs([("q", "p"), ("q", broken)])


class Loud(str):
    """A text that prints, hashes and compares as it likes."""

    __slots__ = ()

    def __str__(self) -> str:
        return "loud"

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0


def test_subclasses_of_str_are_texts_like_any_other() -> None:
    checked = check_texts([Loud("a"), np.str_("b"), Loud("c")])
    assert checked == ["a", "b", "c"]
    assert {type(text) for text in checked} == {str}


class Table:
    """What data frames of several libraries have in common."""

    columns = ("title", "text")

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)


def test_a_table_is_refused_because_it_iterates_over_names() -> None:
    with pytest.raises(InputTypeError, match="got a Table, whose iteration gives names"):
        check_texts(Table())
    with pytest.raises(InputTypeError, match="Table"):
        check_pairs(Table())


@pytest.mark.parametrize("missing", [float("nan"), np.float32("nan")])
def test_a_missing_value_gets_a_hint_that_does_not_index_the_word_nan(missing: object) -> None:
    with pytest.raises(InputTypeError, match=r"^text 1 must be a str, got NaN; .*leave it out, or pass ''"):
        check_texts(["a", missing])


@pytest.mark.parametrize("value", [1, 7, np.int64(3), None])
def test_whole_numbers_of_any_kind_pass(value: object) -> None:
    check_whole(value, name="top_k", none="all")


@pytest.mark.parametrize("value", [0, -1, 1.0, "3", True, None, float("nan")])
def test_other_numbers_do_not(value: object) -> None:
    with pytest.raises(InputValueError, match=r"^top_k must be a whole number of at least 1, got "):
        check_whole(value, name="top_k")
