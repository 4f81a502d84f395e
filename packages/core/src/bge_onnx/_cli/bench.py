"""`bge-onnx bench`: half a minute on this machine, beside what the README states for another one."""

from __future__ import annotations

import random
import statistics
import time
from dataclasses import asdict, dataclass

import click

from bge_onnx import Embedder
from bge_onnx._catalogue.spec import Precision
from bge_onnx._cli import options
from bge_onnx._cli.tables import echo_json, echo_table
from bge_onnx._runtime.cpu import available_cpus

_MODEL = "BAAI/bge-small-en-v1.5"
# The README's measurements: texts of 155 tokens on average, two cores of an AMD EPYC (Turin) with AVX-512 and VNNI.
_STATED: dict[str, tuple[float, float]] = {"fp32": (61.2, 5.0), "int8": (116.0, 2.3)}
_STATED_ON = "README: 2 cores of an AMD EPYC (Turin), AVX-512 and VNNI"
_SHARES = (0.7, 0.3)  # of the time, for passages and for queries
_ROUND = 64  # texts a call

# Common words are one token each, so that lengths in words are lengths in tokens.
_WORDS = (
    "the of and to in is that for it was on are as with his they be at one have this from or had by not word but what "
    "some we can out other were all there when up use your how said an each she which do their time if will way about "
    "many then them write would like so these her long make thing see him two has look more day could go come did "
    "number sound no most people my over know water than call first who may down side been now find"
).split()


@dataclass(frozen=True, slots=True)
class Measured:
    """One precision on this machine.

    Attributes:
        precision: "fp32" or "int8".
        open_s: Seconds until the model was open, weights on disk.
        docs_per_s: Passages a second.
        tokens_per_s: Their tokens a second.
        query_ms: Median latency of one short query.
    """

    precision: str
    open_s: float
    docs_per_s: float
    tokens_per_s: float
    query_ms: float


@click.command("bench")
@click.option("--model", default=_MODEL, show_default=True, help="An embedding model: a name of `models`, or a folder.")
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    help="How long to measure in all.",
)
@options.threads
@options.cache_dir
@options.sources
@options.as_json
def command(
    model: str, seconds: float, threads: int | None, cache_dir: str | None, sources: str | None, as_json: bool
) -> None:
    """Measure passages a second and the latency of a query, in fp32 and int8.

    Passages are made up, of log-normal length around 150 tokens, as the README's are. Other programs on the machine
    spoil the numbers.
    """
    texts = _passages(1024)
    precisions: tuple[Precision, ...] = ("fp32", "int8")
    measured = []
    for precision in precisions:
        started = time.perf_counter()
        with Embedder(
            model,
            precision=precision,
            threads=threads,
            cache_dir=cache_dir,
            sources=options.split(sources),
            truncate="silent",
        ) as embedder:
            opened = time.perf_counter() - started
            measured.append(_measure(embedder, precision, opened, texts, seconds / len(precisions)))
    cpus = threads or available_cpus()
    if as_json:
        echo_json({"model": model, "threads": cpus, "measured": [asdict(each) for each in measured]})
        return
    click.echo(f"{model} on {cpus} CPUs")
    echo_table(("precision", "open", "docs/s", "tokens/s", "query, p50"), list(map(_row, measured)))
    if model == _MODEL:
        click.echo(_STATED_ON)
        rows = [(name, f"{docs:.1f}", f"{query:.1f} ms") for name, (docs, query) in _STATED.items()]
        echo_table(("precision", "docs/s", "query, p50"), rows)


def _measure(embedder: Embedder, precision: str, opened: float, texts: list[str], seconds: float) -> Measured:
    embedder.embed_documents(texts[:_ROUND])  # the first call allocates what later ones reuse
    for_documents, for_queries = (share * seconds for share in _SHARES)
    done, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < for_documents or not done:
        place = done % len(texts)
        done += len(embedder.embed_documents(texts[place : place + _ROUND]))
    tokens = sum(min(count, embedder.max_length) for count in embedder.count_tokens(texts)) / len(texts)
    latencies: list[float] = []
    end = time.perf_counter() + for_queries
    while time.perf_counter() < end or not latencies:
        before = time.perf_counter()
        embedder.embed_query(f"where is number {len(latencies)} kept")
        latencies.append(time.perf_counter() - before)
    return Measured(precision, opened, done / spent, done / spent * tokens, statistics.median(latencies) * 1000)


def _passages(count: int) -> list[str]:
    draw = random.Random(1)  # noqa: S311  no secret
    lengths = (min(max(int(draw.lognormvariate(4.7, 0.85)), 4), 500) for _ in range(count))
    return [" ".join(draw.choices(_WORDS, k=length)) for length in lengths]


def _row(each: Measured) -> tuple[str, ...]:
    return (
        each.precision,
        f"{each.open_s:.2f} s",
        f"{each.docs_per_s:.1f}",
        f"{each.tokens_per_s:,.0f}",
        f"{each.query_ms:.1f} ms",
    )
