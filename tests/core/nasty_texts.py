"""Texts that tokenisers, and whoever cuts texts, get wrong most easily."""

from __future__ import annotations

from hypothesis import strategies as st

FRAGMENTS = (
    "the",
    "House",
    "...",
    ",",
    " ",
    "  ",
    "\n\n",
    "\r\n",
    "\t",
    "\u3000",
    "机器学习是人工智能的一个分支",
    "。",
    "，",
    "naïve Straße",
    "e\u0301\u0301\u0301",
    "\u0301",
    "[CLS]",
    "[SEP",
    "<s>",
    " <mask>",
    "👩‍👩‍👧🧪",
    "한국어",
    "กำลัง",
    "日本語テキスト",
    "ﬁn１２３…",
    "\u200b\u0600",
    "\x07",
    "١٢٣؟",
    "x" * 150,
    "word" * 80,
    "-" * 90,
    "\U0001f1e9\U0001f1ea\U0001f1eb",
)

nasty_texts = st.one_of(
    st.lists(st.sampled_from(FRAGMENTS), min_size=5, max_size=60).map("".join),
    st.lists(st.sampled_from(FRAGMENTS), min_size=5, max_size=60).map(" ".join),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=100, max_size=600),
    st.tuples(st.sampled_from(FRAGMENTS), st.integers(30, 300)).map(lambda drawn: drawn[0] * drawn[1]),
)
