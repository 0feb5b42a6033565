"""One month of counters while it is in memory: cells by day, folded up to a fence of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from shared.domain.fence import Fence
from shared.domain.usage import Day, Month, day_name, day_number

METRICS_KEPT = 500  # in a month of one relationship; what comes later counts as OTHERS of its family
MONTH_BYTES = 8 << 20  # about as much as a month's document may take: half of what MongoDB stores in one
OTHERS = "(others)"  # stands for features, channels and persons beyond these bounds
CELL_BYTES = 50  # of three numbers in a list

Delta = tuple[str, float]
"""A person ("" for nobody in particular) and by how much their counter has changed."""


class MonthCells:
    """Counters of one relationship in one month, by day and (metric, person), in the order they appeared.

    Bounded: beyond METRICS_KEPT and MONTH_BYTES, what is new counts together, as OTHERS.
    """

    __slots__ = ("_bytes", "_metrics", "_persons", "changed", "days", "fence", "month", "rev", "scores")

    def __init__(self, month: str) -> None:
        self.month = month
        self.fence = Fence()
        self.rev = 0
        self.days: dict[Day, dict[tuple[str, str], float]] = {}
        self.scores: dict[str, tuple[float | None, float | None]] = {}
        self.changed = False
        self._bytes = 0
        self._metrics: set[str] = set()
        self._persons: set[str] = set()

    @classmethod
    def load(cls, month: Month) -> MonthCells:
        """From its document."""
        cells = cls(month.month)
        cells.fence = Fence(month.incarnation, month.partition, month.offset)
        cells.rev = month.rev
        cells.scores = {day: (pair[0], pair[1]) for day, pair in month.scores.items()}
        first = day_number(month.month + "-01")
        for number, flat in month.days.items():
            cells.days[first + int(number) - 1] = {
                (month.names[int(flat[at])], month.names[int(flat[at + 1])]): flat[at + 2]
                for at in range(0, len(flat), 3)
            }
        for day in cells.days.values():
            for metric, person in day:
                cells._measure(metric, person)
        return cells

    def admits(self, fence: Fence) -> bool:
        """Whether a record there has not been folded in yet."""
        same = fence.incarnation == self.fence.incarnation and fence.partition == self.fence.partition
        return not same or fence.offset > self.fence.offset

    def items(self) -> Iterator[tuple[Day, str, str, float]]:
        """Every counter: day, metric, person, count."""
        for day, cells in self.days.items():
            for (metric, person), amount in cells.items():
                yield day, metric, person, amount

    def add(self, day: Day, metric: str, person: str, amount: float) -> Iterable[Delta]:
        """Add to a counter."""
        cells = self.days.setdefault(day, {})
        self._enter(cells, metric, person)
        cells[metric, person] = cells.get((metric, person), 0.0) + amount
        self.changed = True
        return ((person, amount),)

    def set_total(self, day: Day, metric: str, person: str, amount: float) -> Iterable[Delta]:
        """Set a counter; without a person, set the metric's total of the day and forget who made it up."""
        cells = self.days.setdefault(day, {})
        targets = {person: amount}
        if not person:
            targets = {who: 0.0 for what, who in cells if what == metric} | targets
        deltas = []
        for who, wanted in targets.items():
            self._enter(cells, metric, who)
            deltas.append((who, wanted - cells.get((metric, who), 0.0)))
            cells[metric, who] = wanted
        self.changed = True
        return deltas

    def kept(self, day: Day, metric: str, person: str) -> tuple[str, str]:
        """The metric and person of the counter to use for these: themselves, or OTHERS beyond the bounds."""
        if (metric, person) in self.days.get(day, ()):
            return metric, person
        if metric not in self._metrics and len(self._metrics) >= METRICS_KEPT:
            metric = metric[: metric.index(":") + 1] + OTHERS
        return metric, person if self._bytes < MONTH_BYTES or not person else OTHERS

    def _enter(self, cells: dict[tuple[str, str], float], metric: str, person: str) -> None:
        if (metric, person) not in cells:
            self._measure(metric, person)

    def _measure(self, metric: str, person: str) -> None:
        self._bytes += CELL_BYTES
        self._metrics.add(metric)
        if person not in self._persons:
            self._persons.add(person)
            self._bytes += CELL_BYTES + len(person.encode())

    def days_with(self, person: str) -> Iterator[Day]:
        """Days on which this person has used anything."""
        return (day for day, metric, who, amount in self.items() if who == person and amount and metric[:4] == "use:")

    def fields(self) -> dict[str, Any]:
        """Names, days and scores as the month's document holds them."""
        names: dict[str, int] = {"": 0}
        days: dict[str, list[float]] = {}
        for day, cells in self.days.items():
            flat = days[str(int(day_name(day)[8:]))] = []
            for (metric, person), amount in cells.items():
                flat += [names.setdefault(metric, len(names)), names.setdefault(person, len(names)), amount]
        return {"names": list(names), "days": days, "scores": {day: list(pair) for day, pair in self.scores.items()}}
