"""The commands of `bge-onnx`, one a module; `bge_onnx.cli` names them."""

from __future__ import annotations
