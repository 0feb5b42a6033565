"""Event rules: what a touchpoint decides at once."""

from __future__ import annotations

from shared.domain.columns.row import Row
from shared.domain.contract.events import DAY, Millis
from shared.domain.engine.changes import Raised, clear_flag, raise_flag
from shared.domain.engine.terms import Terms
from shared.domain.playbooks.model import RuleSettings
from shared.domain.relationship.fence import Fence
from shared.domain.relationship.flags import Evidence, Why, flag_key
from shared.domain.relationship.state import has_ended
from shared.domain.relationship.touchpoints import Touchpoint
from shared.domain.rules.declaration import EventRule
from shared.domain.rules.table import event_rules

EVENT_FLAGS_KEPT = 200  # flags raised by events that stand at once; the one that ends first makes room


def judge(row: Row, touch: Touchpoint, at: Millis, terms: Terms, place: Fence, clears: Why = Why.ENDED) -> set[str]:
    """Let the event rules of a touchpoint, if any, speak at once; the keys of the flags they raise.

    `clears`: why a flag is cleared where they say so.
    """
    rules = event_rules(touch.type)
    if not rules or touch.backfill or touch.retracted or has_ended(row.state):
        return set()
    settings = terms.resolver.of(row.state)
    enabled = [rule for rule in rules if settings[rule.name].enabled]
    return {_judge(rule, row, touch, at, settings[rule.name], place, clears) for rule in enabled} - {""}


def _judge(
    rule: EventRule, row: Row, touch: Touchpoint, at: Millis, settings: RuleSettings, place: Fence, clears: Why
) -> str:
    """The key of the flag that a rule raises, "" if it raises none."""
    verdict = rule.judge(touch, row.state, settings.params)
    if verdict is None or (verdict.raised and at >= verdict.until):
        return ""
    if not verdict.raised:
        clear_flag(row, flag_key(rule.name, verdict.subject), at, place, clears)
        return ""
    flag = Raised(
        rule=rule.name,
        subject=verdict.subject,
        severity=settings.severity or verdict.severity,
        reason=verdict.reason,
        numbers=verdict.numbers,
        evidence=Evidence(events=(touch.event,)),
        until=verdict.until,
    )
    raise_flag(row, flag, at, place, round(settings.cooldown_days * DAY))
    _make_room(row, flag.key, at, place)
    return flag.key


def _make_room(row: Row, raised: str, at: Millis, place: Fence) -> None:
    """Clear what is beyond EVENT_FLAGS_KEPT: a state has to stay a document of bearable size."""
    others = sorted((flag.until, key) for key, flag in row.state.flags.items() if flag.until and key != raised)
    for _, key in others[: max(0, len(others) + 1 - EVENT_FLAGS_KEPT)]:
        clear_flag(row, key, at, place, Why.ROOM)
