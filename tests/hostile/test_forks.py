"""A fork while another thread holds every lock of the packages: the child works all the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

# The locks are found by walking what our own objects refer to, so that a new one is held without being named here.
_PROGRAM = """
import _thread, gc, os, signal, sys, threading, warnings
warnings.simplefilter("ignore")
from bge_onnx import *
from haystack_integrations.components.embedders.bge import BGETextEmbedder

e, m, r = sys.argv[1:]
E, M, R, S, H = Embedder(e), M3Embedder(m), Reranker(r), TokenSplitter(e), BGETextEmbedder(e)

def work():
    E.embed_documents(["a", "b c"] * 40); E.embed_query("x"); M.encode(["a", "b"]); R.rank("a", ["b", "c"])
    S.split("a b c"); H.run("a"); get_model("bge-m3"); list_models(); Embedder(e, max_length=100).embed_query("q")

work()
kinds = _thread.LockType, type(threading.RLock()), threading.Condition
ours = "bge_onnx", "haystack_integrations"
found = {}

def walk(thing, depth):
    for one in gc.get_referents(thing):
        if isinstance(one, kinds):
            found[id(one)] = one
        elif depth and isinstance(one, (dict, list, tuple)):
            walk(one, depth - 1)

for name, module in list(sys.modules.items()):
    if name.startswith(ours):
        walk(vars(module), 1)
for thing in gc.get_objects():
    if str(getattr(type(thing), "__module__", "")).startswith(ours) and not isinstance(thing, type):
        walk(thing, 2)
held, done = threading.Event(), threading.Event()

def hold():
    count = sum(one.acquire(blocking=False) for one in found.values())
    print(count, flush=True)
    held.set()
    done.wait()

threading.Thread(target=hold, daemon=True).start()
held.wait()
child = os.fork()
if not child:
    signal.alarm(20)
    try:
        work()
    except BaseException as error:
        print(repr(error), flush=True)
        os._exit(1)
    os._exit(0)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(code, flush=True)
os._exit(0)
"""


def test_a_child_does_not_wait_for_locks_of_its_parents_threads(
    tiny_embedder: Path, tiny_m3: Path, tiny_reranker: Path
) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", _PROGRAM, tiny_embedder, tiny_m3, tiny_reranker],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    held, *rest = answer.stdout.split("\n")
    assert int(held) > 10, "the walk finds no locks any more"
    assert rest[:1] == ["0"], answer.stdout + answer.stderr
