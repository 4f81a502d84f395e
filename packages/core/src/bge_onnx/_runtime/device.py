"""What differs from device to device: callers, batch size, and whether graphs are prepared for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Literal, TypeAlias

from bge_onnx._catalogue.spec import Precision
from bge_onnx._runtime.bfloat16 import Runtime, bfloat16_runtime
from bge_onnx._runtime.cpu import available_cpus
from bge_onnx._shown import shown
from bge_onnx.errors import InputTypeError, InputValueError, ProviderError

Provider: TypeAlias = str | tuple[str, Mapping[str, Any]]
ProviderSpec: TypeAlias = tuple[str, tuple[tuple[str, str], ...]]

# What graphs are made for: the kernels of ONNX Runtime's CPU or CUDA provider, OpenVINO, or whatever else there may be.
Target: TypeAlias = Literal["cpu", "cuda", "openvino", "other"]

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
_SUFFIX = "ExecutionProvider"

# Padded tokens a batch. Measured on AVX2 and AVX-512 machines: batches of this size stay in the cache, and larger ones
# lose up to half of the speed (benchmarks/README.md).
CPU_BUDGET = 512

# A device with thousands of lanes wants tens of thousands of tokens before a call pays for itself. Not measured here.
_OTHER_BUDGET = 32_768
# One batch computes while the next one's inputs travel.
_OTHER_CALLERS = 2

# Options that stand where the user states none. ONNX Runtime would multiply float32 with 10 bits of mantissa on CUDA,
# which moves vectors in the fourth digit: float32 is what was asked for.
_DEFAULTS: Mapping[str, Mapping[str, str]] = {CUDA: {"use_tf32": "0"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """Where a graph runs.

    Attributes:
        providers: ONNX Runtime execution providers in order of preference, each with its options.
        threads: CPUs that one call may use.
        callers: How many batches run at the same time.
        session_threads: Threads of the session that those batches share.
        token_budget: The most padded tokens in a batch, unless the user says otherwise.
        runtime: What must compute. OpenVINO and our kernels run on the CPU, whatever `providers` say of ONNX Runtime;
            where ONNX Runtime must, our kernels may stand in for it in 8 bits.
        bfloat16: Whether matrices are multiplied in bfloat16.
    """

    providers: tuple[ProviderSpec, ...]
    threads: int
    callers: int
    session_threads: int
    token_budget: int
    runtime: Runtime = "onnxruntime"
    bfloat16: bool = False

    @classmethod
    def of(cls, providers: Sequence[Provider] | None, *, threads: int | None, precision: Precision = "fp32") -> Device:
        """The device that these providers stand for; None for the CPU.

        Raises:
            InputValueError: The precision is not made for this device.
            ProviderError: One of them is not part of this ONNX Runtime; the message names those that are. Or nothing
                here multiplies in bfloat16.
        """
        specs = _provider_specs(providers)
        granted = threads or available_cpus()
        cpu = _cpu_only(specs)
        if precision == "bf16" and not cpu:
            msg = "precision='bf16' is made for the CPU; leave providers= out, or pass precision='fp16'"
            raise InputValueError(msg)
        if cpu:
            bfloat16 = precision == "bf16"
            # Callers with one thread each are faster than one caller with all threads.
            return cls(
                providers=specs,
                threads=granted,
                callers=granted,
                session_threads=1,
                token_budget=CPU_BUDGET,
                runtime=bfloat16_runtime() if bfloat16 else "onnxruntime",
                bfloat16=bfloat16,
            )
        return cls(
            providers=specs,
            threads=granted,
            callers=_OTHER_CALLERS,
            session_threads=granted,
            token_budget=_OTHER_BUDGET,
        )

    @property
    def target(self) -> Target:
        """Whom graphs are made for."""
        if self.runtime == "openvino":
            return "openvino"
        if _cpu_only(self.providers):
            return "cpu"
        return "cuda" if self.providers[0][0] == CUDA else "other"

    @property
    def is_cpu(self) -> bool:
        """Whether ONNX Runtime's own CPU kernels compute: only then are weights mapped, and forks survived."""
        return self.target == "cpu"


