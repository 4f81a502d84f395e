"""A corpus into Qdrant by `examples/qdrant_stream.py`, killed with signal 9 half way and run again.

    python benchmarks/qdrant_stream.py                             # 100,000 texts, int8, over HTTP
    python benchmarks/qdrant_stream.py --embedded --rows 5000      # into a folder: the client's embedded storage

The texts are sentences of SciFact, Cranfield and XQuAD, and parts of sentences, all different. No Qdrant server comes
as a package, so `tests.qdrant_server` stands in for one: the real client and HTTP, but the client's own storage behind
it, in memory and in another process. What that shows is the memory of the program that embeds, without that of the
storage. The embedded storage in a folder commits every point by itself and holds all of them in the same process.
Afterwards every id is counted, and vectors are compared with the core's.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from qdrant_client import QdrantClient

_ROOT = Path(__file__).resolve().parent.parent
_EXAMPLE = _ROOT / "examples" / "qdrant_stream.py"
_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9])")
_PAUSE = re.compile(r"[,;:]\s+")
_WORDS = 5  # fewer are not a passage
_COMPARED = 64
_TICK = 0.25  # seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--model", default="BAAI/bge-small-en-v1.5")
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--embedded", action="store_true", help="a folder in place of the stand-in for a server")
    arguments = parser.parse_args()
    texts = sentences(arguments.rows)
    with tempfile.TemporaryDirectory() as folder:
        corpus, store = Path(folder, "corpus.jsonl"), Path(folder, "index")
        corpus.write_text("".join(json.dumps({"id": f"s{i}", "text": text}) + "\n" for i, text in enumerate(texts)))
        print(f"{len(texts):,} texts, {sum(map(len, texts)) / len(texts):.0f} characters on average, all different")
        with _storage(store, server=not arguments.embedded) as options:
            options += ["--model", arguments.model, "--precision", arguments.precision]
            command = [sys.executable, str(_EXAMPLE), str(corpus), *options]
            where = options[1]

            def half_way() -> bool:
                return _stored(where) >= len(texts) // 2

            _say("killed half way", run(command, half_way))
            before = _stored(where)
            print(f"  in the storage after the kill: {before:,}")
            _say("the same command again", run(command))
            _say("and once more", run(command))
            check(where, texts, arguments.model, arguments.precision)


@dataclass(frozen=True)
class Done:
    """One run of the example.

    Attributes:
        seconds: From its start to its end.
        said: What it printed.
        peak: Its largest resident memory, bytes.
        half: Its resident memory at half of its time.
    """

    seconds: float
    said: str
    peak: int
    half: int


def run(command: list[str], until: Callable[[], bool] | None = None) -> Done:
    """Run the example; kill it once `until` says so."""
    began = time.monotonic()
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peak, track = 0, []
    while running.poll() is None:
        peak = max(peak, _memory(running.pid, "VmHWM"))
        track.append(_memory(running.pid, "VmRSS"))
        if until is not None and until():
            running.kill()
        time.sleep(_TICK)
    seconds = time.monotonic() - began
    said = running.stdout.read().strip() if running.stdout else ""
    expected = 0 if until is None else -signal.SIGKILL
    if running.returncode != expected:
        raise SystemExit(f"the example ended with {running.returncode}, not {expected}")
    return Done(seconds, said, peak, track[len(track) // 2])


def check(where: str, texts: list[str], model: str, precision: str) -> None:
    """Every id is there once, and vectors are the core's."""
    sys.path.insert(0, str(_ROOT))
    from bge_onnx import Embedder
    from examples.qdrant_stream import point_id

    client = _client(where)
    (collection,) = client.get_collections().collections
    found: list[str] = []
    offset = None
    while True:
        points, offset = client.scroll(collection.name, limit=5000, offset=offset, with_payload=False)
        found += [str(point.id) for point in points]
        if offset is None:
            break
    wanted = {point_id(f"s{i}") for i in range(len(texts))}
    print(f"  ids: {len(found):,} points, {len(set(found)):,} different, {len(wanted ^ set(found))} missing or foreign")
    rows = np.linspace(0, len(texts) - 1, _COMPARED).astype(int).tolist()
    points = client.retrieve(collection.name, [point_id(f"s{i}") for i in rows], with_vectors=True)
    vectors = {str(point.id): np.array(point.vector) for point in points}
    with Embedder(model, precision=precision) as embedder:
        expected = embedder.embed_documents([texts[i] for i in rows])
    furthest = max(np.abs(vectors[point_id(f"s{i}")] - expected[n]).max() for n, i in enumerate(rows))
    print(f"  vectors: {_COMPARED} compared with the core's, {furthest:.1e} apart at most")
    client.close()


