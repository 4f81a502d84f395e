"""An open bge-m3: one model, and a way for each kind of answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import partial

from bge_onnx._heads.lexical import M3Vectors
from bge_onnx._heads.m3 import DenseHead, M3Head, join_windows, open_heads, stack
from bge_onnx._heads.memory import Memory, Remembering
from bge_onnx._heads.vectors import FloatArray, mean
from bge_onnx._opening import Opened, find, open_model, text_way
from bge_onnx._repository.locate import Located
from bge_onnx._runtime.calls import Owner
from bge_onnx._runtime.shared import shared
from bge_onnx._runtime.windowed import Way
from bge_onnx.settings import M3Settings, ModelName

__all__ = ["M3Parts", "open_parts"]


@dataclass(frozen=True, slots=True)
class _DensePart:
    """The dense vectors out of a pipeline's answers."""

    answers: Way
    streamed: Way
    dimension: int

    def run(self, inputs: list[str], owner: Owner) -> FloatArray:
        """See `Pipeline.run`."""
        return stack(self.answers.run(inputs, owner), dimension=self.dimension)

    async def arun(self, inputs: list[str], owner: Owner, *, check: Callable[[list[str]], list[str]]) -> FloatArray:
        """See `Pipeline.arun`."""
        return stack(await self.answers.arun(inputs, owner, check=check), dimension=self.dimension)

    def stream(self, windows: Iterator[list[str]], owner: Owner, *, show_progress: bool) -> Iterator[FloatArray]:
        """See `Pipeline.stream`."""
        return self.streamed.stream(windows, owner, show_progress=show_progress)

    def astream(
        self, windows: AsyncIterator[list[str]], owner: Owner, *, show_progress: bool
    ) -> AsyncIterator[FloatArray]:
        """See `Pipeline.astream`."""
        return self.streamed.astream(windows, owner, show_progress=show_progress)


@dataclass(frozen=True, slots=True, kw_only=True)
class M3Parts:
    """An open bge-m3.

    Attributes:
        model: The open model.
        answers: Dense and lexical answers, remembered.
        every: Dense, lexical and ColBERT answers.
        unremembered: Dense and lexical answers, for streams.
        dense: Dense vectors alone.
        remembers: Whether dense vectors come out of `answers`.
    """

    model: Opened
    answers: Way
    every: Way
    unremembered: Way
    dense: Way
    remembers: bool

    @property
    def passages(self) -> Way:
        """The way of passages."""
        if not self.remembers:
            return self.dense
        return _DensePart(self.answers, self.dense, self.model.found.spec.dimension)

    @property
    def queries(self) -> Way:
        """The way of queries, which are read as passages are."""
        return self.passages

    @property
    def streamed(self) -> Way:
        """The way of passages that come as a stream."""
        return self.dense


def open_parts(model: ModelName | Located, settings: M3Settings) -> M3Parts:
    """Open a model as an `M3Embedder`.

    Args:
        model: As the user named it, or what was found already.
        settings: Complete.
    """
    found = find(model, settings, task="embedding", pooling="cls", query_instruction="")
    opened = open_model(found, settings, answer="m3")
    spec = found.spec
    heads = open_heads(spec.name, opened.engine.outputs, opened.found.files.paths, dimension=spec.dimension)
    unused = opened.tokenizer.unused
    most = settings["remember"]
    memory: Memory[bytes, M3Vectors] = shared((Memory, opened.fingerprint({})), Memory)
    answers = M3Head(heads, unused, colbert=False)
    return M3Parts(
        model=opened,
        answers=text_way(
            opened, settings, answers, join=join_windows, memory=Remembering(memory, most) if most else None
        ),
        every=text_way(opened, settings, M3Head(heads, unused, colbert=True), join=join_windows),
        unremembered=text_way(opened, settings, answers, join=join_windows),
        dense=text_way(opened, settings, DenseHead(heads, spec.dimension), join=partial(mean, normalize=True)),
        remembers=most > 0,
    )
