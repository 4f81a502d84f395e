"""Compiled kernels, where the wheel holds them: `libbge_kernels.so`, which the build puts beside this file."""

from __future__ import annotations
