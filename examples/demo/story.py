"""The demo from the first model to the page."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from tqdm import tqdm

from bge_onnx import Embedder, Reranker
from examples.demo.corpus import Corpus, Store, index
from examples.demo.frameworks import FRAMEWORKS, Hits
from examples.demo.page import Page, write_page
from examples.demo.reranking import open_reranker
from examples.demo.results import Answer, Hit, Score, places, same

ENGLISH, CHINESE = "BAAI/bge-small-en-v1.5", "BAAI/bge-small-zh-v1.5"
_SHOWN = {"en": (0, 399, 697), "zh": (0, 448, 896)}  # places of the questions that are shown
_COMPARED = 60  # questions of each language that go through every framework
_DISTRIBUTIONS = ("bge-onnx", "onnxruntime", "langchain-core", "llama-index-core", "haystack-ai", "qdrant-client")


@dataclass(frozen=True)
class Outcome:
    """What one language gave."""

    score: Score
    answers: list[Answer]
    agreed: int
    compared: int


def run(store: Store, target: Path, published: float, *, compared: int = _COMPARED) -> tuple[str, bool]:
    """Index, ask, measure, and write the page.

    Args:
        store: Where the index is kept.
        target: The page.
        published: NDCG@10 of the English model, between 0 and 1.
        compared: Questions of each language that go through every framework; the shown ones come on top.

    Returns:
        The one line that matters, and whether all is as it should be.
    """
    started = time.perf_counter()
    corpora = [Corpus.read("en", ENGLISH), Corpus.read("zh", CHINESE)]
    collections = [_indexed(corpus, store) for corpus in corpora]
    reranker, reranking = open_reranker()
    print(reranking, flush=True)
    outcomes = {
        corpus.language: _outcome(corpus, name, store, published if corpus.model == ENGLISH else None, compared)
        for corpus, name in zip(corpora, collections, strict=True)
    }
    answers = {language: _reranked(outcome.answers, reranker) for language, outcome in outcomes.items()}
    for found in answers.values():
        for answer in found:
            _show(answer)
    verdict, good = _verdict(list(outcomes.values()))
    seconds = time.perf_counter() - started
    page = Page(
        verdict=verdict,
        good=good,
        answers=answers,
        scores=[outcome.score for outcome in outcomes.values()],
        reranking=reranking,
        facts=_facts(seconds),
    )
    write_page(page, target)
    print(f"\n{seconds:.0f} s in all; {target.name} shows it with a plot: {target.absolute().as_uri()}\n")
    return verdict, good


def _indexed(corpus: Corpus, store: Store) -> str:
    started = time.perf_counter()
    print(f"{corpus.model}: opening, and fetching the weights if this machine has none ...", flush=True)
    with Embedder(corpus.model, truncate="silent") as embedder:
        opened = time.perf_counter()
        print(f"  opened in {opened - started:.1f} s, weights from {embedder.source}", flush=True)
        name, there = index(corpus, embedder, store)
        if there:
            print(f"  {len(corpus.passages)} paragraphs are indexed already")
            return name
        seconds = time.perf_counter() - opened
        lengths = embedder.count_tokens([passage["text"] for passage in corpus.passages])
        tokens = sum(min(length, embedder.max_length) for length in lengths)
        cut = sum(length > embedder.max_length for length in lengths)
        print(
            f"  {len(lengths)} paragraphs, {tokens} tokens indexed in {seconds:.1f} s: {tokens / seconds:.0f} tokens/s "
            f"({cut} were cut at {embedder.max_length} tokens)"
        )
        return name


def _outcome(corpus: Corpus, collection: str, store: Store, published: float | None, compared: int) -> Outcome:
    """Ask everything through the first framework, and some of it through the others too."""
    shown = _SHOWN[corpus.language]
    step = max(1, len(corpus.questions) // max(1, compared))
    some = sorted({*shown, *range(0, len(corpus.questions), step)})
    found: dict[str, dict[int, Hits]] = {}
    first, *_ = FRAMEWORKS
    milliseconds = 0.0
    for framework, opened in FRAMEWORKS.items():
        numbers: Sequence[int] = range(len(corpus.questions)) if framework == first else some
        with opened(corpus, collection, store) as ask:
            ask(corpus.questions[0][0], 10)  # the model opens with the first question
            with _watched(numbers, f"  {framework} ({corpus.language})") as each:
                started = time.perf_counter()
                found[framework] = {number: ask(corpus.questions[number][0], 10) for number in each}
                if framework == first:
                    milliseconds = 1000 * (time.perf_counter() - started) / len(numbers)
    passages = [corpus.passages[right]["text"] for _, right in corpus.questions]
    every = [found[first][number] for number in range(len(corpus.questions))]
    score = Score(corpus.language, corpus.model, places(every, passages), published, milliseconds)
    agreed = sum(all(same(found[first][number], found[other][number]) for other in found) for number in some)
    answers = [_answer(corpus, number, found, passages[number]) for number in shown]
    print(
        f"{corpus.model}: {len(every)} questions, {milliseconds:.1f} ms each; the right paragraph is first for "
        f"{score.hit_rate(1):.1%}, in the first ten for {score.hit_rate(10):.1%}; nDCG@10 {score.ndcg:.4f}"
    )
    return Outcome(score, answers, agreed, len(some))


@contextmanager
def _watched(numbers: Sequence[int], label: str) -> Iterator[Iterator[int]]:
    with tqdm(numbers, desc=label, unit=" questions", leave=False, disable=None) as bar:
        yield iter(bar)


def _answer(corpus: Corpus, number: int, found: dict[str, dict[int, Hits]], right: str) -> Answer:
    answers = next(iter(found.values()))
    hits = [Hit(text, score, text == right) for score, text in answers[number][:3]]
    agreeing = [name for name in found if same(found[name][number], answers[number])]
    return Answer(corpus.questions[number][0], hits, agreeing, [name for name in found if name not in agreeing])


def _reranked(answers: list[Answer], reranker: Reranker | None) -> list[Answer]:
    if reranker is None:
        return answers
    done = []
    for answer in answers:
        scores = {hit.index: hit.score for hit in reranker.rank(answer.question, [hit.text for hit in answer.hits])}
        hits = [replace(hit, reranked=scores[place]) for place, hit in enumerate(answer.hits)]
        done.append(replace(answer, hits=hits))
    return done


def _show(answer: Answer) -> None:
    print(f"\n{answer.question}")
    print(f"  {' = '.join(answer.frameworks)}" + (f"; otherwise: {', '.join(answer.others)}" if answer.others else ""))
    for hit in answer.hits:
        print(f"  {hit.score:.4f} {'*' if hit.right else ' '} {hit.text[:90]}")
    for place, hit in enumerate(answer.reranked, start=1):
        print(f"  reranked {place}: {hit.reranked:.4f} {'*' if hit.right else ' '} {hit.text[:70]}")


def _verdict(outcomes: Sequence[Outcome]) -> tuple[str, bool]:
    agreed, compared = sum(one.agreed for one in outcomes), sum(one.compared for one in outcomes)
    score = next(one.score for one in outcomes if one.score.published is not None)
    torch = "torch" in sys.modules
    good = all(one.score.as_published for one in outcomes) and agreed == compared and not torch
    return (
        f"{'Shown' if good else 'NOT SHOWN'}: {score.model} reaches nDCG@10 {score.ndcg:.4f} on XQuAD (en), published "
        f"{score.published:.4f}; {', '.join(FRAMEWORKS)} found the same for {agreed} of {compared} questions; PyTorch "
        f"was {'' if torch else 'not '}loaded."
    ), good


def _facts(seconds: float) -> list[tuple[str, str]]:
    versions = ", ".join(f"{name} {version(name)}" for name in _DISTRIBUTIONS)
    machine = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return [("command", "make demo"), ("took", f"{seconds:.0f} s"), ("machine", machine), ("versions", versions)]
