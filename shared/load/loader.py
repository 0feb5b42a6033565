"""One load from beginning to end: read a stretch, send it, note how far it went, while the next stretch is read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Protocol

import msgspec

from shared.load.outgoing import Loaded, Outgoing, Rejection, Source
from shared.load.publish import Outcome
from shared.load.resume import Bookmark, Progress
from shared.load.seen import Seen
from shared.load.summary import Summary

STRETCH = 8_000
"""Rows read, sent and answered before the bookmark moves: what is held in memory, at most twice."""


class Sender(Protocol):
    """Takes events to ingest and says what became of them."""

    async def send(self, events: list[Outgoing]) -> Outcome: ...


class Stretch(msgspec.Struct):
    """Consecutive rows of a source."""

    rows: list[Loaded]

    def events(self) -> list[Outgoing]:
        return [event for row in self.rows for event in row.events]

    def problems(self) -> list[Rejection]:
        return [problem for row in self.rows for problem in row.problems]


async def load(
    source: Source,
    sender: Sender,
    bookmark: Bookmark,
    *,
    on_progress: Callable[[int, Summary], None],
    on_answered: Callable[[Sequence[Rejection]], None],
    stretch: int = STRETCH,
) -> Summary:
    """Loads what lies behind the bookmark and removes it at the end; `Unavailable` leaves it where it can go on.

    Rows before the bookmark are read again but not sent, for numbering equal rows rests on them. `on_answered` is told
    what was rejected of each stretch, often nothing, before the bookmark moves.
    """
    start = bookmark.read()
    summary = Summary(read=start.read, accepted=start.accepted, rejected=start.rejected)
    rows = source.read()
    subjects = Seen()
    try:
        ahead = asyncio.create_task(asyncio.to_thread(_stretch, rows, stretch))
        while (now := await ahead).rows:
            ahead = asyncio.create_task(asyncio.to_thread(_stretch, rows, stretch))
            await _send(now, start.line, sender, summary, subjects, on_answered)
            last = now.rows[-1]
            if last.line > start.line:
                bookmark.write(Progress(last.line, summary.read, summary.accepted, summary.rejected))
            on_progress(last.done, summary)
    finally:
        # The thread that reads ahead has to be done with the source before anybody closes it.
        await asyncio.gather(ahead, return_exceptions=True)
        subjects.close()
    bookmark.remove()
    return summary


async def _send(
    stretch: Stretch,
    after: int,
    sender: Sender,
    summary: Summary,
    subjects: Seen,
    on_answered: Callable[[Sequence[Rejection]], None],
) -> None:
    """Sends the rows behind line `after` and counts all of them."""
    for event in stretch.events():
        summary.note(event)
        subjects.times(event.subject)
    summary.relationships = subjects.distinct
    fresh = Stretch([row for row in stretch.rows if row.line > after])
    events, problems = fresh.events(), fresh.problems()
    outcome = await sender.send(events) if events else Outcome()
    summary.read += len(events) + len(problems)
    summary.accepted += outcome.accepted
    rejections = sorted([*problems, *outcome.rejected], key=lambda found: found.line)
    for rejection in rejections:
        summary.reject(rejection)
    on_answered(rejections)


def _stretch(rows: Iterator[Loaded], size: int) -> Stretch:
    return Stretch(list(islice(rows, size)))
