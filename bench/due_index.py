"""What is due when, found as an index finds it: what a store's server does for free must not be measured."""

from __future__ import annotations

from heapq import heappop, heappush

from shared.domain.contract.events import Millis


class DueIndex:
    """The moments at which ids are due. Entries that no longer hold are dropped when they are met."""

    def __init__(self) -> None:
        self._at: dict[str, Millis] = {}
        self._heap: list[tuple[Millis, str]] = []

    def __len__(self) -> int:
        return len(self._at)

    def put(self, id: str, at: Millis) -> None:
        """It is due then; 0: never."""
        if at == self._at.get(id, 0):
            return
        self._at.pop(id, None)
        if at:
            self._at[id] = at
            heappush(self._heap, (at, id))

    def first(self, now: Millis, limit: int, since: Millis = 1) -> list[tuple[str, Millis]]:
        """At most so many that are due from `since` to `now`, in the order in which they are due, and when they are."""
        found: list[tuple[Millis, str]] = []
        taken: list[tuple[Millis, str]] = []
        while len(found) < limit and (entry := self._next()) is not None and entry[0] <= now:
            heappop(self._heap)
            if entry not in taken[-1:]:  # the same one may have been put twice, with another moment between
                taken.append(entry)
                found += [entry] if entry[0] >= since else []
        for entry in taken:
            heappush(self._heap, entry)
        return [(id, at) for at, id in found]

    def earliest(self) -> Millis:
        """When the first is due; 0 without any."""
        entry = self._next()
        return entry[0] if entry is not None else 0

    def _next(self) -> tuple[Millis, str] | None:
        while self._heap:
            at, id = self._heap[0]
            if self._at.get(id) == at:
                return at, id
            heappop(self._heap)
        return None
