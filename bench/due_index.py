"""What is due when, found as an index finds it: what a store's server does for free must not be measured."""

from __future__ import annotations

from bisect import bisect_right, insort

from shared.domain.contract.events import Millis


class DueIndex:
    """The moments at which ids are due. Entries that no longer hold are passed over."""

    def __init__(self) -> None:
        self._at: dict[str, Millis] = {}
        self._order: list[tuple[Millis, str]] = []

    def __len__(self) -> int:
        return len(self._at)

    def put(self, id: str, at: Millis) -> None:
        """It is due then; 0: never."""
        if at == self._at.get(id, 0):
            return
        self._at.pop(id, None)
        if at:
            self._at[id] = at
            insort(self._order, (at, id))

    def first(self, now: Millis, limit: int, after: tuple[Millis, str] = (0, "")) -> list[tuple[str, Millis]]:
        """At most so many that follow on one and are due by `now`, first things first, and when they are."""
        found: list[tuple[str, Millis]] = []
        for place in range(bisect_right(self._order, after), len(self._order)):
            at, id = self._order[place]
            if at > now or len(found) == limit:
                break
            if self._at.get(id) == at and (id, at) not in found[-1:]:  # it may have been put twice, and another between
                found.append((id, at))
        return found

    def earliest(self) -> Millis:
        """When the first is due; 0 without any."""
        over = 0
        while over < len(self._order) and self._at.get(self._order[over][1]) != self._order[over][0]:
            over += 1
        del self._order[:over]
        return self._order[0][0] if self._order else 0
