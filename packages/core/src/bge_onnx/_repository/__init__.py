"""Where are its bytes? `ModelSpec` -> complete, verified files on disk: folder, cache, hub, Maven."""

from __future__ import annotations
