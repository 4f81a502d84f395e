from __future__ import annotations

import collections
import io
import json
import os
import pickle
import random
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bge_onnx import BGEError
from bge_onnx.testing._torch_file import state_dict_pickle, write_linear
from tests.core.checkpoint_kit import read_arrays

Array = NDArray[Any]

WEIGHT = np.arange(6, dtype=np.float32).reshape(2, 3)
BIAS = np.array([0.5, -0.5], np.float32)


def write_pt(path: Path, members: Mapping[str, bytes], *, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(f"head/{name}", content)
    return path


def assert_refused(path: Path, message: str = "replace it by the model's own") -> None:
    with pytest.raises(BGEError, match=message) as caught:
        read_arrays(path)
    assert str(path) in str(caught.value)


def test_what_torch_writes_is_read(tmp_path: Path) -> None:
    path = tmp_path / "head.pt"
    write_linear(path, WEIGHT, BIAS)
    tensors = read_arrays(path)
    assert set(tensors) == {"weight", "bias"}
    np.testing.assert_array_equal(tensors["weight"], WEIGHT)
    np.testing.assert_array_equal(tensors["bias"], BIAS)


@pytest.mark.parametrize("name", ["sparse_linear.pt", "colbert_linear.pt"])
def test_what_torch_itself_wrote_is_read(shared: Path, name: str) -> None:
    tensors = read_arrays(shared / "reference" / "tiny-bge-m3" / name)
    rows = 1 if name.startswith("sparse") else 64
    assert {name: tensor.shape for name, tensor in tensors.items()} == {"weight": (rows, 64), "bias": (rows,)}
    assert 0.001 < float(np.abs(tensors["weight"]).mean()) < 1


@pytest.mark.parametrize(
    ("storage", "encode"),
    [
        (b"HalfStorage", lambda x: x.astype("<f2").tobytes()),
        (b"BFloat16Storage", lambda x: (x.view(np.uint32) >> 16).astype("<u2").tobytes()),
    ],
)
def test_half_precisions_become_float32(tmp_path: Path, storage: bytes, encode: Callable[[Array], bytes]) -> None:
    code = state_dict_pickle({"weight": (2, 3)}).replace(b"FloatStorage", storage)
    tensors = read_arrays(write_pt(tmp_path / "head.pt", {"data.pkl": code, "data/0": encode(WEIGHT)}))
    np.testing.assert_array_equal(tensors["weight"], WEIGHT)
    assert tensors["weight"].dtype == np.float32


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self._call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "wrap", [lambda x: x, lambda x: {"weight": x}, lambda x: collections.OrderedDict(a=[{"b": (x,)}])]
)
def test_a_file_that_calls_a_function_is_refused_and_the_call_does_not_happen(
    tmp_path: Path, protocol: int, wrap: Callable[[object], object]
) -> None:
    marker = tmp_path / "marker"
    attacks = [
        (Call(os.system, f"touch {marker}"), "system"),
        (Call(eval, f"open({str(marker)!r}, 'w').close()"), "eval"),
        (Call(os.mkdir, str(marker)), "mkdir"),
        (Call(getattr, "text", "upper"), "getattr"),
    ]
    for attack, name in attacks:
        path = write_pt(tmp_path / "head.pt", {"data.pkl": pickle.dumps(wrap(attack), protocol=protocol)})
        assert_refused(path, f"asks for [a-z_]+\\.{name}, which no tensor needs")
        assert not marker.exists()
    pickle.loads(pickle.dumps(wrap(attacks[2][0]), protocol=protocol))
    assert marker.exists(), "the attack works where it is not refused"


@pytest.mark.parametrize(
    "name",
    [
        "os\nsystem",
        "builtins\neval",
        "builtins\nexec",
        "torch\nload",
        "torch.storage\n_load_from_bytes",
        "torch._utils\nos.system",
    ],
)
def test_a_call_hidden_inside_a_real_state_dict_is_refused(tmp_path: Path, name: str) -> None:
    code = state_dict_pickle({"weight": (2, 3)}).replace(b"torch._utils\n_rebuild_tensor_v2", name.encode())
    assert_refused(write_pt(tmp_path / "head.pt", {"data.pkl": code, "data/0": WEIGHT.tobytes()}), "no tensor needs")


def test_a_file_cannot_change_how_later_files_are_read(tmp_path: Path) -> None:
    """The opcode BUILD sets attributes of whatever a pickle can name."""
    code = b"\x80\x02ctorch\nFloatStorage\n(X\x03\x00\x00\x00<i4lb."
    attributes = b"\x80\x02ctorch\nFloatStorage\nN}X\x05\x00\x00\x00dtypeX\x03\x00\x00\x00<i4s\x86b."
    for attack in (code, attributes):
        assert_refused(write_pt(tmp_path / "attack.pt", {"data.pkl": attack}))
    write_linear(tmp_path / "head.pt", WEIGHT, BIAS)
    np.testing.assert_array_equal(read_arrays(tmp_path / "head.pt")["weight"], WEIGHT)


