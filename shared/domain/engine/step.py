"""The engine: folds a partition's records into a block, and evaluates what falls due on the way.

A verdict depends on the log alone, never on how its records were batched: an event that reaches a relationship at or
past its due moment waits until the relationship has been evaluated as of that moment. Events of many relationships
that wait are evaluated together, in waves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from shared.domain.columns.block import Block
from shared.domain.columns.id_chunks import HASH, RECEIVED, IdBatch, seen
from shared.domain.columns.id_table import Bools
from shared.domain.columns.row import Row
from shared.domain.columns.uses import Uses
from shared.domain.contract.events import DAY, Millis
from shared.domain.contract.types import event_type
from shared.domain.engine.evaluation import clear_at_once, evaluate, next_boundary, watched
from shared.domain.engine.one_event import WHY, fold_event, fresh, is_known_touchpoint, move_fence, overdue
from shared.domain.engine.run import Prefetched, Run
from shared.domain.engine.terms import Terms
from shared.domain.relationship.fence import Fence
from shared.domain.relationship.flags import Why
from shared.domain.rules.declaration import Trigger


class StepResult(msgspec.Struct):
    """What came of a run: rows it touched (to store, or to tell of again), and how many duplicates it dropped."""

    touched: dict[str, Row]
    duplicates: int = 0


def step_many(
    block: Block, run: Run, prefetched: Prefetched, terms: Terms, incarnation: str, partition: int
) -> StepResult:
    """Fold a run of one partition, in order. Every relationship in it must be in the block."""
    rows = [block.rows[span.id] for span in run.spans]
    lengths = [span.end - span.start for span in run.spans]
    tags = np.repeat(np.fromiter((row.tag for row in rows), np.uint32, len(rows)), lengths)
    ids = seen(run.hashes, run.positions, run.received)
    days = (ids[:, RECEIVED] // np.uint64(DAY)).astype(np.int64)
    counts, new = block.ids.admit(ids[:, HASH], tags, days, run.positions)
    fold = _Fold(block, run, ids, new, prefetched, terms, Fence(incarnation, partition))
    fold.step.duplicates = len(run) - int(np.count_nonzero(counts))
    waiting = _waiting(rows, run, counts)
    while waiting:
        waiting = fold.through(waiting)
        for row, place, trigger, why in fold.endings:
            clear_at_once(block, row, terms, place, trigger, why)
        _evaluate_due(block, fold.due, terms)
    return fold.step


_USE = int(Trigger.USE)  # a flag of an enumeration takes ten times as long to test as a number


class Piece(NamedTuple):
    """Events of a row that follow one another and have not been folded yet: plain uses, or one that is something else.

    Where they begin and end in the run.
    """

    start: int
    end: int
    plain: bool = True


Waiting = list[tuple[Row, list[Piece]]]


def _waiting(rows: Sequence[Row], run: Run, counts: Bools) -> Waiting:
    """What is to be folded: without what does not count, in pieces between what is no plain use."""
    plain = counts.copy()
    plain[list(run.items)] = False
    cuts = np.flatnonzero(~plain).tolist()
    if not cuts:
        return [(row, [Piece(start, end)]) for row, (_, start, end) in zip(rows, run.spans, strict=True)]
    found, cut = [], 0
    cuts.append(len(run))
    for row, (_, start, end) in zip(rows, run.spans, strict=True):
        pieces = []
        while cuts[cut] < end:
            at = cuts[cut]
            if start < at:
                pieces.append(Piece(start, at))
            if counts[at]:
                pieces.append(Piece(at, at + 1, plain=False))
            start, cut = at + 1, cut + 1
        if start < end:
            pieces.append(Piece(start, end))
        found.append((row, pieces))
    return found


class _Fold:
    """Goes through a run, as often as it takes.

    What follows an event that may end a flag, and events of a relationship that is due, wait for the next time.
    """

    def __init__(
        self, block: Block, run: Run, ids: IdBatch, new: Bools, prefetched: Prefetched, terms: Terms, log: Fence
    ) -> None:
        self.block = block
        self.run = run
        self.ids = ids
        self.new = new  # by event: its id has never been seen
        self.all_new = bool(new.all())
        self.prefetched = prefetched
        self.terms = terms
        self.log = log
        self.latest = max(run.received)
        self.step = StepResult({})
        self.due: list[tuple[Row, Fence, Millis]] = []  # rows, by what record, up to which moment
        self.endings: list[tuple[Row, Fence, int, Why]] = []  # rows that stop after an event that may end a flag
        self.uses = Uses(block, log)

    def through(self, waiting: Waiting) -> Waiting:
        """One pass over these events; those that must wait for an evaluation."""
        late: Waiting = []
        blocked: set[str] = set()  # a relationship may have several spans
        self.due, self.endings, self.uses = [], [], Uses(self.block, self.log)
        for row, pieces in waiting:
            endings = len(self.endings)
            rest = pieces if row.state.id in blocked else self._row(row, pieces)
            if rest:
                late.append((row, rest))
            if rest or len(self.endings) > endings:
                blocked.add(row.state.id)
        self.uses.record()
        return late

    def _row(self, row: Row, pieces: list[Piece]) -> list[Piece]:
        """Fold events of a row, until it must be evaluated; those that are left."""
        for done, (start, end, plain) in enumerate(pieces):
            at = start
            while at < end:
                if plain and (before_due := self._events_before_due(row, at, end)) > at:
                    self._fold_uses(row, at, before_due)
                    at = before_due
                elif self._must_wait(row, at):
                    return [Piece(at, end, plain), *pieces[done + 1 :]]
                else:
                    may_end = self._one(row, at)
                    at += 1
                    if may_end:
                        return [
                            piece for piece in (Piece(at, end, plain), *pieces[done + 1 :]) if piece.start < piece.end
                        ]
        return []

    def _events_before_due(self, row: Row, at: int, end: int) -> int:
        """Up to where nothing falls due from here on, so that uses need no further look."""
        state, received = row.state, self.run.received
        if self.run.positions[at] <= row.folded or watched(row) & _USE:
            return at
        clock = max(state.clock, received[at])
        due = next_boundary(clock, self.terms.grain, row.phase)
        if state.next_due_at:
            due = min(due, state.next_due_at)
        if clock >= due:
            return at
        if end - at > 1 and self.latest >= due:
            end = next((later for later in range(at, end) if received[later] >= due), end)
        if due != state.next_due_at:
            self.block.schedule(row, due)
        return end

    def _fold_uses(self, row: Row, start: int, end: int) -> None:
        """Fold plain uses during which nothing falls due."""
        run, state = self.run, row.state
        uses = run.uses.part(start, end)
        ids = self.ids[start:end]
        if not self.all_new:
            ids = ids[self.new[start:end]]
        if len(ids):
            self._remember(row, ids)
        first = min(uses.times) or min(filter(None, uses.times), default=0)  # 0 stands for unknown
        state.incarnation, state.partition, state.position = (
            self.log.incarnation,
            self.log.partition,
            run.positions[end - 1],
        )
        state.events += end - start
        state.clock = max(state.clock, *run.received[start:end])
        state.last_seen = max(state.last_seen, *uses.times)
        if first and (first < state.first_seen or not state.first_seen):
            self.block.first_seen(row, first)
        state.triggered |= _USE
        row.changed = True
        self._touch(row)
        self.uses.count(row, uses, run.positions[start:end])

    def _must_wait(self, row: Row, at: int) -> bool:
        """Whether the relationship must be evaluated before this event."""
        state = row.state
        now = max(state.clock, self.run.received[at])
        if not 0 < state.next_due_at <= now:
            return False
        place = self._place(at)
        item = self.run.items.get(at)
        if item is None:  # a plain use: those of history are items, and none is on a timeline
            waits = fresh(state, place)
        else:  # what does not count brings no evaluation, whether its id is at hand or not
            waits = overdue(row, item, place) and not is_known_touchpoint(row, item, self.prefetched, place)
        if waits:
            self.due.append((row, place, now))
            self._touch(row)
        return waits

    def _one(self, row: Row, at: int) -> bool:
        """Fold one event that is not a plain use, or a use that is looked at; whether it may have ended a flag."""
        item = self.run.item(at, row.state.id)
        place = self._place(at)
        if self.new[at]:  # of what is known from long ago as well, or what follows under its id would be told by chance
            self._touch(row)
            self._remember(row, self.ids[at : at + 1])
        if is_known_touchpoint(row, item, self.prefetched, place):
            self.step.duplicates += 1
            return False
        self._touch(row)
        trigger = fold_event(self.block, row, item, self.prefetched, self.terms, place) & watched(row)
        if trigger:
            self.endings.append((row, place, trigger, WHY[event_type(item.event.type).kind]))
        return bool(trigger)

    def _remember(self, row: Row, ids: IdBatch) -> None:
        """Event ids of a row are to be stored."""
        row.new_ids.append(ids)
        row.ids_log = self.log

    def _touch(self, row: Row) -> None:
        self.block.touch(row)
        self.step.touched[row.state.id] = row

    def _place(self, at: int) -> Fence:
        return Fence(self.log.incarnation, self.log.partition, self.run.positions[at])


def tick(block: Block, rows: Sequence[Row], now: Millis, terms: Terms, place: Fence) -> None:
    """A clock record: evaluate these rows at each of their due moments up to `now`."""
    due = [(row, place, now) for row in rows if fresh(row.state, place) and 0 < row.state.next_due_at <= now]
    _evaluate_due(block, due, terms)
    for row, _, _ in due:
        move_fence(row, place)


def _evaluate_due(block: Block, due: Sequence[tuple[Row, Fence, Millis]], terms: Terms) -> None:
    """Evaluate rows at each of their due moments up to the given one, all rows together."""
    while due := [entry for entry in due if 0 < entry[0].state.next_due_at <= entry[2]]:
        evaluate(block, [row for row, _, _ in due], terms, [place for _, place, _ in due])
