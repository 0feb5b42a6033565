"""The fold that every row of the throughput bench does, and its stated score; needs msgspec alone.

Duplicates by (source, id) are dropped for seven days; usage is counted per feature, person and day as `use:FEATURE`,
messages per channel, person and day as `in:CHANNEL`. The score is the engagement of 30 days against the 90 before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path

import msgspec

DAY = 86_400_000  # ms
WINDOW = 7 * DAY  # within which an id counts once
NOW_DAYS, DAYS = 30, 120  # now, and now with the 90 days before
FLUSH_SECONDS = 5.0  # from one writing of the scores and documents of what was touched to the next
SCALE = 10_000  # a score has four decimals; it is written as a whole number of ten-thousandths

Cell = tuple[str, str, int]
"""Metric, person and day since 1970-01-01."""


class Data(msgspec.Struct, gc=False):
    """What the fold needs of an event's `data`."""

    person: str = ""
    feature: str = ""
    channel: str = ""
    quantity: float = 1.0


class Event(msgspec.Struct, gc=False):
    """What the fold needs of an interaction."""

    tenant: str
    relationship: str
    id: str
    source: str
    type: str
    time: int
    data: Data


decode = msgspec.json.Decoder(Event).decode


def key_of(event: Event) -> str:
    """The relationship's key."""
    return f"{event.tenant}/{event.relationship}"


def id_of(event: Event) -> str:
    """What makes an event the same event."""
    return f"{event.source}#{event.id}"


def cell_of(event: Event) -> tuple[Cell, float]:
    """The counter of an event, and what it adds."""
    family, _, kind = event.type.partition(".")
    data = event.data
    if family == "usage":
        return ("use:" + (data.feature or kind), data.person, event.time // DAY), data.quantity
    return ("in:" + (data.channel or family), data.person, event.time // DAY), 1.0


def window_of(metric: str, age: int) -> int:
    """Which of the four sums a count of that age in days belongs to; -1 for none."""
    if not 0 <= age < DAYS:
        return -1
    return (0 if metric.startswith("use:") else 2) + (age >= NOW_DAYS)


def engagement(sums: Iterable[float]) -> int | None:
    """The score in ten-thousandths, of four sums: use now and before, touches now and before. None without any."""
    use_now, use_before, touches_now, touches_before = sums
    parts = []
    for now, before in ((use_now, use_before), (touches_now, touches_before)):
        usual = before / 3
        if usual + now > 0:
            parts.append(min(1.0, (now + 0.5) / (usual + 0.5)))
    return round(round(sum(parts) / len(parts), 4) * SCALE) if parts else None


class Relationship:
    """One relationship's state as plain dicts. The sums hold as of `day` and are made anew when the day changes."""

    __slots__ = ("cells", "day", "ids", "sums")

    def __init__(self) -> None:
        self.cells: dict[Cell, float] = {}
        self.ids: dict[str, int] = {}  # → receipt
        self.day = -1
        self.sums = [0.0, 0.0, 0.0, 0.0]

    def add(self, event: Event, received: int) -> bool:
        """Fold an event in; False where it is a duplicate."""
        name = id_of(event)
        seen = self.ids.get(name)
        if seen is not None and received - seen <= WINDOW:
            return False
        self.ids[name] = received
        if received // DAY > self.day:
            self.roll(received // DAY)
        cell, amount = cell_of(event)
        self.cells[cell] = self.cells.get(cell, 0.0) + amount
        window = window_of(cell[0], self.day - cell[2])
        if window >= 0:
            self.sums[window] += amount
        return True

    def roll(self, day: int) -> None:
        """A new day of receipt: the windows have moved."""
        self.day = day
        self.sums = [0.0, 0.0, 0.0, 0.0]
        for (metric, _, when), amount in self.cells.items():
            window = window_of(metric, day - when)
            if window >= 0:
                self.sums[window] += amount

    def score(self) -> int | None:
        """As of the day of the last event received."""
        return engagement(self.sums)


State = tuple[int | None, Mapping[Cell, float]]
"""Score in ten-thousandths and counters."""


def write_states(path: Path, states: Mapping[str, State]) -> str:
    """One line a relationship, sorted by key: `[key, score, [[metric, person, day, count], …]]`. Its SHA-256."""
    digest = sha256()
    with path.open("wb") as out:
        for key in sorted(states):
            score, cells = states[key]
            counts = [[*cell, int(amount)] for cell, amount in sorted(cells.items()) if amount]
            line = msgspec.json.encode([key, score, counts]) + b"\n"
            digest.update(line)
            out.write(line)
    return digest.hexdigest()
