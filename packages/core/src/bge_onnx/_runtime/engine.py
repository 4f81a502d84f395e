"""Run it: one engine per graph and settings, shared by everyone in the process who asks for the same.

A forked child keeps what is safe to keep of an engine and opens the rest anew at first use.
"""

from __future__ import annotations

import ctypes
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from bge_onnx._heads.vectors import Outputs
from bge_onnx._runtime.device import Device
from bge_onnx._runtime.lazy import Lazy
from bge_onnx._runtime.packed import PackedSession
from bge_onnx._runtime.scheduler import Scheduler
from bge_onnx._runtime.shared import open_things, shared
from bge_onnx._runtime.spec import SessionSpec
from bge_onnx.errors import BGEError

if TYPE_CHECKING:
    from bge_onnx._runtime.openvino import OpenVinoSession
    from bge_onnx._runtime.session import Session

OpenGraph: TypeAlias = "Session | OpenVinoSession | PackedSession"

_logger = logging.getLogger("bge_onnx")

# A batch of more padded tokens than this is an exception on a CPU, whose memory is given back at once.
_LARGE_BATCH = 2048

# A lone text of so many tokens has all threads at once, whatever opening a session for it costs.
_LONG_TEXT = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSpec:
    """What decides whether two engines are the same one.

    Attributes:
        session: The graph.
        device: Where it runs.
    """

    session: SessionSpec
    device: Device


class Engine:
    """The sessions of one graph, and the scheduler that shares them.

    Batches share a session with as many callers as the device has; a text that is alone has a session with all threads,
    where opening one costs next to nothing.
    """

    def __init__(self, spec: EngineSpec) -> None:
        """Open the graph; see `Session` for the errors."""
        self.spec = spec
        # Neither refers to the engine, which would then wait for the collector to be gone.
        self._bulk = bulk = Lazy(lambda: _open(spec, callers=spec.device.callers))
        self._lone = Lazy(lambda: _open_lone(spec, bulk))
        self._lone_texts = 0
        session = self._bulk.get()
        self.providers = session.providers
        self.outputs = session.outputs
        self.scheduler = Scheduler(callers=spec.device.callers)

    def width(self, output: str) -> int | None:
        """Size of an output's last axis, where the graph fixes it."""
        return self._bulk.get().width(output)

    def run(self, feed: Mapping[str, npt.NDArray[np.int64]], *, alone: bool) -> Outputs:
        """The outputs of one batch by name; `alone` if nothing else runs or waits at this moment."""
        ids = feed["input_ids"]
        session = self._lone_session(ids.size) if alone and len(ids) == 1 else self._bulk.get()
        return session.run(feed, shrink=self.spec.device.target != "other" and ids.size > _LARGE_BATCH)

    def _lone_session(self, tokens: int) -> OpenGraph:
        """The session with all threads, for the lowest latency of a text that nothing competes with."""
        device = self.spec.device
        first = self._bulk.get().lone_from
        if device.threads == device.session_threads or not first:
            return self._bulk.get()  # another session would copy the weights
        self._lone_texts += 1
        if self._lone_texts < first and tokens < _LONG_TEXT:
            return self._bulk.get()  # opening another session would cost more than it saves on the first texts
        try:
            return self._lone.get()
        except BGEError as error:  # its file may be gone, as after a cleaned cache; the open session still works
            _logger.warning("single texts run on one thread from now on: %s", error)
            self._lone_texts = 0
            return self._bulk.get()

    def _after_fork(self) -> None:
        """Replace what did not survive the fork; opens nothing, since an error here would reach nobody."""
        busy = self.scheduler.running > 0
        self.scheduler = Scheduler(callers=self.spec.device.callers)
        for session in self._lone.made:
            _abandon(session)
        self._lone.forget()
        self._lone_texts = 0
        if busy or not self.spec.device.is_cpu:
            for session in self._bulk.made:
                _abandon(session)
            self._bulk.forget()


def _open(spec: EngineSpec, *, callers: int) -> OpenGraph:
    """A session for so many batches at the same time; a single one has all threads."""
    device = spec.device
    if spec.session.form == "packed":
        return PackedSession.open(spec.session)
    if device.runtime == "openvino":
        from bge_onnx._runtime.openvino import OpenVinoSession  # which few need

        return OpenVinoSession(spec.session, device, streams=callers)
    from bge_onnx._runtime.session import Session  # and so ONNX Runtime, which the kernels do without

    return Session(spec.session, device, threads=device.threads if callers == 1 else device.session_threads)


def _open_lone(spec: EngineSpec, bulk: Lazy[OpenGraph]) -> OpenGraph:
    session = bulk.get()
    if isinstance(session, PackedSession):
        return session.on(spec.device.threads)  # the weights are open already
    return _open(spec, callers=1)


def engine(spec: EngineSpec) -> Engine:
    """The open engine for these settings, opened now if nobody holds it."""
    return shared(spec, lambda: Engine(spec))


def _abandon(session: OpenGraph) -> None:
    """Never destroy a session, not even when the process ends: that would join threads that do not exist here."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(session))


def _after_fork_in_child() -> None:
    for open_engine in open_things(Engine):
        open_engine._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
