"""How much is stored, and how much is folded, at once: as much as the store has been able to write lately.

Pure: durations are arguments. A document is a state, a month of counters, a chunk of event ids, or a timeline entry.
"""

from __future__ import annotations

SLICE_SECONDS = 0.08  # of writes: about how long an event waits for what is being stored before it
LEAST, MOST = 150, 15_000  # documents of a slice
FIRST = 200  # documents of the first slice, when nothing is known of the store
BEHIND_SECONDS = 3.0  # of writing timeline entries: a flush of more could not be over before a revocation is
FOLD_LEAST, FOLD_MOST = 1_000, 50_000  # events folded at once


class RateController:
    """Follows how long writes take. `documents` are what a slice should hold."""

    def __init__(self, least: int = LEAST, most: int = MOST) -> None:
        if not 0 < least <= most:
            raise ValueError(f"the documents of a slice must be 0 < {least} <= {most}")
        self._least = least
        self._most = most
        self._entries_an_event = 1.0  # of the timeline, in what was folded last
        self.documents = min(max(FIRST, least), most)

    def stored(self, documents: int, seconds: float) -> None:
        """A slice of so many documents took so long."""
        if 2 * documents < self.documents and seconds < SLICE_SECONDS:
            return  # so few tell what a call costs, not what a document does
        wanted = round(documents * SLICE_SECONDS / seconds) if seconds > 0 else self._most
        near = min(max(wanted, self.documents // 4), self.documents * 2)  # one odd slice does not decide
        self.documents = min(max(near, self._least), self._most)

    def folded(self, events: int, entries: int) -> None:
        """So many events have led to so many new timeline entries."""
        if events:
            self._entries_an_event = entries / events

    @property
    def entries(self) -> int:
        """Timeline entries that may wait to be stored; each is a document, however many are folded together."""
        return max(FOLD_LEAST, round(self.documents * BEHIND_SECONDS / SLICE_SECONDS))

    @property
    def events(self) -> int:
        """Events of a backlog to fold at once. The more, the fewer writes, except for what is listed one by one."""
        if self._entries_an_event * FOLD_MOST <= self.entries:
            return FOLD_MOST
        return max(FOLD_LEAST, round(self.entries / self._entries_an_event))
