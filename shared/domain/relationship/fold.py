"""Folding touchpoints into facts, one by one in the order of the log. A rule table: event type → step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from shared.domain.contract.days import day_of
from shared.domain.contract.declaration import Direction
from shared.domain.contract.events import Millis
from shared.domain.contract.times import parse_date_or_moment
from shared.domain.relationship.facts import Facts, Person, Promise, Survey
from shared.domain.relationship.touchpoints import Touchpoint

PEOPLE_KEPT = 200  # persons remembered by name; the one silent longest goes first
OPEN_KEPT = 200  # open promises and tickets, and those that were settled; the oldest goes first
TEXT_KEPT = 300  # characters of a promise: all of it is on the timeline
DAYS_KEPT = 64  # inbound days from which the cadence is learned

FactStep = Callable[[Facts, Touchpoint], dict[str, Any]]
"""What changes in the facts: field → new value."""


def fold_touchpoint(facts: Facts, touch: Touchpoint) -> Facts:
    """The facts after one more touchpoint. Retracted ones leave no trace."""
    if touch.retracted:
        return facts
    changes = _contact(facts, touch)
    step = STEPS.get(touch.type)
    if step is not None:
        changes.update(step(facts, touch))
    if "sentiment" in touch.data:
        changes["sentiment_sum"] = facts.sentiment_sum + float(touch.data["sentiment"])
        changes["sentiment_count"] = facts.sentiment_count + 1
    return msgspec.structs.replace(facts, **changes) if changes else facts


def fold_timeline(timeline: Iterable[Touchpoint]) -> Facts:
    """The facts of a whole timeline, which must be in the order of the log."""
    facts = Facts()
    for touch in timeline:
        facts = fold_touchpoint(facts, touch)
    return facts


def leaves_a_trace(facts: Facts, touch: Touchpoint, same_day: float) -> bool:
    """Whether the facts of a timeline would perhaps be others without one of its entries, which `facts` has folded.

    `same_day`: how many inbound touches there are on its day, itself among them. Of most entries nothing is left in the
    facts: later ones have taken their place. Sums, steps and evictions are not looked into: they may leave one.
    """
    if touch.retracted:
        return False
    if touch.type in STEPS or "sentiment" in touch.data or len(facts.people) >= PEOPLE_KEPT:
        return True
    inbound = touch.direction in (Direction.INBOUND, Direction.MUTUAL)
    outbound = touch.direction in (Direction.OUTBOUND, Direction.MUTUAL)
    if (inbound or outbound) and touch.time <= facts.first_touch:
        return True
    if outbound and touch.time >= facts.last_out:
        return True
    return inbound and (
        touch.event == facts.last_in_event
        or any(facts.people.get(name, Person()).last_event == touch.event for name in _people(touch))
        or not _is_shared(facts, day_of(touch.time), same_day)
    )


def _is_shared(facts: Facts, day: int, same_day: float) -> bool:
    """Whether a day stays among the inbound days, or out of them, with one touch less."""
    if day in facts.inbound_days:
        return same_day > 1.5
    return len(facts.inbound_days) == DAYS_KEPT and day < facts.inbound_days[0]


def _contact(facts: Facts, touch: Touchpoint) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    inbound = touch.direction in (Direction.INBOUND, Direction.MUTUAL)
    outbound = touch.direction in (Direction.OUTBOUND, Direction.MUTUAL)
    if (inbound or outbound) and (not facts.first_touch or touch.time < facts.first_touch):
        changes["first_touch"] = touch.time
    if outbound and touch.time > facts.last_out:
        changes["last_out"] = touch.time
    if inbound:
        changes["inbound_days"] = _with_day(facts.inbound_days, day_of(touch.time))
        if touch.time > facts.last_in:
            changes.update(last_in=touch.time, last_in_event=touch.event, last_in_person=touch.person)
        people = facts.people
        for name in _people(touch):
            known = people.get(name, Person())
            if touch.time > known.last_in:
                person = msgspec.structs.replace(known, last_in=touch.time, last_event=touch.event)
                people = changes["people"] = _with_person(people, name, person)
    return changes


def _people(touch: Touchpoint) -> list[str]:
    people = touch.data.get("people")
    if isinstance(people, list):
        return [name for name in people if isinstance(name, str)]
    return [touch.person] if touch.person else []


def _with_day(days: tuple[int, ...], day: int) -> tuple[int, ...]:
    if day in days:
        return days
    return tuple(sorted((*days, day))[-DAYS_KEPT:])


def _with_person(people: dict[str, Person], name: str, person: Person) -> dict[str, Person]:
    grown = {**people, name: person}
    if len(grown) > PEOPLE_KEPT:
        del grown[min(grown, key=lambda other: (grown[other].last_in, other))]
    return grown


def _with_open(items: dict[str, Any], name: str, item: Any, age: Callable[[Any], Millis]) -> dict[str, Any]:
    grown = {**items, name: item}
    if len(grown) > OPEN_KEPT:
        del grown[min(grown, key=lambda other: (age(grown[other]), other))]
    return grown


def _without(items: dict[str, Any], name: str) -> dict[str, Any]:
    return {other: item for other, item in items.items() if other != name}


def _settled(facts: Facts, touch: Touchpoint, what: str) -> dict[str, Any]:
    """What was kept or resolved stays so, although word of its beginning may come later."""
    name = f"{what}/{touch.data[what]}"
    at = max(touch.time, facts.settled.get(name, 0))
    return {"settled": _with_open(facts.settled, name, at, int)}


def _is_settled(facts: Facts, touch: Touchpoint, what: str) -> bool:
    return facts.settled.get(f"{what}/{touch.data[what]}", -1) >= touch.time


def _promise_made(facts: Facts, touch: Touchpoint) -> dict[str, Any]:
    data = touch.data
    if _is_settled(facts, touch, "promise"):
        return {}
    promise = Promise(
        due=parse_date_or_moment(data["due"]),
        by=str(data.get("by", "us")),
        made_at=touch.time,
        event=touch.event,
        text=str(data.get("text", ""))[:TEXT_KEPT],
        backfill=touch.backfill,
    )
    return {"promises": _with_open(facts.promises, str(data["promise"]), promise, lambda made: made.made_at)}


def _promise_kept(facts: Facts, touch: Touchpoint) -> dict[str, Any]:
    name = str(touch.data["promise"])
    made = facts.promises.get(name)
    kept = {"promises_kept": facts.promises_kept + 1, **_settled(facts, touch, "promise")}
    if made is not None and made.made_at > touch.time:  # made anew since
        return kept
    return {"promises": _without(facts.promises, name), **kept}


def _promise_broken(facts: Facts, touch: Touchpoint) -> dict[str, Any]:
    name = str(touch.data["promise"])
    if _is_settled(facts, touch, "promise"):
        return {"promises_broken": facts.promises_broken + 1}
    known = facts.promises.get(name) or Promise(
        due=touch.time,
        by=str(touch.data.get("by", "us")),
        made_at=touch.time,
        event=touch.event,
        backfill=touch.backfill,
    )
    broken = msgspec.structs.replace(known, broken_at=touch.time, broken_by=touch.event, backfill=touch.backfill)
    return {
        "promises": _with_open(facts.promises, name, broken, lambda made: made.made_at),
        "promises_broken": facts.promises_broken + 1,
    }


def _ticket_open(facts: Facts, touch: Touchpoint) -> dict[str, Any]:
    if _is_settled(facts, touch, "ticket"):
        return {}
    return {"tickets": _with_open(facts.tickets, str(touch.data["ticket"]), touch.time, int)}


def _ticket_resolved(facts: Facts, touch: Touchpoint) -> dict[str, Any]:
    name = str(touch.data["ticket"])
    resolved = _settled(facts, touch, "ticket")
    if facts.tickets.get(name, 0) > touch.time:  # reopened since
        return resolved
    return {"tickets": _without(facts.tickets, name), **resolved}


def _escalated(facts: Facts, touch: Touchpoint) -> dict[str, Any]:
    return {"escalations": facts.escalations + 1}


def _survey(facts: Facts, touch: Touchpoint) -> dict[str, Any]:
    instrument = str(touch.data["instrument"])
    known = facts.surveys.get(instrument)
    if known is not None and known.at > touch.time:
        return {}
    answer = Survey(score=float(touch.data["score"]), at=touch.time, event=touch.event, person=touch.person)
    return {"surveys": {**facts.surveys, instrument: answer}}


def _counting(field: str) -> FactStep:
    return lambda facts, touch: {field: getattr(facts, field) + 1}


def _person(change: Callable[[Person, Touchpoint], Person]) -> FactStep:
    def step(facts: Facts, touch: Touchpoint) -> dict[str, Any]:
        name = str(touch.data["person"])
        changed = change(facts.people.get(name, Person()), touch)
        return {"people": _with_person(facts.people, name, changed)}

    return step


def _role(person: Person, touch: Touchpoint) -> Person:
    left_at = person.left_at if touch.time < person.left_at else 0
    return msgspec.structs.replace(person, role=str(touch.data.get("role", person.role)), left_at=left_at)


def _left(person: Person, touch: Touchpoint) -> Person:
    return msgspec.structs.replace(person, left_at=touch.time)


STEPS: dict[str, FactStep] = {
    "promise.made": _promise_made,
    "promise.kept": _promise_kept,
    "promise.broken": _promise_broken,
    "ticket.opened": _ticket_open,
    "ticket.reopened": _ticket_open,
    "ticket.resolved": _ticket_resolved,
    "ticket.escalated": _escalated,
    "survey.answered": _survey,
    "payment.received": _counting("payments"),
    "payment.overdue": _counting("payments_overdue"),
    "referral.given": _counting("referrals"),
    "outcome.achieved": _counting("outcomes"),
    "person.joined": _person(_role),
    "person.role_changed": _person(_role),
    "person.left": _person(_left),
    "person.unreachable": _person(_left),
}
