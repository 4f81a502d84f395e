"""What does it mean?"""

from __future__ import annotations
