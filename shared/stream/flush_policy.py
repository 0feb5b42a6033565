"""When to flush: soon when quiet, rarely under load. Pure: times are arguments, in seconds of any monotonic clock."""

from __future__ import annotations

GATHER_SECONDS = 0.02  # after the first record, since others often come with it
HEARTBEAT_SECONDS = 1.0  # flush() is called at least this often: silence and deadlines come due without traffic


class FlushPolicy:
    """From the end of one flush to the next twice as long as it took, within [low, rest]; so what comes after a pause
    is flushed at once. While a backlog is worked off: `high` after the later of that end and its first record; how long
    that took says nothing of what comes after it."""

    def __init__(self, low: float, high: float, now: float, rest: float | None = None) -> None:
        """`rest`: `high` unless it is given."""
        rest = high if rest is None else rest
        if not 0 < low <= rest <= high:
            raise ValueError(f"flush intervals must be 0 < {low} <= {rest} <= {high}")
        self._rest = rest
        self._low = low
        self._high = high
        self._interval = low
        self._backlog: dict[int, bool] = {}  # by partition: at least as much waits as was just applied
        self._first_unflushed: float | None = None
        self._last_flush = now
        self._flush_began = now
        self._flushing = False  # what was unflushed is being flushed
        self._of_backlog = False  # what the last flush stored

    def applied(self, partition: int, taken: int, remaining: int, now: float) -> None:
        """A batch of `taken` records was applied, after which `remaining` are in the log."""
        self._backlog[partition] = remaining >= taken
        if self._first_unflushed is None:
            self._first_unflushed = now

    def began(self, now: float) -> None:
        """A flush of all that was applied; what is applied from here on is for the next one."""
        self._flush_began = now
        self._flushing = self._first_unflushed is not None
        self._of_backlog = any(self._backlog.values())
        self._first_unflushed = None

    def flushed(self, now: float) -> None:
        """The flush is over."""
        took = 0.0 if self._of_backlog else now - self._flush_began
        self._interval = min(max(2 * took, self._low), self._rest)
        self._flushing = False
        self._last_flush = now

    def postponed(self, now: float) -> None:
        """A flush could not be done, or not to its end: what is unflushed waits another interval."""
        if self._first_unflushed is not None or self._flushing:
            self._first_unflushed = now
        self._flushing = False
        self._last_flush = now

    def forget(self) -> None:
        """Nothing is unflushed any more, and no backlog known: the partitions changed."""
        self._backlog.clear()
        self._first_unflushed = None
        self._flushing = False

    def due(self) -> float:
        """The moment of the next flush."""
        if self._first_unflushed is None:
            return self._last_flush + HEARTBEAT_SECONDS
        if any(self._backlog.values()):
            return max(self._first_unflushed, self._last_flush) + self._high
        return max(self._first_unflushed + min(GATHER_SECONDS, self._low), self._last_flush + self._interval)
