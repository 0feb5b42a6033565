"""A month of many accounts, with weeks before it: everything that can come in, at awkward moments, some of it twice.

Deterministic: a seed and an account's number decide all that its events say. Each event is received at its own time.
What an account goes through is put together in `lives.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import msgspec

from shared.domain.contract.declaration import EventClass
from shared.domain.contract.events import DAY, HOUR, Interaction, Millis, relationship_key
from shared.domain.contract.times import parse_moment
from shared.domain.contract.types import event_type
from shared.domain.engine.terms import Terms, staggered
from shared.domain.playbooks.model import Match, Override, default_playbook
from shared.domain.relationship.flags import Severity

TENANT = "acme"
MONTH = parse_moment("2024-05-20T00:00:00Z")  # a Monday; well in the past of any broker
END = MONTH + 30 * DAY
BUSY = 2  # hours of a day of the month in which anything happens: what is evaluated in the same waves costs little
GUARD = 30_000  # ms after a step's end in which nothing happens: meanwhile its clock may go on

Steps = Sequence[tuple[Sequence[Interaction], Millis]]
"""What happens in each, and its end."""

FEATURES = ("api", "export", "reports", "a.b/c$d")  # names that a store must not take for paths
PEOPLE = ("ana@x.example", "bob", "cy.d", "$eve")


class Account:
    """One account: its chance, its traits, and what has been said of it so far."""

    def __init__(self, seed: int, number: int) -> None:
        self.seed = seed
        self.chance = chance = Random(f"{seed}/{number}")
        self.id = f"eu/acct-{number}" if number % 5 == 0 else f"acct-{number}"
        self.phase = staggered(relationship_key(TENANT, self.id))
        self.since = MONTH - chance.choice((3, 10, 17, 24, 24, 24)) * DAY
        self.exact = chance.random() < 0.4  # uses by whole numbers, the same every day
        self.people = chance.sample(PEOPLE, chance.randint(1, len(PEOPLE)))
        self.features = chance.sample(FEATURES, chance.randint(1, len(FEATURES) - 1))
        self.said: list[Interaction] = []

    def at(self, day: int) -> Millis:
        """A moment of this day of the month (negative: before it), sometimes on the very edge of something."""
        hours = Random(f"{self.seed} {day}").sample(range(24), BUSY if day >= 0 else 1)
        hour = MONTH + day * DAY + self.chance.choice(hours) * HOUR
        edge = self.chance.random()
        if edge < 0.1:
            return hour + self.phase + self.chance.choice((-1, 0, 0, 1))
        return hour if edge < 0.2 else hour + self.chance.randrange(HOUR)

    def day(self, first: float = 0, last: float = 30) -> int:
        """A day of the month, or before it."""
        return self.chance.randrange(int(first), int(last))

    def person(self) -> str:
        """Somebody on their side."""
        return self.chance.choice(self.people)

    def often(self, share: float) -> bool:
        """Whether something that happens so often does."""
        return self.chance.random() < share

    def say(self, at: Millis, type: str, id: str = "", /, **data: Any) -> Interaction:
        """Something happens, unless that is before the account is known or after the month."""
        raw = msgspec.Raw(msgspec.json.encode({name: value for name, value in data.items() if value is not None}))
        event = Interaction(TENANT, self.id, id or f"{type}/{len(self.said)}", "crm#1", type, at, raw)
        if self.since <= at < END:
            self.said.append(event)
        return event

    def touchpoints(self) -> list[Interaction]:
        """What is on its timeline."""
        return [one for one in self.said if event_type(one.type).kind is EventClass.TOUCHPOINT]


def steps(events: Sequence[Interaction], seed: int) -> Iterator[tuple[list[Interaction], Millis]]:
    """The events in spans of some hours (before the month: of a day), each with its end.

    An end may be the moment of its last event, but within GUARD after it none lies. No span goes beyond midnight: live,
    no partition is read by hours later than another.
    """
    chance, done, end = Random(seed), 0, events[0].time - 1
    while end < END:
        hours = chance.choice((8, 16)) if end >= MONTH else 24
        wanted = (end // HOUR + hours) * HOUR + chance.choice((0, 0, 1, chance.randrange(HOUR)))
        end = min(wanted, (end // DAY + 1) * DAY)
        upto = done
        while upto < len(events) and events[upto].time <= end + GUARD:
            end = max(end, events[upto].time)
            upto += 1
        end = END if end > END - HOUR else end
        yield list(events[done:upto]), end
        done = upto


def terms() -> Terms:
    """The built-in playbook, otherwise for some of the accounts."""
    playbook = default_playbook()
    small = Override(match=Match(segment=("small",)), cooldown_days=1.0, params={"warn": 0.3, "window_days": 5})
    golden = Override(match=Match(tier=("gold",)), severity=Severity.CRITICAL, params={"minimum_days": 2})
    strict = Override(match=Match(kind=("partner",)), cooldown_days=0.0)
    off = Override(match=Match(stage=("trial",)), enabled=False)
    rules = dict(playbook.rules)
    for name, settings in rules.items():
        known = settings.params.__struct_fields__
        overrides = [
            msgspec.structs.replace(one, params={key: value for key, value in one.params.items() if key in known})
            for one in (off, small, golden, strict)
        ]
        rules[name] = msgspec.structs.replace(settings, overrides=tuple(overrides))
    return Terms(msgspec.structs.replace(playbook, rules=rules))
