"""What is measured, in which order: contenders take turns, so that a slow minute of the machine hits all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from _contenders import YARDSTICK, Contender
from _texts import Corpus, Pool, equal_length, filling, mixed, pairs, queries, short, uniform

SECTIONS = ("embed", "rerank", "latency", "cold", "memory", "growth", "accuracy", "callers", "affinity", "long")
# What a run without `--only` measures.
USUAL = ("embed", "rerank", "latency", "cold", "memory", "growth", "accuracy")
CALLERS = (1, 8, 32, 128)
CORPORA = ("mixed", "uniform", "short")
_GROWTH_MAIN = frozenset({"ours", "ours-int8", "fastembed", "st"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is computed.

    Attributes:
        repetitions: Runs of each contender on each corpus.
        mixed: Texts of mixed length.
        uniform: Texts of about 300 tokens.
        short: Sentences.
        pairs: Passages reranked for one query.
        queries: Single queries.
        growth: Corpus sizes, in sentences.
        words: Words a text where the length grows.
        words_together: Words of all texts of one length together.
        everyone: Whether growth is measured for all contenders.
        long: Texts that fill the model's longest input.
        corpora: Which of `CORPORA` are embedded.
    """

    repetitions: int
    mixed: int
    uniform: int
    short: int
    pairs: int
    queries: int
    growth: tuple[int, ...]
    words: tuple[int, ...]
    words_together: int
    everyone: bool = False
    long: int = 1
    corpora: tuple[str, ...] = CORPORA


