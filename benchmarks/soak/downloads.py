"""Faulty downloads: twelve ways in which a hub can fail, then a good one; what is kept is right, or not there."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from unittest import mock

import huggingface_hub.constants as constants

from benchmarks.soak._row import Row, Scale, Tally
from bge_onnx._repository import hub, patience
from bge_onnx.errors import WeightsError
from tests.core.fake_hub import Behaviour, FakeHub, fake_hub
from tests.core.weights_kit import FILES, find, sha256, tiny_spec

__all__ = ["run"]

_FAULTS: tuple[Behaviour, ...] = (
    "truncated", "drops once", "wrong", "stalls", "stalls halfway", "page", "empty", "endless", "busy once",
    "refuses tokens", 404, 503,
)  # fmt: skip
_VICTIMS = ("", "model.onnx", "tokenizer.json")
_SLOWEST = 30.0  # seconds, with waits made short
_DIGESTS = {sha256(content) for content in FILES.values()}


def run(scale: Scale) -> Row:
    """Try every fault, on every file, with and without known digests, until there are enough."""
    tally = Tally("downloads")
    count = scale.count(500)
    sleep = time.sleep  # the hub's own library waits a second and more before it asks again
    with (
        fake_hub() as server,
        _short_waits(scale.scratch, server),
        mock.patch.object(time, "sleep", lambda seconds: sleep(min(seconds, 0.02))),
    ):
        for number in range(count):
            fault = _FAULTS[number % len(_FAULTS)]
            victim = _VICTIMS[number // len(_FAULTS) % len(_VICTIMS)]
            verified = bool(number // (len(_FAULTS) * len(_VICTIMS)) % 2)
            _one(tally, server, scale.scratch, fault, victim, verified=verified)
    return tally.finish(f"{count:,} downloads, {len(_FAULTS)} faults")


def _one(tally: Tally, server: FakeHub, scratch: Path, fault: Behaviour, victim: str, *, verified: bool) -> None:
    what = f"{fault!r} at {victim or 'everything'}, digests {'known' if verified else 'unknown'}"
    server.publish("me/tiny", FILES)
    server.seen.clear()
    server.behaviour, server.victims = fault, victim
    spec, cache = tiny_spec(verified=verified, maven=False), scratch / "cache"
    begun = time.monotonic()
    with tally.trying(what):
        try:
            found = find(spec, cache=cache, sources=["cache", "hub"])
            good = {found.digests["model"], found.digests["tokenizer"]} == _DIGESTS
            tally.count("recovered") if good else tally.wrong(f"{what}: other content was taken")
        except WeightsError:
            tally.count("refused")
    if time.monotonic() - begun > _SLOWEST:
        tally.wrong(f"{what}: took {time.monotonic() - begun:.0f} s")
    server.behaviour = "good"
    with tally.trying(f"{what}, then a good hub"):
        found = find(spec, cache=cache, sources=["cache", "hub"])
        if {found.digests["model"], found.digests["tokenizer"]} != _DIGESTS:
            tally.wrong(f"{what}: wrong content stayed")
        tally.count("healed")
    for place in (cache, scratch / "hub-cache"):
        shutil.rmtree(place, ignore_errors=True)


def _short_waits(scratch: Path, server: FakeHub) -> mock._patch_dict:
    patience._PATIENCE = 0.5
    patience._STALL = 2.5  # longer than a stalled transfer of the try before holds its lock
    patience._SLOWEST = 10**9
    hub._PAUSE = 0.01
    constants.HF_HUB_CACHE = str(scratch / "hub-cache")
    constants.HF_HUB_DOWNLOAD_TIMEOUT = 1
    constants.HF_HUB_OFFLINE = False
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "BGE_"))}
    own = {"HF_ENDPOINT": server.url, "HF_HUB_CACHE": str(scratch / "hub-cache"), "HF_TOKEN": "hf_soak"}
    return mock.patch.dict(os.environ, {**kept, **own}, clear=True)
