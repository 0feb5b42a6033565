"""The block: many relationships held as columns, the working memory of scoring, rescoring and backtest.

A row is one relationship. What changes with every event or is evaluated at array speed lies in numpy columns (series
of daily counts in rings, facts as numbers); what changes seldom (directory, facts, flags) in the row's state.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from shared.domain.columns.counters import DayCells, MonthCells
from shared.domain.columns.dedup import SeenIds
from shared.domain.columns.fact_columns import FACT_COLUMNS, fact_values
from shared.domain.columns.history import History
from shared.domain.columns.months import USE, Month
from shared.domain.columns.row import NEVER, TOTAL_DAYS, USAGE, Entry, Row, totals_of
from shared.domain.columns.view import View
from shared.domain.contract.days import Day, month_of
from shared.domain.contract.events import Millis
from shared.domain.relationship.fence import Fence, same_log
from shared.domain.relationship.state import RelationshipState

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# About what a row takes, as tracemalloc has it for rows of 20 to 100 counters: its series and facts, its state with
# what is stored of it, and what comes with each person, day or change that its facts hold.
ROW_BYTES = (3 * TOTAL_DAYS + len(FACT_COLUMNS)) * 8 + 11_000
BYTES_A_FACT = 250

_FIRST_SEEN = FACT_COLUMNS.index("first_seen")


class Block:
    """Rows by id, their series, and the numbers of their facts.

    `feature_days`: how far back features must reach; `window`: days within which an event id counts once.
    """

    def __init__(self, feature_days: int, window: int = 7, capacity: int = 64) -> None:
        self.feature_days = feature_days
        self.rows: OrderedDict[str, Row] = OrderedDict()  # the one used longest ago first
        self.weight = 0  # of all rows
        self.ids = SeenIds(window)
        self.totals: Floats = np.zeros((capacity, 3, TOTAL_DAYS))
        self.facts: Floats = np.full((capacity, len(FACT_COLUMNS)), np.nan)
        self.whole = True  # no amount so far had decimals
        self.horizons: Ints = np.full(capacity, NEVER)  # the newest day the series of a row reach
        self.features: Floats = np.zeros((capacity * 4, feature_days))
        self._free_rows = list(range(capacity - 1, -1, -1))
        self._free_slots = list(range(capacity * 4 - 1, -1, -1))

    # --- rows come and go ---------------------------------------------------------------------------------------

    def add(self, state: RelationshipState, months: Iterable[Month] = (), *, unknown_months: bool = False) -> Row:
        """Take a relationship in: its state and the month documents that reach back over the series."""
        if not self._free_rows:
            self._grow_rows()
        row = Row(self._free_rows.pop(), self.ids.enter(), state)
        row.unknown_months = unknown_months
        self.totals[row.index] = 0
        self.horizons[row.index] = NEVER
        self.refresh_facts(row)
        self.rows[state.id] = row
        self.add_months((row, month) for month in months)
        self.weigh(row)
        return row

    def add_months(self, found: Iterable[tuple[Row, Month]]) -> None:
        """Take months of counters in; their rows must not hold them yet."""
        loaded = [(row, MonthCells.load(month)) for row, month in found]
        for row, cells in loaded:
            row.cells[cells.month] = cells
        packed = [(row, cells.first, cells.packed) for row, cells in loaded if cells.packed]
        if packed:
            History(self, packed).enter()

    def evict(self, row: Row) -> None:
        """Let a row go; whoever calls has stored it, or means to forget it."""
        del self.rows[row.state.id]
        self.weight -= row.weight
        for month in row.cells.values():
            month.days = {}  # days know their month: without this only a look for garbage would free them
        self.ids.leave(row.tag)
        self._free_rows.append(row.index)
        self._free_slots.extend(row.slots.values())

    def touch(self, row: Row) -> None:
        """Note a use: what was used longest ago is let go of first."""
        self.rows.move_to_end(row.state.id)

    def weigh(self, row: Row) -> None:
        """Note about how much memory a row takes now."""
        counters = sum(month.weight for month in row.cells.values())
        state = row.state
        facts = len(state.facts.people) + len(state.facts.inbound_days) + len(state.changes) + len(state.score_days)
        series = len(row.slots) * self.feature_days * 8
        weight = ROW_BYTES + series + counters + (len(row.people) + facts) * BYTES_A_FACT
        self.weight += weight - row.weight
        row.weight = weight

    def surplus(self, budget: int) -> list[Row]:
        """Rows to let go of so that the others and the event ids take at most `budget` bytes, as far as that goes.

        Those used longest ago first; none that holds anything unsaved.
        """
        excess = self.weight + self.ids.nbytes - budget
        found: list[Row] = []
        for row in self.rows.values():
            if excess <= 0:
                break
            if not row.unsaved:
                found.append(row)
                excess -= row.weight
        return found

    def refresh_facts(self, row: Row) -> None:
        """The row's facts have changed: renew their numbers."""
        self.facts[row.index] = fact_values(row.state)
        row.active = None

    def first_seen(self, row: Row, time: Millis) -> None:
        """The row is known from an earlier moment on."""
        row.state.first_seen = time
        self.facts[row.index, _FIRST_SEEN] = time or np.nan

    def _grow_rows(self) -> None:
        had = len(self.totals)
        self.totals = np.concatenate([self.totals, np.zeros_like(self.totals)])
        self.facts = np.concatenate([self.facts, np.full_like(self.facts, np.nan)])
        self.horizons = np.concatenate([self.horizons, np.full_like(self.horizons, NEVER)])
        self._free_rows.extend(range(2 * had - 1, had - 1, -1))

    # --- counting -----------------------------------------------------------------------------------------------

    def count(self, row: Row, entries: Sequence[Entry], fence: Fence, *, absolute: bool = False) -> None:
        """Add amounts to days' counters (or set them), except in months that have been folded that far already.

        An absolute total without a person replaces whatever was counted for the metric on that day. Beyond the bounds
        of a month it is not known whose counter it would replace: there it adds.
        """
        months = [row.month(month_of(entry.day)) for entry in entries]
        admitted = [month.admits(fence) for month in months]
        undone: set[str] = set()
        for entry, month, fresh in zip(entries, months, admitted, strict=True):
            if not fresh:
                continue
            month.move(fence)
            metric, person = month.kept(entry.day, entry.metric, entry.person)
            known = (metric, person) == (entry.metric, entry.person)
            fold = month.set_total if absolute and known else month.add
            for who, delta in fold(entry.day, metric, person, entry.amount):
                if self._record(row, metric, who, entry.day, delta):
                    undone.add(who)
        if undone:
            self._see_again(row, undone)

    def open_day(self, row: Row, day: Day, place: Fence) -> DayCells:
        """The counters of a day, into which a record there is about to be folded."""
        if day > self.horizons[row.index]:
            self.advance(row, day)
        month = row.month(month_of(day))
        if not same_log(month, place):
            month.move(Fence(place.incarnation, place.partition))  # of this log nothing has been folded in yet
        cells = row.days[day] = month.open(day)
        return cells

    def slot_on(self, row: Row, feature: str, day: Day) -> int:
        """The series of a feature, -1 where this day is beyond its reach."""
        return self.slot(row, feature) if self.horizons[row.index] - day < self.feature_days else -1

    def record_uses(self, index: Ints, slots: Ints, days: Ints, amounts: Floats) -> None:
        """Add uses to the series of rows (by their index) and features (by slot, -1 for none)."""
        self.whole = self.whole and bool((amounts % 1 == 0).all())
        age = self.horizons[index] - days
        near = age < TOTAL_DAYS
        place = (index * 3 + USAGE) * TOTAL_DAYS + days % TOTAL_DAYS
        np.add.at(self.totals.reshape(-1), place[near], amounts[near])  # a flat array: numpy adds 5 times faster there
        near = (age < self.feature_days) & (slots >= 0)
        np.add.at(
            self.features.reshape(-1), (slots * self.feature_days + days % self.feature_days)[near], amounts[near]
        )

    def _record(self, row: Row, metric: str, person: str, day: Day, delta: float) -> bool:
        """Enter a change of a counter; whether it leaves open on which day the person was seen last."""
        if day > self.horizons[row.index]:
            self.advance(row, day)
        self.whole = self.whole and delta % 1 == 0
        age = self.horizons[row.index] - day
        usage = metric.startswith(USE)
        if usage and age < self.feature_days:
            slot = self.slot(row, metric[len(USE) :])  # first, for it may put a larger array in place
            self.features[slot, day % self.feature_days] += delta
        if age < TOTAL_DAYS:
            for total in totals_of(metric):
                self.totals[row.index, total, day % TOTAL_DAYS] += delta
        return usage and bool(person) and self._saw(row, person, day, delta)

    def _saw(self, row: Row, person: str, day: Day, delta: float) -> bool:
        last = row.people.get(person, NEVER)
        if delta > 0 and day > last:
            row.people[person] = day
            row.active = None
        return delta < 0 and day == last

    def _see_again(self, row: Row, persons: set[str]) -> None:
        """Find the last days of persons whose last day may have been undone, all in one pass: it may be a long one."""
        left = set(persons)
        row.people.update(dict.fromkeys(persons, NEVER))
        for name in sorted(row.cells, reverse=True):
            found = row.cells[name].last_uses(left)
            row.people.update(found)
            left.difference_update(found)
            if not left:
                break
        row.active = None

    def slot(self, row: Row, feature: str) -> int:
        """The series of a feature."""
        slot = row.slots.get(feature)
        if slot is None:
            if not self._free_slots:
                had = len(self.features)
                self.features = np.concatenate([self.features, np.zeros_like(self.features)])
                self._free_slots.extend(range(2 * had - 1, had - 1, -1))
            slot = row.slots[feature] = self._free_slots.pop()
            self.features[slot] = 0
        return slot

    def advance(self, row: Row, day: Day) -> None:
        """Let the row's series reach `day`: the days in between had nothing so far."""
        step = day - int(self.horizons[row.index])
        if step <= 0:
            return
        if self.horizons[row.index] == NEVER:  # whatever is there is clean
            self.horizons[row.index] = day
            return
        days = np.arange(day - min(step, TOTAL_DAYS) + 1, day + 1)
        self.totals[row.index][:, days % TOTAL_DAYS] = 0
        if row.slots:
            slots = np.fromiter(row.slots.values(), np.int64)
            recent = days[-self.feature_days :]
            self.features[slots[:, None], recent[None, :] % self.feature_days] = 0
        self.horizons[row.index] = day

    # --- what rules and scores look at -----------------------------------------------------------------------------

    def view(self, rows: Sequence[Row], at: Sequence[int]) -> View:
        """These rows as of these moments (ms, one a row, none before the row's last evaluation)."""
        view = View(self, rows, np.asarray(at, np.int64))
        for position in np.flatnonzero(view.day > self.horizons[view.index]).tolist():
            self.advance(rows[position], int(view.day[position]))
        return view
