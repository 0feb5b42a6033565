"""A playbook: which rules run, at which thresholds, who is told, and what to do next. Values only, no YAML."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, TypeVar

import msgspec

from shared.domain.relationship.flags import Rule, Severity
from shared.domain.relationship.state import Kind

Share = Annotated[float, msgspec.Meta(gt=0, lt=1)]
Days = Annotated[int, msgspec.Meta(ge=1, le=365)]
Weeks = Annotated[int, msgspec.Meta(ge=2, le=52)]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


LONGEST_LOOK = 390  # days that a rule may look back: the series of shared.domain.columns.block reach 400


class ChannelName(StrEnum):
    """Where an alert can be delivered. A channel that is not set up is passed over."""

    WEBHOOK = "webhook"
    LOG = "log"


class Params(msgspec.Struct, frozen=True, kw_only=True):
    """The thresholds of a rule."""


class DropParams(Params, frozen=True, kw_only=True):
    """Of usage_drop and feature_decline: use in the window against the relationship's own weekday baseline.

    `warn` and `critical` are the shares by which use has fallen, `minimum` the uses expected in the window below which
    nothing is said, `significance` the probability of so little use by chance above which nothing is said.
    """

    window_days: Days = 7
    baseline_weeks: Weeks = 8
    warn: Share = 0.20
    critical: Share = 0.50
    minimum: Annotated[float, msgspec.Meta(ge=1, le=1_000_000)] = 20.0
    significance: Share = 0.01

    def __post_init__(self) -> None:
        if self.critical < self.warn:
            raise ValueError(f"critical ({self.critical}) must not be below warn ({self.warn})")
        if self.window_days + 7 * self.baseline_weeks > LONGEST_LOOK:
            raise ValueError(
                f"window_days + 7 × baseline_weeks ({self.window_days + 7 * self.baseline_weeks}) must not be above"
                f" {LONGEST_LOOK}: counts are not kept at hand for longer"
            )


class SilenceParams(Params, frozen=True, kw_only=True):
    """Of silence: `factor` times the usual gap, at least `minimum_days` business days, learned from enough touches."""

    minimum_days: Days = 5
    factor: Annotated[float, msgspec.Meta(ge=1, le=20)] = 1.5
    minimum_touches: Annotated[int, msgspec.Meta(ge=2, le=1_000)] = 4


class ExpectationParams(Params, frozen=True, kw_only=True):
    """Of expectation_violated: how many business hours before the deadline to warn (0 = not before it is broken)."""

    warn_hours: Annotated[float, msgspec.Meta(ge=0, le=720)] = 24.0


class DetractorParams(Params, frozen=True, kw_only=True):
    """Of nps_detractor: the highest score, of 0 to 10, that counts as a detractor's."""

    detractor_max: Annotated[int, msgspec.Meta(ge=0, le=10)] = 6


class PriceChangeParams(Params, frozen=True, kw_only=True):
    """Of price_change_planned: whom it is a red flag for, by stakeholder kind or by the company's relationship type."""

    kinds: tuple[Kind, ...] = (Kind.PARTNER,)
    types: tuple[Text, ...] = ("partner", "bff")


P = TypeVar("P", bound=Params)

PARAMS: dict[Rule, type[Params]] = {
    Rule.USAGE_DROP: DropParams,
    Rule.FEATURE_DECLINE: DropParams,
    Rule.SILENCE: SilenceParams,
    Rule.EXPECTATION_VIOLATED: ExpectationParams,
    Rule.NPS_DETRACTOR: DetractorParams,
    Rule.PRICE_CHANGE_PLANNED: PriceChangeParams,
}


class RuleSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One rule: on or off, its severity if other than the rule's own, cooldown, channels, next steps and thresholds.

    Within `cooldown_days` of having been raised, the same flag is not raised again unless it is worse (0 = at once).
    """

    enabled: bool = True
    severity: Severity | None = None
    cooldown_days: Annotated[float, msgspec.Meta(ge=0, le=365)] = 0.0
    channels: tuple[ChannelName, ...] = ()
    advice: tuple[Text, ...] = ()
    params: Params


class Playbook(msgspec.Struct, frozen=True, kw_only=True):
    """Settings for every rule there is; `version` is whatever its author counts by."""

    version: Annotated[str, msgspec.Meta(min_length=1, max_length=50)]
    rules: dict[Rule, RuleSettings]

    def params(self, rule: Rule, kind: type[P]) -> P:
        """The thresholds of a rule; TypeError where they are not of this kind (a defect)."""
        found = self.rules[rule].params
        if not isinstance(found, kind):
            raise TypeError(f"{rule} has {type(found).__name__}, not {kind.__name__}")
        return found


def bare_playbook() -> Playbook:
    """Every rule with its default thresholds, no channels and no advice: what the built-in file is laid over."""
    return Playbook(version="0", rules={rule: RuleSettings(params=kind()) for rule, kind in PARAMS.items()})
