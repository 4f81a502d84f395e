"""Pages of mapped weights: resident once, never lost."""

from __future__ import annotations

import mmap
import re
import sys
from pathlib import Path

import pytest

from bge_onnx import Embedder
from bge_onnx._runtime.memory import unmap_pages
from bge_onnx._runtime.session import PREPACKS
from bge_onnx.testing import write_tiny_model

pytestmark = pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs /proc/self/smaps")

_SIZE = 1 << 20


def resident(file: Path) -> int:
    """Bytes of a file that are in this process's memory, each mapping counted."""
    total, inside = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            inside = line.endswith(str(file))
        elif inside and line.startswith("Rss:"):
            total += int(line.split()[1]) * 1024
    return total


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "weights"
    path.write_bytes(bytes(range(256)) * (_SIZE // 256))
    return path


def test_unmapped_pages_leave_and_come_back(file: Path) -> None:
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ) as view:
        assert view[:] == file.read_bytes()
        assert resident(file) == _SIZE
        unmap_pages(file)
        assert resident(file) == 0
        assert view[:] == file.read_bytes()


def test_pages_that_were_written_to_are_kept(file: Path) -> None:
    both = mmap.PROT_READ | mmap.PROT_WRITE
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=both) as view:
        view[:5] = b"mine!"
        unmap_pages(file)
        assert view[:5] == b"mine!"
        assert resident(file) > 0


def test_other_files_keep_theirs(file: Path) -> None:
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ) as view:
        assert view[_SIZE - 1] == 255
        before = resident(file)
        unmap_pages(file.with_name("other"))
        assert resident(file) == before > 0


@pytest.mark.skipif(not PREPACKS or sys.platform != "linux", reason="weights are mapped once here")
def test_two_sessions_do_not_keep_the_weights_resident_twice(tmp_path: Path, cache: Path) -> None:
    embedder = Embedder(write_tiny_model(tmp_path / "model", hidden=512), cache_dir=cache, threads=2)
    [weights] = cache.rglob("model.bin")
    expected = embedder.embed_documents(["one text", "and another one"])
    once = resident(weights)
    alone = [embedder.embed_documents(["one text"]) for _ in range(8)]
    assert resident(weights) < 1.3 * once
    for _ in range(8):
        together = embedder.embed_documents(["one text", "and another one"])
        assert together == pytest.approx(expected, abs=1e-6)
    assert resident(weights) < 1.3 * once
    assert alone[-1] == pytest.approx(expected[:1], abs=1e-6)
