"""Live traffic: what happens between two moments, from rates that go on where history left off."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator, Sequence
from itertools import accumulate
from random import Random

from shared.domain.contract.days import Day, day_of
from shared.domain.contract.events import DAY, MINUTE, SECOND, Millis
from shared.simulator import names
from shared.simulator.accounts import Account, Cell
from shared.simulator.plan import Planned
from shared.simulator.touches import between_moments
from shared.simulator.usage import planned_uses

# A second, over the whole portfolio. Denser than history's, so that somebody who watches sees something.
LOGINS, MESSAGES, TICKETS, SURVEYS = 0.3, 0.12, 0.015, 0.01
SOLVED_AFTER = 5 * MINUTE


class Live:
    """The stream of events from `start` on. `quiet` accounts use the product and say nothing."""

    def __init__(self, seed: int, accounts: Sequence[Account], start: Millis, calm: Day, quiet: frozenset[str]) -> None:
        self._seed = seed
        self._accounts = accounts
        self._calm = calm
        self._random = Random(f"{seed}/{start}")
        # Only those whose limit of silence is the least one: a few more messages do not shorten what is usual for them.
        self._talkers = [one for one in accounts if one.kind in ("customer", "partner") and one.id not in quiet]
        self._regular = [one for one in accounts if one.id not in quiet]
        self._open: list[tuple[Millis, Account, str]] = []
        self._number = 0
        self._start = start
        self._day: Day = -1
        self._cells: list[tuple[Account, Cell]] = []
        self._weights: list[float] = []
        self._coming: list[Planned] = []

    def between(self, after: Millis, until: Millis) -> list[Planned]:
        """What happens in (after, until], in order; to be asked for one stretch after the other."""
        if day_of(until) != self._day:
            self._begin_day(after, day_of(until))
        planned = [
            *self._usage(after, until),
            *self._logins(after, until),
            *self._messages(after, until),
            *self._tickets(after, until),
            *self._surveys(after, until),
            *self._due(until),
        ]
        return sorted(planned, key=lambda one: one.at)

    def rate(self) -> float:
        """Events a second at present, on average."""
        return (self._weights[-1] if self._weights else 0.0) / (DAY / SECOND) + LOGINS + MESSAGES + TICKETS + SURVEYS

    def _begin_day(self, after: Millis, day: Day) -> None:
        self._day = day
        self._cells = [(account, cell) for account in self._accounts for cell in account.cells]
        uses = (planned_uses(self._seed, account, cell, day, self._calm) for account, cell in self._cells)
        self._weights = list(accumulate(map(float, uses)))
        self._coming = [
            planned
            for account in self._regular
            for planned in between_moments(self._seed, account, after, (day + 1) * DAY - 1, self._calm)
        ]
        self._coming.sort(key=lambda one: one.at, reverse=True)

    def _due(self, until: Millis) -> Iterator[Planned]:
        while self._coming and self._coming[-1].at <= until:
            yield self._coming.pop()

    def _moments(self, rate: float, after: Millis, until: Millis) -> Iterator[Millis]:
        """A Poisson process of `rate` a second. The exponential has no memory, so stretches join without a seam."""
        at = float(after)
        while rate > 0 and (at := at + self._random.expovariate(rate) * SECOND) <= until:
            yield max(after + 1, int(at))

    def _event(self, at: Millis, account: Account, type: str, **data: object) -> Planned:
        self._number += 1
        return Planned(at, account.id, type, f"live/{self._start}/{self._number}", data)

    def _usage(self, after: Millis, until: Millis) -> Iterator[Planned]:
        if not self._weights:
            return
        for at in self._moments(self._weights[-1] / (DAY / SECOND), after, until):
            place = bisect(self._weights, self._random.random() * self._weights[-1])
            account, cell = self._cells[place]
            person = self._random.choice(account.contacts).mail
            yield self._event(at, account, "usage.feature_used", feature=cell.feature, person=person)

    def _logins(self, after: Millis, until: Millis) -> Iterator[Planned]:
        for at, account in self._somebody(LOGINS, after, until):
            yield self._event(at, account, "usage.login", person=self._random.choice(account.contacts).mail)

    def _messages(self, after: Millis, until: Millis) -> Iterator[Planned]:
        for at, account in self._somebody(MESSAGES, after, until):
            type = self._random.choice(("message.received", "message.received", "message.sent"))
            said = {"text": self._random.choice(names.PLAIN + names.GOOD), "sentiment": 0.3}
            person = self._random.choice(account.contacts).mail
            yield self._event(at, account, type, channel="mail", person=person, **said)

    def _tickets(self, after: Millis, until: Millis) -> Iterator[Planned]:
        for at, account in self._somebody(TICKETS, after, until):
            ticket = f"{account.id}-{at}"
            self._open.append((at + SOLVED_AFTER, account, ticket))
            text = self._random.choice(names.TICKETS)
            yield self._event(at, account, "ticket.opened", ticket=ticket, priority="normal", text=text)
        while self._open and self._open[0][0] <= until:
            at, account, ticket = self._open.pop(0)
            yield self._event(at, account, "ticket.resolved", ticket=ticket)

    def _surveys(self, after: Millis, until: Millis) -> Iterator[Planned]:
        for at, account in self._somebody(SURVEYS, after, until):
            instrument, scores = self._random.choice((("csat", (4, 5)), ("nps", (8, 9, 10))))
            person = self._random.choice(account.contacts).mail
            score = self._random.choice(scores)
            yield self._event(at, account, "survey.answered", instrument=instrument, score=score, person=person)

    def _somebody(self, rate: float, after: Millis, until: Millis) -> Iterator[tuple[Millis, Account]]:
        for at in self._moments(rate if self._talkers else 0.0, after, until):
            yield at, self._random.choice(self._talkers)
