"""A playbook: which rules run, at which thresholds, who is told, and what to do next. Values only, no YAML.

Its schema, its defaults and its documentation derive from the rules' declarations.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import msgspec

from shared.domain.relationship.flags import Severity
from shared.domain.rules.declaration import Params, Rule
from shared.domain.rules.table import RULES

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
CooldownDays = Annotated[float, msgspec.Meta(ge=0, le=365)]


class ChannelName(StrEnum):
    """Where an alert can be delivered. A channel that is not set up is passed over."""

    WEBHOOK = "webhook"
    LOG = "log"


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """Which relationships: every attribute that is given must have one of its values, without regard to case."""

    tenant: tuple[Text, ...] = ()
    kind: tuple[Text, ...] = ()
    type: tuple[Text, ...] = ()
    segment: tuple[Text, ...] = ()
    tier: tuple[Text, ...] = ()
    stage: tuple[Text, ...] = ()


class Override(msgspec.Struct, frozen=True, kw_only=True):
    """What is otherwise for some relationships; None is as the rule has it, and so are parameters not in `params`."""

    match: Match
    enabled: bool | None = None
    severity: Severity | None = None
    cooldown_days: CooldownDays | None = None
    params: dict[str, Any] = {}


class RuleSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One rule: on or off, its severity if other than the rule's own, cooldown, channels, next steps and parameters.

    Within `cooldown_days` of having been raised, the same flag is not raised again unless it is worse (0 = at once), or
    was taken away without having ended (relationship.flags.TAKEN_AWAY).
    Of `overrides`, the first one that matches is laid over all that.
    """

    enabled: bool = True
    severity: Severity | None = None
    cooldown_days: CooldownDays = 0.0
    channels: tuple[ChannelName, ...] = ()
    advice: tuple[Text, ...] = ()
    params: Params
    overrides: tuple[Override, ...] = ()


class Playbook(msgspec.Struct, frozen=True, kw_only=True):
    """Settings for every rule there is; `version` is whatever its author counts by."""

    version: Annotated[str, msgspec.Meta(min_length=1, max_length=50)]
    rules: dict[str, RuleSettings]


def default_playbook() -> Playbook:
    """Every rule as it declares itself, delivered to every channel that is set up."""
    return Playbook(version="1", rules={name: _settings(rule) for name, rule in RULES.items()})


def _settings(rule: Rule) -> RuleSettings:
    return RuleSettings(
        cooldown_days=rule.cooldown_days, channels=tuple(ChannelName), advice=rule.advice, params=rule.params()
    )
