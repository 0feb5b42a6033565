"""What happens to a relationship: use of five features by several persons, mails, meetings, surveys, promises."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from bench.throughput_log import TENANT, framed
from bench.throughput_store import NAME
from shared import wire
from shared.domain.contract.days import Day, iso
from shared.domain.contract.events import DAY, HOUR, MINUTE, Interaction, Millis, relationship_key
from shared.stream.frames import clock_message
from shared.stream.ports import Record

START: Day = 20_255  # 2025-06-16, a Monday: what is measured begins at its midnight
DAYS = 90  # of history before
LIVE_DAYS = 33  # the last of them; what was before has been loaded, and was evaluated at its end alone
PERSONS = 6
FEATURES = ("reports", "search", "export", "dashboard", "billing")
SHARES = (0.4, 0.25, 0.15, 0.12, 0.08)  # of the use
WORK_BEGINS, WORK_HOURS = 7 * HOUR, 12 * HOUR  # UTC
WEEKEND = 0.2  # of a working day's use
FALLS, FALLS_DAYS, LEFT = 8, 6, 0.2  # one in so many relationships uses this share of what it did, since so many days
SILENT, SILENT_DAYS = 9, 20  # one in so many has not written since so many days
LATE = 10  # one in so many waits for something that we have promised

Told = tuple[Millis, str, dict[str, Any]]
"""When, what, and its data."""


def history(number: int, rng: np.random.Generator, until: Day = START, daily: float = 10.0) -> list[Told]:
    """All that has happened to a relationship in the DAYS before `until`, `daily` uses on a working day."""
    told: list[Told] = [((until - DAYS) * DAY, "relationship.updated", {"name": f"Account {number}", "seats": 40})]
    for day in range(until - DAYS, until):
        falls = number % FALLS == 0 and day >= until - FALLS_DAYS
        told += uses(number, day, daily * (LEFT if falls else 1.0), rng)
        if number % SILENT or day < until - SILENT_DAYS:
            told += touches(number, day, rng)
    return sorted([*told, *promises(number, until)], key=lambda one: one[0])


def uses(number: int, day: Day, daily: float, rng: np.random.Generator) -> Iterator[Told]:
    """Uses of a day."""
    count = int(rng.poisson(daily * (1.0 if working(day) else WEEKEND)))
    features = rng.choice(len(FEATURES), count, p=SHARES).tolist()
    for feature, at in zip(features, hours(day, count, rng), strict=True):
        data = {"feature": FEATURES[feature], "person": _person(number, rng), "quantity": int(rng.integers(1, 4))}
        yield at, "usage.feature_used", data


def touches(number: int, day: Day, rng: np.random.Generator) -> Iterator[Told]:
    """They write every other working day and we mostly answer; a meeting every other week, a survey each month."""
    if not working(day):
        return
    person, survey = {"person": _person(number, rng)}, {"instrument": "nps", "score": int(rng.integers(7, 11))}
    for share, type, data in (
        (0.5, "message.received", {"channel": "email"}),
        (0.4, "message.sent", {"channel": "email"}),
        (0.1, "meeting.held", {"channel": "meeting", "minutes": 30}),
        (0.05, "survey.answered", survey),
    ):
        if rng.random() < share:
            yield hours(day, 1, rng)[0], type, {**data, **person}


def promises(number: int, until: Day) -> Iterator[Told]:
    """One that was kept, and one that is open: it is not due in the days that are measured, except with few."""
    due = until + (20 if number % LATE else -2)
    made, kept = (until - 30) * DAY + 9 * HOUR, (until - 25) * DAY + 15 * HOUR
    yield made, "promise.made", {"promise": "review", "by": "us", "due": iso(kept + DAY), "text": "Review the setup"}
    yield kept, "promise.kept", {"promise": "review"}
    yield made, "promise.made", {"promise": "roadmap", "by": "us", "due": iso(due * DAY), "text": "Show the roadmap"}


def working(day: Day) -> bool:
    """Monday to Friday."""
    return (day + 3) % 7 < 5


def hours(day: Day, count: int, rng: np.random.Generator) -> list[Millis]:
    """Moments of a working day, in order."""
    found: list[Millis] = (day * DAY + WORK_BEGINS + np.sort(rng.integers(0, WORK_HOURS, count))).tolist()
    return found


def _person(number: int, rng: np.random.Generator) -> str:
    return f"user{int(rng.integers(PERSONS))}@{NAME.format(number)}.example"


# --- as records ------------------------------------------------------------------------------------------------------


def key_of(number: int) -> str:
    """`tenant/relationship`."""
    return relationship_key(TENANT, NAME.format(number))


def record(number: int, told: Told, offset: int) -> Record:
    """A record of its own, received when it happened."""
    at, type, data = told
    id = f"{offset:08x}-{at:012x}"
    raw, loaded = msgspec.Raw(wire.encode(data)), at < (START - LIVE_DAYS) * DAY
    event = Interaction(TENANT, NAME.format(number), id, "app.acme.example", type, at, raw, loaded)
    return framed(event, at, offset)


def clock_record(at: Millis, offset: int) -> Record:
    """A clock record of that moment."""
    message = clock_message(at, "")
    return Record(offset, at, None, message.value, message.headers)


def of_the_hour(number: int, at: Millis, rng: np.random.Generator) -> Iterator[Told]:
    """One to three events in the hour before `at`: mostly use, one in twenty a mail."""
    for before in np.sort(rng.integers(MINUTE, HOUR, int(rng.integers(1, 4))))[::-1].tolist():
        person = _person(number, rng)
        if rng.random() < 0.05:
            yield at - before, "message.received", {"channel": "email", "person": person}
        else:
            feature = FEATURES[int(rng.choice(len(FEATURES), p=SHARES))]
            yield at - before, "usage.feature_used", {"feature": feature, "person": person, "quantity": 1}
