"""`bge-onnx pull`: weights to this machine, or to a folder for another one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import click

from bge_onnx import Reranker
from bge_onnx._cache.lock import replaced
from bge_onnx._catalogue.registry import catalogue_entry
from bge_onnx._catalogue.spec import ModelSpec, Precision
from bge_onnx._cli import options
from bge_onnx._cli.tables import echo_json, size
from bge_onnx._open import open_embedder
from bge_onnx._repository.files import ModelFiles
from bge_onnx._repository.locate import Located, locate
from bge_onnx.errors import UnsuitableModelError
from bge_onnx.settings import EngineSettings

_NOT_COPIED = "manifest.json"


@click.command("pull")
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option("--to", "target", metavar="FOLDER", help="Also copy each model to FOLDER/NAME, for another machine.")
@click.option("--prepare", is_flag=True, help="Also prepare the graph for this machine's CPU, as the first use would.")
@options.precision
@options.cache_dir
@options.sources
@options.as_json
def command(
    models: tuple[str, ...],
    target: str | None,
    prepare: bool,
    precision: Precision,
    cache_dir: str | None,
    sources: str | None,
    as_json: bool,
) -> None:
    """Download MODELs without opening them; what is here already is only verified.

    A folder made by --to works on a machine without network, under its own path or with BGE_SOURCES=FOLDER under the
    model's name:

    \b
      bge-onnx pull BAAI/bge-small-en-v1.5 BAAI/bge-reranker-base --to models
      Embedder("models/bge-small-en-v1.5")

    In a Dockerfile, fill the caches while the image is built, on a machine with the CPU it will run on for --prepare to
    be of use. Weights from the hub go to HF_HOME, prepared graphs and everything else to BGE_CACHE:

    \b
      ENV BGE_CACHE=/opt/bge/cache HF_HOME=/opt/bge/hub
      RUN bge-onnx pull BAAI/bge-small-en-v1.5 --prepare
      ENV BGE_SOURCES=cache
    """
    pulled = []
    for model in models:
        found = _find(
            model,
            precision=precision,
            cache=Path(cache_dir).expanduser() if cache_dir else None,
            sources=options.split(sources),
        )
        spec, files = found.spec, found.files
        folder = files.folder if target is None else _copy(files, Path(target).expanduser().absolute() / _short(spec))
        if prepare:
            _open(spec, precision=precision, cache_dir=cache_dir, sources=sources)
        stored = sum(path.stat().st_size for path in files.folder.rglob("*") if path.is_file())
        facts = {"model": spec.name, "precision": precision, "folder": str(folder), "source": files.source}
        pulled.append({**facts, "bytes": stored})
        if not as_json:
            click.echo(f"{spec.name} ({precision}): {size(stored)} in {folder}, from {files.source}")
    if as_json:
        echo_json(pulled)


def _find(model: str, *, precision: Precision, cache: Path | None, sources: list[str] | None) -> Located:
    """The model with its files on this machine; a repository that the catalogue does not know says what it is for."""
    entry = catalogue_entry(model)
    task = "embedding" if entry is None else entry.task
    try:
        return locate(model, task=task, precision=precision, cache=cache, sources=sources)
    except UnsuitableModelError:
        if entry is not None:
            raise
        return locate(model, task="reranking", precision=precision, cache=cache, sources=sources)


def _short(spec: ModelSpec) -> str:
    return spec.name.rpartition("/")[2]


def _copy(files: ModelFiles, target: Path) -> Path:
    """The model's files in a folder of their own, each whole or not there."""
    for source in sorted(files.folder.rglob("*")):
        if not source.is_file() or source.name == _NOT_COPIED or source.name.startswith("."):
            continue
        copy = target / source.relative_to(files.folder)
        if copy.is_file() and copy.stat().st_size == source.stat().st_size:
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        scratch = copy.with_name(f".{copy.name}.{os.getpid()}")
        shutil.copyfile(source, scratch)
        replaced(scratch, copy)
    return target


def _open(spec: ModelSpec, *, precision: Precision, cache_dir: str | None, sources: str | None) -> None:
    settings = EngineSettings(precision=precision, cache_dir=cache_dir, sources=options.split(sources))
    if spec.task == "reranking":
        Reranker(spec, **settings).close()
    else:
        open_embedder(spec, **settings).close()
