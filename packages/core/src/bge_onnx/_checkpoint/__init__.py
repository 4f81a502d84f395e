"""What are its weights?"""

from __future__ import annotations
