"""What Windows and macOS lack, taken away: nothing of it may be needed to import, open, compute and keep."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

# Before anything else is imported, so that no default argument and no import-time test keeps what is gone.
_WITHOUT = """
import os, sys
for name in {names!r}:
    if hasattr(os, name):
        delattr(os, name)
for name in {modules!r}:
    sys.modules[name] = None
if {whole_map!r}:
    import mmap
    del mmap.MADV_DONTNEED

import json
from pathlib import Path
from bge_onnx import Embedder, Reranker
from bge_onnx.bulk import embed_files

embedder_folder, reranker_folder, work = map(Path, sys.argv[1:])
answers = []
for precision in ("fp32", "int8"):
    with Embedder(embedder_folder, precision=precision, cache_dir=work / "cache") as embedder:
        answers.append(embedder.embed_documents(["a cat", "a dog"]).tolist())
with Reranker(reranker_folder, cache_dir=work / "cache") as reranker:
    answers.append([hit.index for hit in reranker.rank("a cat", ["a cat sat", "nothing"])])
(work / "rows.jsonl").write_text(json.dumps({{"text": "a cat"}}) + "\\n", encoding="utf-8")
embed_files(embedder_folder, work / "rows.jsonl", work / "rows.npy", cache_dir=work / "cache")
print(json.dumps([answers, sorted(path.name for path in work.iterdir() if path.suffix == ".npy")]))
"""
# subprocess itself needs waitpid where sys.platform says so.
_FORKS = ("fork", "forkpty", "register_at_fork", "killpg", "getpgid", "setsid")
# platformdirs asks for the user by sys.platform, so getuid stays.
_USERS = ("getgid", "getegid", "umask", "chown", "fchown", "mkfifo")
_CPUS = ("sched_getaffinity", "sched_setaffinity", "getloadavg")
_FILES = ("statvfs", "fchmod", "posix_fallocate", "posix_fadvise")


def _answers(tmp_path: Path, embedder: Path, reranker: Path, names: tuple[str, ...], *, windows: bool) -> object:
    tmp_path.mkdir()
    modules = ("resource", "pwd", "grp", "termios", "readline") if windows else ()
    code = _WITHOUT.format(names=names, modules=modules, whole_map=windows)
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:bge_onnx", "-c", code, embedder, reranker, tmp_path],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.slow
def test_answers_are_the_same_without_what_other_systems_lack(
    tiny_embedder: Path, tiny_reranker: Path, tmp_path: Path
) -> None:
    here = _answers(tmp_path / "here", tiny_embedder, tiny_reranker, (), windows=False)
    mac = _answers(tmp_path / "mac", tiny_embedder, tiny_reranker, _CPUS, windows=False)
    windows = _answers(
        tmp_path / "windows", tiny_embedder, tiny_reranker, (*_FORKS, *_USERS, *_CPUS, *_FILES), windows=True
    )
    assert here == mac == windows
