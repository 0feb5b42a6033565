"""The rules there are. A new one is declared in a file beside this one, and named here."""

from __future__ import annotations

from shared.domain.rules.contact import silence
from shared.domain.rules.declaration import EventRule, Rule, StateRule, Trigger
from shared.domain.rules.money import price_change_planned
from shared.domain.rules.promises import expectation_violated
from shared.domain.rules.surveys import nps_detractor
from shared.domain.rules.usage import feature_decline, usage_drop

_ALL: tuple[Rule, ...] = (
    usage_drop,
    feature_decline,
    silence,
    expectation_violated,
    nps_detractor,
    price_change_planned,
)

RULES: dict[str, Rule] = {rule.name: rule for rule in _ALL}
"""By the name used in playbooks, alerts and metrics."""


def state_rules() -> list[StateRule]:
    """Those that are evaluated at canonical moments."""
    return [rule for rule in RULES.values() if isinstance(rule, StateRule)]


def event_rules(type: str) -> list[EventRule]:
    """Those that touchpoints of a type decide."""
    return [rule for rule in RULES.values() if isinstance(rule, EventRule) and type in rule.types]


def ended_by(rule: str) -> Trigger:
    """What may end a flag of a rule at once; nothing of an event rule's, or of one that is not (any more) known."""
    found = RULES.get(rule)
    return found.ended_by if isinstance(found, StateRule) else Trigger(0)
