"""Promises of ours that break."""

from __future__ import annotations

from typing import Annotated

import msgspec
import numpy as np

from shared.domain.columns.row import Deadline, Row
from shared.domain.columns.view import View
from shared.domain.contract.calendar import subtract_business_days
from shared.domain.contract.days import iso
from shared.domain.contract.events import HOUR
from shared.domain.relationship.facts import Promise
from shared.domain.relationship.flags import Evidence
from shared.domain.rules.declaration import Params, RuleResult, Thresholds, Trigger, severities, state_rule

BROKEN_FOR = 30 * 24 * HOUR  # a broken promise stays a flag for this long unless it is kept after all


class ExpectationParams(Params, frozen=True, kw_only=True):
    """Of expectation_violated."""

    warn_hours: Annotated[
        float,
        msgspec.Meta(ge=0, le=720, description="business hours before the deadline (0: not before it)"),
    ] = 24.0


def _evidence(view: View, position: int, subject: str, numbers: dict[str, float]) -> Evidence:
    promise = view.rows[position].state.facts.promises[subject]
    events = (promise.event, promise.broken_by) if promise.broken_by not in ("", promise.event) else (promise.event,)
    return Evidence(events=events)


def _words(row: Row, subject: str, numbers: dict[str, float]) -> str:
    promise = row.state.facts.promises[subject]
    what = promise.text or subject
    if promise.broken_at:
        return f"promise broken: {what}"
    verb = "was due" if numbers["overdue"] else "is due"
    return f"promise {verb} {iso(promise.due)[:16].replace('T', ' ')} UTC and not kept: {what}"


def _of_today(row: Row, subject: str) -> bool:
    """A promise that did not come with the history that is being loaded."""
    return not row.state.facts.promises[subject].backfill


def _deadlines(row: Row, warn_days: float) -> list[Deadline]:
    """Of the promises of ours, made anew only where there is something new to make them from."""
    promises, everyday = row.state.facts.promises, row.state.directory.everyday
    known = row.promises
    if known[0] is promises and known[1:3] == (warn_days, everyday):
        return known[3]
    found = [_deadline(name, one, warn_days, everyday) for name, one in promises.items() if one.by != "them"]
    row.promises = promises, warn_days, everyday, found
    return found


def _deadline(name: str, promise: Promise, warn_days: float, everyday: bool) -> Deadline:
    if promise.broken_at:
        return Deadline(name, 0, promise.broken_at, promise.broken_at + BROKEN_FOR)
    early = subtract_business_days(promise.due, warn_days, everyday)
    return Deadline(name, early if warn_days and promise.made_at < early else 0, promise.due, 0)


@state_rule(
    ExpectationParams,
    triggers=Trigger.TOUCHPOINT | Trigger.DIRECTORY,
    ended_by=Trigger.TOUCHPOINT | Trigger.DIRECTORY,
    words=_words,
    evidence=_evidence,
    of_today=_of_today,
    title="Promise not kept",
    advice=(
        "Tell them where it stands before they ask.",
        "Give a new date that will hold, and say who answers for it.",
    ),
)
def expectation_violated(view: View, shares: Thresholds[ExpectationParams]) -> RuleResult:
    """A promise of ours: a warning before the deadline, critical once it has passed or was broken."""
    warnings, moments = (shares.column("warn_hours") / 24).tolist(), view.at.tolist()
    position: list[int] = []
    subject: list[str] = []
    late: list[bool] = []
    due = np.zeros(len(view), np.int64)
    for at in np.flatnonzero(view.fact("promises") > 0).tolist():
        now, first = moments[at], 0
        for name, early, broken, forgotten in _deadlines(view.rows[at], warnings[at]):
            for moment in (early, broken, forgotten):
                if moment > now and (moment < first or not first):
                    first = moment
            if (now >= broken or (early and now >= early)) and not (forgotten and now >= forgotten):
                position.append(at)
                subject.append(name)
                late.append(now >= broken)
        due[at] = first
    fires, critical = np.ones(len(position), np.bool_), np.array(late, np.bool_)
    return RuleResult(
        position=np.array(position, np.int64),
        subject=subject,
        severity=severities(fires, critical),
        stays=fires,
        numbers={"overdue": critical.astype(np.float64)},
        due=due,
    )
