"""The only place where time and chance enter: edges call these and pass the answers on as arguments."""

from __future__ import annotations

import time
import uuid


def now_ms() -> int:
    """Wall time in milliseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1_000_000


def new_id() -> str:
    """A random identifier of 32 hexadecimal digits."""
    return uuid.uuid4().hex
