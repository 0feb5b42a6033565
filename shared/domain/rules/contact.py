"""Silence: longer without a word from them than is usual."""

from __future__ import annotations

from typing import Annotated

import msgspec
import numpy as np

from shared.domain.columns.row import Row
from shared.domain.columns.view import View
from shared.domain.contract.calendar import business_days_after, business_days_since
from shared.domain.contract.events import DAY
from shared.domain.relationship.flags import Evidence
from shared.domain.rules.declaration import (
    Params,
    RuleResult,
    Thresholds,
    Trigger,
    severities,
    state_rule,
    whole_relationships,
)

TOLD_FOR = 400 * DAY  # how long the reason of a silence is kept up to date


class SilenceParams(Params, frozen=True, kw_only=True):
    """Of silence: beyond what this relationship has been before."""

    minimum_days: Annotated[int, msgspec.Meta(ge=1, le=365, description="business days, at least")] = 5
    factor: Annotated[float, msgspec.Meta(ge=1, le=20, description="times the longest usual gap (95th percentile)")] = (
        1.5
    )
    minimum_touches: Annotated[
        int, msgspec.Meta(ge=2, le=1_000, description="gaps; fewer do not show what is usual")
    ] = 4


def _evidence(view: View, position: int, subject: str, numbers: dict[str, float]) -> Evidence:
    return Evidence(events=(view.rows[position].state.facts.last_in_event,))


def _words(row: Row, subject: str, numbers: dict[str, float]) -> str:
    facts = row.state.facts
    who = facts.last_in_person
    person = facts.people.get(who)
    role = f" ({person.role})" if person is not None and person.role else ""
    name = f"{who}{role}" if who else "they have been"
    days = "days" if row.state.directory.everyday else "business days"
    return f"{name} silent for {numbers['silent']:g} {days}, usual gap {numbers['usual']:g}"


@state_rule(
    SilenceParams,
    triggers=Trigger.TOUCHPOINT | Trigger.DIRECTORY,
    ended_by=Trigger.TOUCHPOINT | Trigger.DIRECTORY,
    words=_words,
    evidence=_evidence,
    cooldown_days=7,
    advice=(
        "Write or call today, with something of use to them rather than a reminder.",
        "If your contact does not answer, try a second person on their side.",
    ),
)
def silence(view: View, shares: Thresholds[SilenceParams]) -> RuleResult:
    """They have not been in touch for longer than ever is usual for them, in business days."""
    everyday = view.fact("everyday") > 0
    limit = np.maximum(shares.column("minimum_days"), shares.column("factor") * view.fact("high_gap"))
    known = view.fact("gaps") >= shares.column("minimum_touches")
    last = np.fmax(view.fact("last_in"), 0).astype(np.int64)
    due = np.where(known, business_days_after(last, limit, everyday), 0)
    fires = known & (view.at >= due)
    said_again = np.where(view.at - last < TOLD_FOR, view.next_day(), 0)  # one day more
    return whole_relationships(
        severities(fires, np.zeros_like(fires)),
        numbers={
            "silent": business_days_since(last, view.at, everyday).round(1),
            "limit": limit.round(1),
            "usual": view.fact("usual_gap").round(1),
        },
        due=np.where(fires, said_again, due),
    )