def sentences(count: int) -> list[str]:
    """The shortest of the sentences at hand and of their parts between commas, all different, in any order."""
    shared = Path(os.environ.get("BGE_SHARED", _ROOT.parent / "shared")) / "data"
    bodies = [body for _, body in (*_scifact(shared), *_cranfield(shared), *_xquad(shared))]
    whole = [each for body in bodies for each in _END.split(body)]
    parts = [part for each in whole for part in _PAUSE.split(each)]
    found = [each for each in dict.fromkeys([*whole, *parts]) if len(each.split()) >= _WORDS]
    if len(found) < count:
        raise SystemExit(f"there are {len(found):,} sentences; pass --rows {len(found)} or less")
    shortest = sorted(found, key=len)[:count]
    random.Random(1).shuffle(shortest)
    return shortest


def _scifact(shared: Path) -> Iterator[tuple[str, str]]:
    for line in (shared / "scifact" / "corpus.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        yield row["title"], row["text"]


def _cranfield(shared: Path) -> Iterator[tuple[str, str]]:
    content = (shared / "cranfield" / "cran.all.1400.xml").read_text(encoding="utf-8")
    content = re.sub(r"<\?xml[^>]*\?>", "", content)
    for document in ElementTree.fromstring(f"<all>{content}</all>").iter("doc"):
        title, body = (" ".join((document.findtext(name) or "").split()) for name in ("title", "text"))
        yield title, re.sub(r" \. ", ". ", body)


def _xquad(shared: Path) -> Iterator[tuple[str, str]]:
    for article in json.loads((shared / "xquad" / "xquad.en.json").read_text(encoding="utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            yield article.get("title", "XQuAD"), paragraph["context"]


@contextmanager
def _storage(folder: Path, *, server: bool) -> Iterator[list[str]]:
    """The example's options for an empty storage."""
    if not server:
        yield ["--index", str(folder)]
        return
    serving = subprocess.Popen(
        [sys.executable, "-m", "tests.qdrant_server"],
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert serving.stdout is not None
    try:
        yield ["--url", serving.stdout.readline().strip()]
    finally:
        serving.communicate()


def _client(where: str) -> QdrantClient:
    return QdrantClient(url=where) if "://" in where else QdrantClient(path=where)


def _stored(where: str) -> int:
    """Points in the storage, asked beside whoever writes them."""
    if "://" in where:
        client = _client(where)
        try:
            return sum(client.count(each.name).count for each in client.get_collections().collections)
        finally:
            client.close()
    import sqlite3

    counts = 0
    for path in Path(where).glob("collection/*/storage.sqlite"):
        try:
            with sqlite3.connect(f"file:{path}?immutable=1", uri=True) as book:  # waits for nobody, and may be behind
                counts += book.execute("select count(*) from points").fetchone()[0]
        except sqlite3.DatabaseError:
            continue  # being written
    return counts


def _memory(pid: int, name: str) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(rf"{name}:\s+(\d+)", status)
    return int(found[1]) * 1024 if found else 0


def _say(what: str, done: Done) -> None:
    written = re.match(r"(\d+) points written", done.said)
    rate = f"{int(written[1]) / done.seconds:,.0f} rows/s, " if written and int(written[1]) else ""
    print(
        f"{what}: {done.seconds:.1f} s, {rate}peak {done.peak / 1e6:.0f} MB, {done.half / 1e6:.0f} MB at half of the "
        f"time; it said: {done.said or 'nothing'}",
        flush=True,
    )


if __name__ == "__main__":
    main()
