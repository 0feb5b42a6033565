"""Silence, and promises that break."""

from __future__ import annotations

import numpy as np

from shared.domain.columns.row import Row
from shared.domain.columns.view import View
from shared.domain.contract.days import iso
from shared.domain.contract.events import HOUR, Millis
from shared.domain.playbooks.model import ExpectationParams, Playbook, SilenceParams
from shared.domain.relationship.facts import Promise
from shared.domain.relationship.flags import Evidence, Rule
from shared.domain.rules.cadence import silence_due
from shared.domain.rules.calendar import EVERYDAY, business_days_between, subtract_business_days
from shared.domain.rules.declaration import RuleResult, state_rule

BROKEN_FOR = 30 * 24 * HOUR  # a broken promise stays a flag for this long unless it is kept after all


def works_every_day(row: Row) -> bool:
    """Whether the relationship's calendar has no weekends."""
    return row.state.directory.custom.get("calendar") == EVERYDAY


def _silence_evidence(view: View, position: int, subject: str, numbers: dict[str, float]) -> Evidence:
    return Evidence(events=(view.rows[position].state.facts.last_in_event,))


def _silence_words(row: Row, subject: str, numbers: dict[str, float]) -> str:
    facts = row.state.facts
    who = facts.last_in_person
    person = facts.people.get(who)
    role = f" ({person.role})" if person is not None and person.role else ""
    name = f"{who}{role}" if who else "they"
    days = "days" if works_every_day(row) else "business days"
    return f"{name} silent for {numbers['silent']:.0f} {days}, usual gap {numbers['usual']:.0f}"


@state_rule(Rule.SILENCE, _silence_evidence, _silence_words)
def silence(view: View, playbook: Playbook) -> RuleResult:
    """They have not been in touch for longer than ever is usual for them, in business days."""
    params = playbook.params(Rule.SILENCE, SilenceParams)
    everyday = [works_every_day(row) for row in view.rows]
    learned = [
        silence_due(row.state.facts, every, params) if row.state.facts.inbound_days else (0, 0.0, 0.0)
        for row, every in zip(view.rows, everyday, strict=True)
    ]
    due = np.array([moment for moment, _, _ in learned], np.int64)
    fires = (due > 0) & (view.at >= due)
    silent = [
        business_days_between(row.state.facts.last_in, int(at), every) if hit else 0.0
        for row, at, every, hit in zip(view.rows, view.at, everyday, fires, strict=True)
    ]
    return RuleResult(
        position=np.arange(len(view)),
        subject=[""] * len(view),
        fires=fires,
        stays=fires,
        critical=np.zeros(len(view), np.bool_),
        numbers={
            "silent": np.array(silent),
            "limit": np.array([limit for _, limit, _ in learned]),
            "usual": np.array([usual for _, _, usual in learned]),
        },
        due=np.where(due > view.at, due, 0),
    )


def _promise_evidence(view: View, position: int, subject: str, numbers: dict[str, float]) -> Evidence:
    promise = view.rows[position].state.facts.promises[subject]
    events = (promise.event, promise.broken_by) if promise.broken_by not in ("", promise.event) else (promise.event,)
    return Evidence(events=events)


def _promise_words(row: Row, subject: str, numbers: dict[str, float]) -> str:
    promise = row.state.facts.promises[subject]
    what = promise.text or subject
    if promise.broken_at:
        return f"promise broken: {what}"
    verb = "was due" if numbers["overdue"] else "is due"
    return f"promise {verb} {iso(promise.due)[:16].replace('T', ' ')} UTC and not kept: {what}"


def _moments(promise: Promise, warn_days: float, everyday: bool) -> tuple[Millis, Millis, Millis]:
    """When a promise warns (0 = not), when it breaks, and when it is forgotten (0 = not)."""
    if promise.broken_at:
        return 0, promise.broken_at, promise.broken_at + BROKEN_FOR
    early = subtract_business_days(promise.due, warn_days, everyday)
    return (early if warn_days and promise.made_at < early else 0), promise.due, 0


@state_rule(Rule.EXPECTATION_VIOLATED, _promise_evidence, _promise_words)
def expectation_violated(view: View, playbook: Playbook) -> RuleResult:
    """A promise of ours: a warning before the deadline, critical once it has passed or was broken."""
    warn_days = playbook.params(Rule.EXPECTATION_VIOLATED, ExpectationParams).warn_hours / 24
    position: list[int] = []
    subject: list[str] = []
    late: list[bool] = []
    due = np.zeros(len(view), np.int64)
    for at, row in enumerate(view.rows):
        now = int(view.at[at])
        ahead: list[int] = []
        for name, promise in row.state.facts.promises.items():
            if promise.by == "them":
                continue
            early, broken, forgotten = _moments(promise, warn_days, works_every_day(row))
            ahead += [moment for moment in (early, broken, forgotten) if moment > now]
            if (now >= broken or (early and now >= early)) and not (forgotten and now >= forgotten):
                position.append(at)
                subject.append(name)
                late.append(now >= broken)
        due[at] = min(ahead, default=0)
    fires = np.ones(len(position), np.bool_)
    return RuleResult(
        position=np.array(position, np.int64),
        subject=subject,
        fires=fires,
        stays=fires,
        critical=np.array(late, np.bool_),
        numbers={"overdue": np.array(late, np.float64)},
        due=due,
    )
