"""What the contenders read: texts from the evaluation data where it is, else from the examples, else made up."""

from __future__ import annotations

import csv
import json
import os
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Words of a mixed text, log-normal with a median of 73: to bge-small-en-v1.5 about 150 tokens on average, 512 at most.
_MIXED_MU, _MIXED_SIGMA = 4.3, 0.85
_MIXED_LIMITS = (4, 360)
_UNIFORM_WORDS = (165, 260)  # about 220 to 400 tokens of an abstract
_SHORT_WORDS = (4, 40)
_LONGEST = 8192
_CALIBRATION = 128
_OTHERS = 32
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Raw material.

    Attributes:
        documents: Texts of a paragraph and more.
        sentences: Texts of one sentence, all different.
        queries: Questions or claims to search with.
        source: Where all that comes from, for people.
    """

    documents: Sequence[str]
    sentences: Sequence[str]
    queries: Sequence[str]
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """Inputs of one measurement.

    Attributes:
        name: For tables.
        inputs: Texts, or (query, passage) pairs.
        source: Where they come from, for people.
        others: Inputs of the same kind to warm up with; what is measured is new to everybody, whoever remembers what.
    """

    name: str
    inputs: Sequence[str] | Sequence[tuple[str, str]]
    source: str
    others: Sequence[str] | Sequence[tuple[str, str]] = ()


def load_pool(path: Path | None) -> Pool:
    """Reads the texts at `path` (a text a line, or JSON Lines with "text"); None looks for what is at hand."""
    if path is not None:
        documents = _read_texts(path)
        return _pool(documents, [], [], source=path.name)
    shared = Path(os.environ.get("BGE_SHARED", ROOT.parent / "shared")) / "data"
    if (shared / "scifact" / "corpus.jsonl").exists():
        return _scifact_and_stsbenchmark(shared)
    example = ROOT / "examples" / "data" / "xquad.en.json"
    if example.exists():
        return _example(example)
    return _made_up()


def mixed(pool: Pool, count: int, *, seed: int = 1) -> Corpus:
    """Pieces of documents with log-normal lengths: most are short, some fill the model's whole input."""
    texts, others = _mixed(pool, count, seed=seed), _mixed(pool, _OTHERS, seed=seed + 100)
    return Corpus(name="mixed", inputs=texts, source=pool.source, others=others)


