"""`python -m bge_onnx` is `bge-onnx`."""

from __future__ import annotations

from bge_onnx.cli import main

if __name__ == "__main__":
    main()
