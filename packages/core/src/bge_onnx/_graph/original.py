"""What a graph is made from, and what it must answer: an ONNX file, or anything else that holds an encoder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bge_onnx._graph.build import Rows
from bge_onnx._graph.encoder import Array, Encoder, UnrecognisedGraph
from bge_onnx._graph.match import recognise
from bge_onnx._graph.reference import reference_answers
from bge_onnx._graph.verify import answers_of_file, trial_feeds


class Original(Protocol):
    """A model to rebuild."""

    def encoder(self) -> Encoder:
        """Read it; weights are read again each time, so that nobody need hold them.

        Raises:
            UnrecognisedGraph: It is none that can be rebuilt.
        """
        ...

    def answers(self, rows: Rows, *, threads: int) -> list[Array]:
        """What it answers to `trial_feeds`: all rows, or of each text the first row or the logits."""
        ...


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """A published graph in float32, with its external data beside it if it has any; it answers by itself."""

    path: Path

    def encoder(self) -> Encoder:
        """See `Original`."""
        return recognise(self.path)

    def answers(self, rows: Rows, *, threads: int) -> list[Array]:
        """See `Original`. The encoder is let go first: ONNX Runtime holds the weights twice while it loads them."""
        encoder = recognise(self.path)
        check_rows(encoder, rows)
        trial, read = trial_feeds(encoder), encoder.read
        del encoder
        return answers_of_file(self.path, read, trial, first_row=rows == "cls", threads=threads)


def plain_answers(encoder: Encoder, rows: Rows, *, threads: int) -> list[Array]:
    """What weights without a graph answer to `trial_feeds`, by a plain forward pass in numpy."""
    check_rows(encoder, rows)
    return reference_answers(encoder, trial_feeds(encoder), first_row=rows == "cls", threads=threads)


def check_rows(encoder: Encoder, rows: Rows) -> None:
    """Refuse to give token outputs of a classifier.

    Raises:
        UnrecognisedGraph: It has none.
    """
    if rows == "tokens" and encoder.head is not None:
        raise UnrecognisedGraph("a classifier has no output for all tokens")
