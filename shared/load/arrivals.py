"""Events of several sources as ingest would accept them, in the order of their times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from heapq import merge
from operator import attrgetter
from tempfile import TemporaryFile
from typing import IO

import msgspec

from shared.domain.contract.accepting import Acceptance, Rejection, accept
from shared.domain.contract.events import MAX_TIME, Interaction, Millis
from shared.load.outgoing import Outgoing, Source

TENANT = "replay"  # files name none
IN_MEMORY = 200_000  # events; beyond, they wait in temporary files, each of so many
REJECTS_SHOWN = 10
PROGRESS_EVERY = 2_000  # rows

_TIME = attrgetter("time")
_encode = msgspec.json.Encoder().encode_lines
_decode = msgspec.json.Decoder(Interaction).decode


class Arrivals:
    """What has been read; `__iter__` gives it in the order of its times, what has the same in the order of reading."""

    def __init__(self, in_memory: int = IN_MEMORY) -> None:
        self.accepted = 0
        self.rejected: Counter[str] = Counter()  # by reason
        self.first_rejected: list[str] = []
        self.first: Millis = MAX_TIME
        self.last: Millis = 0
        self._in_memory = in_memory
        self._here: list[Interaction] = []
        self._files: list[IO[bytes]] = []

    def read(self, name: str, source: Source, on_progress: Callable[[int], None]) -> None:
        """Read a source to its end; `name` is what its rejected lines are shown under."""
        for number, row in enumerate(source.read()):
            for problem in row.problems:
                self._reject(name, problem.line, problem.reason, problem.detail)
            for one in row.events:
                self._take(name, one)
            if number % PROGRESS_EVERY == 0:
                on_progress(row.done)

    def _take(self, name: str, one: Outgoing) -> None:
        """Its own time is its receipt, so that none lies in the future; a daily total may still be of a day to come."""
        answer = accept(one.raw, 0, Acceptance(TENANT, one.time or MAX_TIME, _relationship))
        if isinstance(answer, Rejection):
            self._reject(name, one.line, answer.reason, answer.detail)
            return
        self.accepted += 1
        self.first, self.last = min(self.first, answer.time), max(self.last, answer.time)
        self._here.append(answer)
        if len(self._here) >= self._in_memory:
            self._put_away()

    def _reject(self, name: str, line: int, reason: str, detail: str) -> None:
        self.rejected[reason] += 1
        if len(self.first_rejected) < REJECTS_SHOWN:
            self.first_rejected.append(f"{name}:{line}: {reason}: {detail}")

    def _put_away(self) -> None:
        self._here.sort(key=_TIME)
        file = TemporaryFile()  # noqa: SIM115 (it is gone when nobody holds it)
        file.write(_encode(self._here))
        self._files.append(file)
        self._here = []

    def __iter__(self) -> Iterator[Interaction]:
        self._here.sort(key=_TIME)
        if not self._files:
            return iter(self._here)
        return merge(*map(_lines, self._files), self._here, key=_TIME)


def _lines(file: IO[bytes]) -> Iterator[Interaction]:
    file.seek(0)
    return map(_decode, file)


def _relationship(_tenant: str, subject: str) -> str:
    """As ingest names it: see services.ingest.identity."""
    return subject.strip()