@pytest.mark.parametrize("key", ["../0", "0/../../0", "/etc/hostname", ""])
def test_a_storage_outside_the_data_folder_is_refused(tmp_path: Path, key: str) -> None:
    length = struct.pack("<I", len(key))
    code = state_dict_pickle({"weight": (2, 3)}).replace(b"X\x01\x00\x00\x000", b"X" + length + key.encode())
    assert_refused(write_pt(tmp_path / "head.pt", {"data.pkl": code, "data/0": WEIGHT.tobytes()}))


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    for content in ([1, 2], {"weight": 3}, "text", {"weight": {"nested": "x"}}):
        assert_refused(write_pt(tmp_path / "head.pt", {"data.pkl": pickle.dumps(content)}), "else than named tensors")
    assert_refused(write_pt(tmp_path / "head.pt", {"other": b""}), "no data.pkl")
    (tmp_path / "old.pt").write_bytes(pickle.dumps({"weight": 1}))
    assert_refused(tmp_path / "old.pt", "not a file of torch")


def test_tensors_that_do_not_fit_their_storage_are_refused(tmp_path: Path) -> None:
    code = state_dict_pickle({"weight": (2, 3)})
    assert_refused(write_pt(tmp_path / "short.pt", {"data.pkl": code, "data/0": WEIGHT.tobytes()[:-4]}))
    assert_refused(write_pt(tmp_path / "absent.pt", {"data.pkl": code}))


def test_a_tensor_that_is_not_contiguous_is_read_by_its_strides(tmp_path: Path) -> None:
    code = state_dict_pickle({"weight": (2, 3)})
    transposed = code.replace(b"K\x03K\x01\x86", b"K\x01K\x02\x86")
    assert transposed != code
    path = write_pt(tmp_path / "t.pt", {"data.pkl": transposed, "data/0": WEIGHT.tobytes()})
    np.testing.assert_array_equal(read_arrays(path)["weight"], WEIGHT.reshape(3, 2).T)


def test_a_zip_bomb_is_refused_before_it_unfolds(tmp_path: Path) -> None:
    bomb = bytes(65 << 20)
    path = write_pt(tmp_path / "head.pt", {"data.pkl": bomb}, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 20
    assert_refused(path, "compressed or encrypted|larger than that of any model")


def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    write_linear(tmp_path / "head.pt", WEIGHT, BIAS)
    whole = (tmp_path / "head.pt").read_bytes()
    for size in range(0, len(whole), 7):
        (tmp_path / "cut.pt").write_bytes(whole[:size])
        assert_refused(tmp_path / "cut.pt", "replace it by the model's own")


def test_a_damaged_file_gives_tensors_or_a_clean_error(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    write_linear(tmp_path / "head.pt", WEIGHT, BIAS)
    buffer.write((tmp_path / "head.pt").read_bytes())
    generator = random.Random(0)
    refused = 0
    for _ in range(400):
        damaged = bytearray(buffer.getvalue())
        for _ in range(generator.randint(1, 4)):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        path = tmp_path / "damaged.pt"
        path.write_bytes(damaged)
        try:
            tensors = read_arrays(path)
        except BGEError:
            refused += 1
        else:
            assert all(tensor.dtype == np.float32 for tensor in tensors.values())
    assert refused > 100


def write_safetensors(path: Path, tensors: Mapping[str, tuple[str, list[int], bytes]]) -> Path:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    body = b""
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(content)]}
        body += content
    encoded = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + body)
    return path


@pytest.mark.parametrize(
    ("dtype", "encoded"),
    [
        ("F32", WEIGHT.tobytes()),
        ("F16", WEIGHT.astype("<f2").tobytes()),
        ("BF16", (WEIGHT.view(np.uint32) >> 16).astype("<u2").tobytes()),
    ],
)
def test_safetensors_are_read(tmp_path: Path, dtype: str, encoded: bytes) -> None:
    path = write_safetensors(
        tmp_path / "head.safetensors", {"bias": ("F32", [2], BIAS.tobytes()), "weight": (dtype, [2, 3], encoded)}
    )
    tensors = read_arrays(path)
    assert set(tensors) == {"weight", "bias"}
    np.testing.assert_array_equal(tensors["weight"], WEIGHT)
    np.testing.assert_array_equal(tensors["bias"], BIAS)


def test_damaged_safetensors_are_refused(tmp_path: Path) -> None:
    path = write_safetensors(tmp_path / "head.safetensors", {"weight": ("F32", [2, 3], WEIGHT.tobytes())})
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        assert_refused(path)
    assert_refused(write_safetensors(path, {"weight": ("I64", [2, 3], WEIGHT.tobytes() * 2)}))
    path.write_bytes(struct.pack("<Q", 4) + b"[{}]")
    assert_refused(path)
