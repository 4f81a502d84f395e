"""What `bge-onnx doctor` looks at; nothing here changes anything."""

from __future__ import annotations

import os
import platform
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Literal

import onnxruntime as ort

from bge_onnx import BGEError, __version__
from bge_onnx._cache.inventory import inventory
from bge_onnx._cli import options
from bge_onnx._cli.tables import size
from bge_onnx._kernels import kernels_here
from bge_onnx._repository.sources import chosen_sources
from bge_onnx._runtime.bfloat16 import bfloat16_runtime
from bge_onnx._runtime.cpu import available_cpus, instruction_sets
from bge_onnx.errors import ProviderError

# What ONNX Runtime's kernels make use of, the later ones for int8 above all.
_FEATURES = tuple("avx2 avx512f avx512_vnni avx_vnni amx_int8 avx512_bf16 amx_bf16 asimd asimddp i8mm bf16".split())
_PATIENCE = 5.0  # seconds
_LITTLE = 2e9  # bytes; the largest model of the catalogue has 2.3 GB


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: The thing.
        state: "ok", a "note" that may explain something, or a "problem".
        says: What was found.
        advice: What to do; "" for nothing.
    """

    what: str
    state: Literal["ok", "note", "problem"]
    says: str
    advice: str = ""


def examine(cache_dir: str | None) -> list[Finding]:
    """Everything, in the order in which a model needs it."""
    cache = options.cache_folder(cache_dir)
    return [
        _python(),
        *_runtimes(),
        _providers(),
        _features(),
        _int8(),
        _bfloat16(),
        _threads(),
        _cache(cache),
        *_sources(),
    ]


def _python() -> Finding:
    return Finding("python", "ok", f"{platform.python_version()} on {platform.platform()}, bge-onnx {__version__}")


def _runtimes() -> Iterator[Finding]:
    """Several packages install the same module `onnxruntime`; the last one wins file by file."""
    names = {str(each.metadata["Name"]).lower() for each in distributions() if each.metadata["Name"]}
    builds = sorted(name for name in names if name == "onnxruntime" or name.startswith("onnxruntime-"))
    builds = [name for name in builds if name not in ("onnxruntime-extensions", "onnxruntime-genai")]
    yield Finding("onnxruntime", "ok", f"{ort.__version__} ({', '.join(builds) or 'no package on record'})")
    if len(builds) > 1:
        names_ = " ".join(builds)
        yield Finding(
            "packages",
            "problem",
            f"{', '.join(builds)} overwrite each other's files",
            f"pip uninstall -y {names_}, then install the one you want",
        )


def _providers() -> Finding:
    return Finding("providers", "ok", ", ".join(ort.get_available_providers()))


def _features() -> Finding:
    words = set(instruction_sets().split())
    held = [feature for feature in _FEATURES if feature in words]
    if platform.machine() in ("x86_64", "AMD64") and words and "avx2" not in held:
        return Finding("cpu", "note", "no AVX2", "expect a fraction of the speed that the README states")
    return Finding("cpu", "ok", ", ".join(held) or f"{platform.machine()}, features unknown")


def _bfloat16() -> Finding:
    try:
        runtime = bfloat16_runtime()
    except ProviderError as error:
        return Finding("bf16", "note", str(error))
    match runtime:
        case "openvino":
            name = f"OpenVINO {version(runtime)}"
        case "kernels":
            name = "compiled kernels"
        case "onnxruntime":
            name = f"ONNX Runtime {ort.__version__}"
    return Finding("bf16", "ok", f"precision='bf16' runs in {name}")


def _int8() -> Finding:
    here = kernels_here("int8")
    if here:
        return Finding("int8", "ok", f"precision='int8' runs in compiled kernels for {here[-1].name}")
    why = "BGE_KERNELS=0" if os.environ.get("BGE_KERNELS") == "0" else "this installation has no kernels that run here"
    return Finding("int8", "note", f"precision='int8' runs in ONNX Runtime, slower: {why}")


def _threads() -> Finding:
    granted, present = available_cpus(), os.cpu_count() or 1
    if granted < present:
        return Finding("threads", "note", f"{granted} granted of {present} CPUs, by affinity or a container's quota")
    return Finding("threads", "ok", f"{granted} CPUs")


def _cache(cache: Path) -> Finding:
    moved = " (BGE_CACHE)" if os.environ.get("BGE_CACHE") else ""
    existing = next(folder for folder in (cache, *cache.parents) if folder.exists())
    total, free = sum(kept.size for kept in inventory(cache)), shutil.disk_usage(existing).free
    says = f"{cache}{moved}: {size(total)}, {size(free)} free"
    if not os.access(existing, os.W_OK):
        return Finding("cache", "problem", f"{says}, cannot be written", "set BGE_CACHE to a folder that can")
    if free < _LITTLE:
        return Finding("cache", "note", says, "large models need up to 2.3 GB, and as much again once prepared")
    return Finding("cache", "ok", says)


def _sources() -> Iterator[Finding]:
    try:
        chosen = chosen_sources(None)
    except BGEError as error:
        yield Finding("sources", "problem", f"BGE_SOURCES: {error}", "correct BGE_SOURCES")
        return
    reached = False
    for source in chosen:
        if source == "hub":
            finding = _hub()
        elif source == "maven":
            finding = _maven()
        elif isinstance(source, Path):
            yield _folder(source)
            continue
        else:
            continue
        reached = reached or finding.state == "ok"
        yield finding
    if not reached and {"hub", "maven"} & set(map(str, chosen)):
        yield Finding(
            "sources",
            "note",
            "nothing new can be downloaded",
            "set HF_ENDPOINT to a mirror, or copy a folder made by bge-onnx pull --to here",
        )


def _folder(folder: Path) -> Finding:
    """A folder of model folders, as `bge-onnx pull --to` makes them, or one model's."""
    models = sorted(path.name for path in (folder, *folder.iterdir()) if (path / "tokenizer.json").is_file())
    if not models:
        advice = "fill it with: bge-onnx pull MODEL --to FOLDER"
        return Finding("folder", "note", f"{folder} holds no model", advice)
    return Finding("folder", "ok", f"{folder}: {', '.join(models)}")


def _hub() -> Finding:
    from huggingface_hub import constants

    endpoint = constants.ENDPOINT
    if constants.HF_HUB_OFFLINE:
        return Finding("hub", "note", "switched off by HF_HUB_OFFLINE")
    if not endpoint.startswith(("http://", "https://")):
        return Finding("hub", "problem", f"HF_ENDPOINT is not an address: {endpoint!r}", "correct HF_ENDPOINT")
    try:
        with urllib.request.urlopen(endpoint, timeout=_PATIENCE) as answer:  # noqa: S310  the scheme is checked above
            return Finding("hub", "ok", f"{endpoint} answers ({answer.status})")
    except urllib.error.HTTPError as error:
        return Finding("hub", "ok", f"{endpoint} answers ({error.code})")
    except OSError as error:
        reason = getattr(error, "reason", None) or error
        return Finding("hub", "note", f"{endpoint} cannot be reached: {reason}")


def _maven() -> Finding:
    client = shutil.which("mvn")
    if client is None:
        return Finding("maven", "note", "no mvn on PATH; it brings a few small models where no hub can be reached")
    return Finding("maven", "ok", f"{client}; its repositories are asked at the first download")
