"""Runs models on random token ids: to compare two graphs, and to learn how large activations get."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort

from bge_onnx._graph.build import Graph, Site
from bge_onnx._graph.encoder import Array, Encoder

# Texts and tokens, cut to what the model reads. The last has attention work in several blocks of keys.
_SHAPES = ((1, 1), (3, 19), (2, 96), (2, 700))
_STATISTICS_SHAPE = (1, 128)
_STATISTICS_RUNS = 15
_SEED = 20240229

Feed = dict[str, np.ndarray]


def trial_feeds(encoder: Encoder) -> list[Feed]:
    """Random ids and token types; all texts but the first of each batch are padded, and the last one has holes."""
    rng = np.random.default_rng(_SEED)
    shapes = dict.fromkeys((count, min(length, encoder.max_tokens)) for count, length in _SHAPES)
    return [_feed(encoder, rng, count, length, padded=True) for count, length in shapes]


def _feed(encoder: Encoder, rng: np.random.Generator, count: int, length: int, *, padded: bool) -> Feed:
    mask = np.ones((count, length), np.int64)
    if padded:
        for row in mask[1:]:
            row[rng.integers(1, length + 1) :] = 0
        mask[1:][-1:, 1:] &= rng.integers(0, 2, length - 1)
    feed = {
        "input_ids": rng.integers(0, len(encoder.words), (count, length)),
        "attention_mask": mask,
        "token_type_ids": rng.integers(0, len(encoder.types), (count, length)),
    }
    return {name: feed[name] for name in encoder.inputs}


def answers_of_file(path: Path, read: str, feeds: list[Feed], *, first_row: bool, threads: int) -> list[Array]:
    """What the output `read` of the original graph answers; of all rows only the first, if that is wanted."""
    session = ort.InferenceSession(path, _options(threads), providers=["CPUExecutionProvider"], enable_fallback=0)
    outputs = [session.run([read], feed)[0] for feed in feeds]
    return [output[:, 0] if first_row and output.ndim == 3 else output for output in outputs]


def answers(session: ort.InferenceSession, encoder: Encoder) -> list[Array]:
    """What a rebuilt graph answers to `trial_feeds`."""
    name = session.get_outputs()[0].name
    return answers_of(lambda feed: session.run([name], feed)[0], encoder)


def answers_of(run: Callable[[Feed], Array], encoder: Encoder) -> list[Array]:
    """What anything answers to `trial_feeds`."""
    return [run(feed) for feed in trial_feeds(encoder)]


def difference(
    expected: list[Array], found: list[Array], encoder: Encoder, *, holes: bool = True
) -> tuple[float, float]:
    """How far two lists of answers are apart, padding left out.

    Args:
        expected: Answers of the original to `trial_feeds`.
        found: Those of the rebuilt graph.
        encoder: The model of both.
        holes: Whether texts count that have padding in their midst, as no tokenizer makes them.

    Returns:
        The largest absolute difference of a component, in units of its row's length where that is above 1: vectors are
        used at length 1, logits as they are. And the norm of all differences over the norm of all expected components.
    """
    feeds = trial_feeds(encoder)
    pairs = [_compared(e, f, feed, holes=holes) for e, f, feed in zip(expected, found, feeds, strict=True)]
    wanted, got = (np.concatenate([pair[i] for pair in pairs]) for i in (0, 1))
    gap, unit = np.abs(wanted - got), np.linalg.norm(wanted, axis=1, keepdims=True).clip(min=1)
    return float((gap / unit).max()), float(np.linalg.norm(gap) / np.linalg.norm(wanted))


def _compared(expected: Array, found: Array, feed: Feed, *, holes: bool) -> tuple[Array, Array]:
    mask = feed["attention_mask"]
    texts = np.array([holes or bool((np.diff(row) <= 0).all()) for row in mask])
    if expected.ndim < 3:
        return expected[texts], found[texts]
    real = mask.astype(bool) & texts[:, None]
    return expected[real], found[real]


def peaks(session: ort.InferenceSession, graph: Graph, encoder: Encoder) -> dict[Site, Array]:
    """The largest absolute value of every channel at the watched sites, over sequences of random ids."""
    rng = np.random.default_rng(_SEED)
    count, length = _STATISTICS_SHAPE
    runs: Iterator[list[Array]] = (
        session.run(None, _feed(encoder, rng, count, min(length, encoder.max_tokens), padded=False))[1:]
        for _ in range(_STATISTICS_RUNS)
    )
    found = {site: np.zeros(1, np.float32) for site in graph.sites}
    for outputs in runs:
        for site, rows in zip(graph.sites, outputs, strict=True):
            found[site] = np.maximum(found[site], np.abs(rows).max(axis=0))
    return found


def open_graph(
    graph: Graph, *, threads: int, providers: Sequence[tuple[str, Mapping[str, str]]] = (("CPUExecutionProvider", {}),)
) -> ort.InferenceSession:
    """Run a built graph; its weights are mapped from their file."""
    return ort.InferenceSession(graph.path, _options(threads), providers=list(providers), enable_fallback=0)


def _options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 4  # errors are raised
    return options
