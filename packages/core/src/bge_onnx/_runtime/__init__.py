"""What runs when?"""

from __future__ import annotations