def uniform(pool: Pool, count: int) -> Corpus:
    """Whole documents of about 300 tokens."""
    low, high = _UNIFORM_WORDS
    texts = [text for text in pool.documents if low <= len(text.split()) <= high]
    missing = count + _OTHERS - len(texts)
    if missing > 0:
        words = _endless_words(pool.documents, random.Random(2))
        texts += [" ".join(next(words) for _ in range((low + high) // 2)) for _ in range(missing)]
    return _split("uniform", texts, count, source=pool.source)


def short(pool: Pool, count: int) -> Corpus:
    """Different sentences; made-up ones follow where the source has too few."""
    texts = list(pool.sentences[: count + _OTHERS])
    source = pool.source
    if len(texts) < count:
        source += f" and {count - len(texts)} made-up sentences"
    missing = count + _OTHERS - len(texts)
    words = _endless_words(pool.documents, random.Random(3))
    texts += [f"{index} " + " ".join(next(words) for _ in range(14)) for index in range(missing)]
    return _split("short", texts, count, source=source)


def equal_length(pool: Pool, words: int, total: int) -> Corpus:
    """Texts of exactly `words` words, `total` words together."""
    stream = _endless_words(pool.documents, random.Random(4))
    count = max(1, total // words)
    texts = [" ".join(next(stream) for _ in range(words)) for _ in range(count + _OTHERS)]
    return _split(f"{words} words", texts, count, source=pool.source)


def filling(pool: Pool, count: int) -> Corpus:
    """Texts of 8192 words, which fill or overfill the longest input of every BGE model."""
    stream = _endless_words(pool.documents, random.Random(9))
    texts = [" ".join(next(stream) for _ in range(_LONGEST)) for _ in range(count + 1)]
    return _split("long", texts, count, source=pool.source)


def calibration(pool: Pool) -> Corpus:
    """Texts of the same kind as `mixed`, and none of them the same, for those who calibrate."""
    return Corpus(name="calibration", inputs=mixed(pool, _CALIBRATION, seed=10).inputs, source=pool.source)


def pairs(pool: Pool, count: int, *, seed: int = 5) -> Corpus:
    """One query with `count` passages of mixed length."""
    passages = mixed(pool, count, seed=seed)
    inputs, others = ([(pool.queries[0], str(text)) for text in some] for some in (passages.inputs, passages.others))
    return Corpus(name="pairs", inputs=inputs, source=pool.source, others=others)


def queries(pool: Pool, count: int) -> Corpus:
    """Single queries."""
    chosen = pool.queries[:count]
    # Sentences stand in where the source has too few queries; some of those are queries too.
    spare = [*pool.queries[count : count + _OTHERS], *pool.sentences[: count + 2 * _OTHERS]]
    others = [text for text in dict.fromkeys(spare) if text not in set(chosen)][:_OTHERS]
    return Corpus(name="queries", inputs=list(chosen), source=pool.source, others=others)


def words_of(texts: Iterable[str]) -> list[str]:
    """The different words of some texts, most frequent first."""
    counts = Counter(word for text in texts for word in re.findall(r"[A-Za-z]+", text))
    return sorted(counts, key=lambda word: (-counts[word], word))


def made_up_words(count: int) -> Iterator[str]:
    """Different capitalised words that no language has; the same ones every time."""
    draw = random.Random(6)
    seen: set[str] = set()
    while len(seen) < count:
        word = "".join(draw.choice("bdfgklmnprstvz") + draw.choice("aeiou") for _ in range(draw.randint(3, 5))).title()
        if word not in seen:
            seen.add(word)
            yield word


def _mixed(pool: Pool, count: int, *, seed: int) -> list[str]:
    draw = random.Random(seed)
    words = _endless_words(pool.documents, draw)
    lengths = (int(draw.lognormvariate(_MIXED_MU, _MIXED_SIGMA)) for _ in range(count))
    low, high = _MIXED_LIMITS
    return [" ".join(next(words) for _ in range(min(max(length, low), high))) for length in lengths]


def _split(name: str, texts: Sequence[str], count: int, *, source: str) -> Corpus:
    """The first `count` texts as inputs, some more as others."""
    return Corpus(name=name, inputs=texts[:count], source=source, others=texts[count : count + _OTHERS])


def _scifact_and_stsbenchmark(data: Path) -> Pool:
    rows = _json_lines(data / "scifact" / "corpus.jsonl")
    documents = [f"{row['title']} {row['text']}" for row in rows]
    claims = [row["text"] for row in _json_lines(data / "scifact" / "queries.jsonl")]
    with (data / "stsbenchmark" / "sts-test.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    sentences = [text for row in table for text in row[5:7]]
    return _pool(documents, [*sentences, *claims], claims, source="SciFact and STSBenchmark")


def _example(path: Path) -> Pool:
    content = json.loads(path.read_text(encoding="utf-8"))
    documents = [passage["text"] for passage in content["passages"]]
    questions = [question["text"] for question in content["questions"]]
    return _pool(documents, questions, questions, source="XQuAD")


def _made_up() -> Pool:
    draw = random.Random(7)
    vocabulary = [word.lower() for word in made_up_words(5000)]
    weights = [1 / (rank + 1) for rank in range(len(vocabulary))]
    documents = [" ".join(draw.choices(vocabulary, weights, k=draw.randint(60, 300))) + "." for _ in range(1000)]
    sentences = [" ".join(draw.choices(vocabulary, weights, k=draw.randint(6, 20))) + "." for _ in range(5000)]
    return _pool(documents, sentences, sentences, source="made-up words")


def _pool(documents: Sequence[str], sentences: Sequence[str], queries: Sequence[str], *, source: str) -> Pool:
    split = [sentence for text in documents for sentence in _SENTENCE_END.split(text)]
    low, high = _SHORT_WORDS
    usable = [text for text in split if low <= len(text.split()) <= high]
    draw = random.Random(8)
    # Neighbours in a source are alike in length; the sentences of documents, which are longer, come last.
    different = list(dict.fromkeys([*_shuffled(sentences, draw), *_shuffled(usable, draw)]))
    return Pool(documents=documents, sentences=different, queries=queries or different, source=source)


def _shuffled(texts: Sequence[str], draw: random.Random) -> list[str]:
    return draw.sample(texts, len(texts))


def _endless_words(documents: Sequence[str], draw: random.Random) -> Iterator[str]:
    while True:
        for text in draw.sample(documents, len(documents)):
            yield from text.split()


def _json_lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _read_texts(path: Path) -> list[str]:
    if path.suffix == ".jsonl":
        return [row["text"] for row in _json_lines(path)]
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