def provider_names(providers: object) -> list[Provider] | None:
    """Providers as a list with ONNX Runtime's own names; None stands for the CPU.

    Forgiving in what it reads: "cuda", "CUDA" and "CUDAExecutionProvider" are one, and a lone name is a list of one.

    Args:
        providers: A name, a pair of a name and its options, or a list of these.

    Raises:
        InputTypeError: It is none of these.
        InputValueError: The list is empty.
    """
    if providers is None:
        return None
    if isinstance(providers, str) or _is_pair(providers):
        providers = [providers]
    if isinstance(providers, Mapping | bytes) or not isinstance(providers, Sequence):
        msg = f"providers must be a list of ONNX Runtime provider names, got {shown(providers)}; pass None for the CPU"
        raise InputTypeError(msg)
    if not providers:
        msg = "providers is empty; name at least one, or pass None for the CPU"
        raise InputValueError(msg)
    return [_named(provider) for provider in providers]


def _is_pair(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], Mapping)


def _named(provider: object) -> Provider:
    match provider:
        case str() if provider.strip():
            return _full_name(provider)
        case (str() as name, Mapping() as options) if name.strip():
            return _full_name(name), dict(options)
    msg = f"a provider must be a name or a pair of a name and a dict of its options, got {shown(provider)}"
    raise InputTypeError(msg)


def _full_name(name: str) -> str:
    """ONNX Runtime's spelling of a name, or the name itself where it knows none."""
    short = name.strip().casefold().removesuffix(_SUFFIX.casefold())
    import onnxruntime as ort

    return next((full for full in ort.get_all_providers() if full.removesuffix(_SUFFIX).casefold() == short), name)


def _provider_specs(providers: Sequence[Provider] | None) -> tuple[ProviderSpec, ...]:
    specs = tuple(map(_spec, providers or (CPU,)))
    if _cpu_only(specs):
        return specs  # every build has it
    import onnxruntime as ort

    available = ort.get_available_providers()
    for name, _ in specs:
        if name not in available:
            said = name if name.isidentifier() and len(name) < 80 else shown(name)
            msg = (
                f"{said} is not part of the installed ONNX Runtime, which has {', '.join(available)}; "
                f"{_way_out()}, or leave providers= out for the CPU"
            )
            raise ProviderError(msg)
    return specs


def _spec(provider: Provider) -> ProviderSpec:
    name, options = (provider, {}) if isinstance(provider, str) else provider
    stated = {str(key): str(value) for key, value in options.items()}
    return name, tuple(sorted({**_DEFAULTS.get(name, {}), **stated}.items()))


def _cpu_only(specs: Sequence[ProviderSpec]) -> bool:
    return all(name == CPU for name, _ in specs)


def _way_out() -> str:
    """Distributions of ONNX Runtime share one folder, so that the one installed last overwrites the others."""
    installed = sorted(set(runtime_distributions()))
    if len(installed) > 1:
        wanted = next((name for name in installed if name != "onnxruntime"), installed[0])
        return (
            f"{' and '.join(installed)} are installed over each other: pip uninstall {' '.join(installed)}, then "
            f"pip install {wanted}"
        )
    return "install the build that has it in place of this one (pip uninstall onnxruntime; pip install onnxruntime-gpu)"


def runtime_distributions() -> Iterator[str]:
    """Names of the installed distributions that bring ONNX Runtime."""
    for distribution in metadata.distributions():
        name = (distribution.metadata["Name"] or "").casefold()
        if name == "onnxruntime" or name.startswith(("onnxruntime-", "ort-")):
            yield name


def runtime_version() -> str:
    """The version of ONNX Runtime; its distribution knows it without loading it."""
    try:
        return metadata.version("onnxruntime")
    except metadata.PackageNotFoundError:  # another build, under another name
        import onnxruntime as ort

        return str(ort.__version__)
