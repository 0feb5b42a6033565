"""Rules that one event decides, at once: a table from event type to rule."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from shared.domain.contract.events import DAY, Millis
from shared.domain.contract.times import parse_date_or_moment
from shared.domain.playbooks.model import DetractorParams, Playbook, PriceChangeParams
from shared.domain.relationship.flags import Rule, Severity, flag_key
from shared.domain.relationship.state import RelationshipState
from shared.domain.relationship.touchpoints import Touchpoint

DETRACTOR_FOR = 90 * DAY  # how long an answer stands unless a better one comes
WORDS = 200  # characters of a text that a reason quotes


class Verdict(msgspec.Struct, frozen=True):
    """What an event rule says: raise a flag (until a moment, at the latest), or clear it."""

    rule: Rule
    subject: str
    raised: bool
    severity: Severity = Severity.WARNING
    reason: str = ""
    numbers: dict[str, float] = {}
    until: Millis = 0


EventRule = Callable[[Touchpoint, RelationshipState, Playbook], Verdict | None]


def nps_detractor(touch: Touchpoint, state: RelationshipState, playbook: Playbook) -> Verdict | None:
    """An NPS answer of a detractor (0-6; Reichheld 2003); a later, better answer of the same person clears it."""
    if touch.data["instrument"] != "nps" or _answered_since(touch, state):
        return None
    params = playbook.params(Rule.NPS_DETRACTOR, DetractorParams)
    score = float(touch.data["score"])
    if score > params.detractor_max:
        return Verdict(Rule.NPS_DETRACTOR, touch.person, raised=False)
    said = str(touch.data.get("text", "")).strip()
    quote = f": “{said[:WORDS]}”" if said else ""
    return Verdict(
        Rule.NPS_DETRACTOR,
        touch.person,
        raised=True,
        severity=Severity.CRITICAL if score <= params.detractor_max / 2 else Severity.WARNING,
        reason=f"{touch.person or 'someone'} answered NPS with {score:g}{quote}",
        numbers={"score": score},
        until=touch.time + DETRACTOR_FOR,
    )


def _answered_since(touch: Touchpoint, state: RelationshipState) -> bool:
    """Whether the same person's later answer is known: by the flag that it raised, or as the latest of all."""
    latest = state.facts.surveys.get("nps")
    if latest is not None and latest.person == touch.person and latest.at > touch.time:
        return True
    flag = state.flags.get(flag_key(Rule.NPS_DETRACTOR, touch.person))
    return flag is not None and touch.event not in flag.evidence.events and flag.until - DETRACTOR_FOR > touch.time


def price_change_planned(touch: Touchpoint, state: RelationshipState, playbook: Playbook) -> Verdict | None:
    """A price or terms change is planned for a relationship that would take it as a breach: before it goes out."""
    params = playbook.params(Rule.PRICE_CHANGE_PLANNED, PriceChangeParams)
    directory = state.directory
    types = {name.lower() for name in params.types}
    if directory.kind not in params.kinds and directory.type.lower() not in types:
        return None
    effective = parse_date_or_moment(touch.data["effective_at"])
    what = "price" if touch.type.startswith("price") else "terms"
    change = touch.data.get("change")
    how = f" ({change:+g})" if isinstance(change, int | float) else f" ({change[:WORDS]})" if change else ""
    return Verdict(
        Rule.PRICE_CHANGE_PLANNED,
        f"{what}@{touch.data['effective_at']}",
        raised=True,
        severity=Severity.CRITICAL,
        reason=f"{what} change{how} planned for a {(directory.type or directory.kind)[:WORDS]},"
        f" effective {str(touch.data['effective_at'])[:10]}: talk to them before it goes out",
        numbers={"days_ahead": round((effective - touch.time) / DAY, 1)},
        until=max(effective, touch.time + DAY),
    )


EVENT_RULES: dict[str, EventRule] = {
    "survey.answered": nps_detractor,
    "price.change_planned": price_change_planned,
    "terms.change_planned": price_change_planned,
}
