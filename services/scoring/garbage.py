"""When Python looks for garbage in reference cycles: when there is nothing else to do, or memory grows."""

from __future__ import annotations

import gc
from pathlib import Path

from shared.domain.contract.events import MINUTE, Millis

EVERY = MINUTE  # at most so often while idle
GROWN = 1.25  # times the resident size after the last look: then it looks although there is work
_PAGE = 4096
_STATM = Path("/proc/self/statm")


class Garbage:
    """Automatic collection is off in a scoring worker: it took a quarter of the time, and what is folded has no cycles.

    What is there after a look is frozen, so that the next one does not go through it again.
    """

    def __init__(self) -> None:
        self._looked_at: Millis = 0
        self._resident = 0
        gc.disable()
        gc.freeze()

    def look(self, now: Millis, *, idle: bool) -> bool:
        """Called after every flush; whether it looked."""
        if now - self._looked_at < EVERY:
            return False
        if not idle and resident() <= self._resident * GROWN:
            return False
        self._looked_at = now
        gc.collect()
        gc.freeze()
        self._resident = resident()
        return True


def resident() -> int:
    """Bytes of memory this process has; 0 where the system does not say."""
    return int(_STATM.read_text().split()[1]) * _PAGE if _STATM.exists() else 0