QUICK = Size(
    repetitions=1,
    mixed=64,
    uniform=16,
    short=128,
    pairs=16,
    queries=50,
    growth=(250, 500),
    words=(12, 48, 192),
    words_together=2304,
)
# 256 texts fill the largest default batch among the peers once; with fewer, its cost would not show.
NORMAL = Size(
    repetitions=3,
    mixed=256,
    uniform=256,
    short=512,
    pairs=100,
    queries=300,
    growth=(1000, 5000, 20_000),
    words=(12, 24, 48, 96, 192, 320),
    words_together=9216,
)
FULL = Size(
    repetitions=5,
    mixed=512,
    uniform=512,
    short=1024,
    pairs=100,
    queries=1000,
    growth=(1000, 2000, 5000, 10_000, 20_000, 50_000),
    words=(12, 24, 48, 96, 192, 320),
    words_together=18_432,
    everyone=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One process to run.

    Attributes:
        section: One of `SECTIONS`.
        contender: Who.
        corpus: On what.
        mode: "cold", "throughput", "latency", "accuracy" or "callers".
        repetition: From 0.
        warmup: Other inputs computed in one call before the clock starts, after the first one alone.
        threads: None for the library's own choice.
        cpus: How many CPUs the process may use; None for all. Libraries are not told otherwise.
        callers: How many ask at once, one measurement each.
    """

    section: str
    contender: Contender
    corpus: Corpus
    mode: str
    repetition: int = 0
    warmup: int = 16
    threads: int | None = None
    cpus: int | None = None
    callers: tuple[int, ...] = ()

    @property
    def task(self) -> str:
        """What the model does."""
        return "rerank" if self.section == "rerank" else "embed"


def plan(sections: Sequence[str], contenders: Sequence[Contender], pool: Pool, size: Size, *, cpus: int) -> list[Job]:
    """Lists all jobs of some sections in the order in which they run."""
    makers: dict[str, Callable[[Sequence[Contender], Pool, Size, int], Iterator[Job]]] = {
        "embed": _embed,
        "rerank": _rerank,
        "latency": _latency,
        "cold": _cold,
        "memory": _memory,
        "growth": _growth,
        "accuracy": _accuracy,
        "callers": _callers,
        "affinity": _affinity,
        "long": _long,
    }
    chosen = {section: [item for item in contenders if section in item.sections] for section in sections}
    return [job for section in sections for job in makers[section](chosen[section], pool, size, cpus)]


def _embed(contenders: Sequence[Contender], pool: Pool, size: Size, _: int) -> Iterator[Job]:
    every = {"mixed": (mixed, size.mixed), "uniform": (uniform, size.uniform), "short": (short, size.short)}
    corpora = [make(pool, count) for name, (make, count) in every.items() if name in size.corpora]
    for repetition in range(size.repetitions):
        for corpus in corpora:
            for item in contenders:
                yield Job(
                    section="embed",
                    contender=item,
                    corpus=corpus,
                    mode="throughput",
                    repetition=repetition,
                    warmup=min(16, max(4, len(corpus.inputs) // 4)),
                )


def _rerank(contenders: Sequence[Contender], pool: Pool, size: Size, _: int) -> Iterator[Job]:
    corpus = pairs(pool, size.pairs)
    for repetition in range(size.repetitions):
        for item in contenders:
            yield Job(
                section="rerank", contender=item, corpus=corpus, mode="throughput", repetition=repetition, warmup=4
            )


def _latency(contenders: Sequence[Contender], pool: Pool, size: Size, _: int) -> Iterator[Job]:
    corpus = queries(pool, size.queries)
    for repetition in range(size.repetitions):
        for item in contenders:
            yield Job(
                section="latency", contender=item, corpus=corpus, mode="latency", repetition=repetition, warmup=32
            )


def _cold(contenders: Sequence[Contender], pool: Pool, size: Size, _: int) -> Iterator[Job]:
    corpus = queries(pool, 8)
    for repetition in range(max(size.repetitions, 3)):
        for item in contenders:
            yield Job(section="cold", contender=item, corpus=corpus, mode="cold", repetition=repetition)


def _memory(contenders: Sequence[Contender], pool: Pool, size: Size, _: int) -> Iterator[Job]:
    for count in (size.mixed, 4 * size.mixed):
        corpus = mixed(pool, count)
        for item in contenders:
            yield Job(section="memory", contender=item, corpus=corpus, mode="throughput", warmup=0)


def _growth(contenders: Sequence[Contender], pool: Pool, size: Size, cpus: int) -> Iterator[Job]:
    chosen = [item for item in contenders if size.everyone or item.key in _GROWTH_MAIN]
    corpora = [short(pool, count) for count in size.growth]
    corpora += [equal_length(pool, words, size.words_together) for words in size.words]
    for corpus in corpora:
        for item in chosen:
            yield Job(section="growth", contender=item, corpus=corpus, mode="throughput")
    half = mixed(pool, size.mixed // 2)
    for threads in range(1, cpus + 1):
        for item in chosen:
            yield Job(section="growth", contender=item, corpus=half, mode="throughput", threads=threads)


def _accuracy(contenders: Sequence[Contender], pool: Pool, size: Size, _: int) -> Iterator[Job]:
    corpus = mixed(pool, size.mixed)
    for item in sorted(contenders, key=lambda each: each.key != YARDSTICK):  # all others are compared with its vectors
        yield Job(section="accuracy", contender=item, corpus=corpus, mode="accuracy")


def _callers(contenders: Sequence[Contender], pool: Pool, size: Size, _: int) -> Iterator[Job]:
    corpus = queries(pool, 256)
    for repetition in range(size.repetitions):
        for item in contenders:
            yield Job(
                section="callers",
                contender=item,
                corpus=corpus,
                mode="callers",
                repetition=repetition,
                callers=CALLERS,
            )


def _affinity(contenders: Sequence[Contender], pool: Pool, size: Size, cpus: int) -> Iterator[Job]:
    corpus = mixed(pool, size.mixed)
    for repetition in range(size.repetitions):
        for count in range(1, cpus + 1):
            for item in contenders:
                yield Job(
                    section="affinity",
                    contender=item,
                    corpus=corpus,
                    mode="throughput",
                    repetition=repetition,
                    cpus=count,
                )


def _long(contenders: Sequence[Contender], pool: Pool, size: Size, _: int) -> Iterator[Job]:
    corpus = filling(pool, size.long)
    for item in contenders:
        yield Job(section="long", contender=item, corpus=corpus, mode="throughput", warmup=0)
