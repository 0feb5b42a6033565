"""When the silence of a relationship with these facts would be too long, by the built-in rule."""

from __future__ import annotations

from shared.domain.contract.calendar import add_business_days
from shared.domain.contract.events import Millis
from shared.domain.relationship.cadence import cadence
from shared.domain.relationship.facts import Facts
from shared.domain.rules.contact import SilenceParams


def silence_due(facts: Facts, everyday: bool) -> tuple[Millis, float, float]:
    """The moment (0: no cadence is known yet), the limit and the usual gap, in business days."""
    params, known = SilenceParams(), cadence(facts.inbound_days, everyday)
    if known.gaps < params.minimum_touches:
        return 0, 0.0, known.usual
    limit = max(params.minimum_days, params.factor * known.high)
    return add_business_days(facts.last_in, limit, everyday), limit, known.usual
