"""Prices and terms."""

from __future__ import annotations

from typing import Annotated

import msgspec

from shared.domain.contract.events import DAY
from shared.domain.contract.times import parse_date_or_moment
from shared.domain.relationship.flags import Severity
from shared.domain.relationship.state import Kind, RelationshipState
from shared.domain.relationship.touchpoints import Touchpoint
from shared.domain.rules.declaration import EventVerdict, Params, event_rule

WORDS = 200  # characters of a text that a reason quotes

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class PriceChangeParams(Params, frozen=True, kw_only=True):
    """Of price_change_planned: whom it is a red flag for."""

    kinds: Annotated[tuple[Kind, ...], msgspec.Meta(description="stakeholder kinds it is a red flag for")] = (
        Kind.PARTNER,
    )
    types: Annotated[tuple[Text, ...], msgspec.Meta(description="relationship types it is a red flag for")] = (
        "partner",
        "bff",
    )


@event_rule(
    PriceChangeParams,
    types=("price.change_planned", "terms.change_planned"),
    cooldown_days=1,
    advice=(
        "Hold the announcement until the relationship manager has spoken with them.",
        "Settle what they get in return, or grant an exception.",
    ),
)
def price_change_planned(touch: Touchpoint, state: RelationshipState, params: PriceChangeParams) -> EventVerdict | None:
    """A price or terms change is planned for a relationship that would take it as a breach: before it goes out."""
    directory = state.directory
    types = {name.lower() for name in params.types}
    if directory.kind not in params.kinds and directory.type.lower() not in types:
        return None
    effective = parse_date_or_moment(touch.data["effective_at"])
    what = "price" if touch.type.startswith("price") else "terms"
    change = touch.data.get("change")
    how = f" ({change:+g})" if isinstance(change, int | float) else f" ({change[:WORDS]})" if change else ""
    return EventVerdict(
        f"{what}@{touch.data['effective_at']}",
        raised=True,
        severity=Severity.CRITICAL,
        reason=f"{what} change{how} planned for a {(directory.type or directory.kind)[:WORDS]},"
        f" effective {str(touch.data['effective_at'])[:10]}: talk to them before it goes out",
        numbers={"days_ahead": round((effective - touch.time) / DAY, 1)},
        until=max(effective, touch.time + DAY),
    )
