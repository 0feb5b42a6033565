"""What they say of us in surveys."""

from __future__ import annotations

from typing import Annotated

import msgspec

from shared.domain.contract.events import DAY
from shared.domain.relationship.flags import Severity, flag_key
from shared.domain.relationship.state import RelationshipState
from shared.domain.relationship.touchpoints import Touchpoint
from shared.domain.rules.declaration import EventVerdict, Params, event_rule

STANDS_FOR = 90 * DAY  # how long an answer stands unless a better one comes
WORDS = 200  # characters of a text that a reason quotes


class DetractorParams(Params, frozen=True, kw_only=True):
    """Of nps_detractor."""

    detractor_max: Annotated[
        int, msgspec.Meta(ge=0, le=10, description="the highest score, of 0 to 10, that counts as a detractor's")
    ] = 6


@event_rule(
    DetractorParams,
    types=("survey.answered",),
    title="NPS detractor",
    cooldown_days=1,
    advice=(
        "Thank them and ask for the reason within a day.",
        "Write down what will change, and come back when it has.",
    ),
)
def nps_detractor(touch: Touchpoint, state: RelationshipState, params: DetractorParams) -> EventVerdict | None:
    """An NPS answer of a detractor (0-6; Reichheld 2003); a later, better answer of the same person clears it."""
    if touch.data["instrument"] != "nps" or _answered_since(touch, state):
        return None
    score = float(touch.data["score"])
    if score > params.detractor_max:
        return EventVerdict(touch.person, raised=False)
    said = str(touch.data.get("text", "")).strip()
    quote = f": “{said[:WORDS]}”" if said else ""
    return EventVerdict(
        touch.person,
        raised=True,
        severity=Severity.CRITICAL if score <= params.detractor_max / 2 else Severity.WARNING,
        reason=f"{touch.person or 'someone'} answered NPS with {score:g}{quote}",
        numbers={"score": score},
        until=touch.time + STANDS_FOR,
    )


def _answered_since(touch: Touchpoint, state: RelationshipState) -> bool:
    """Whether the same person's later answer is known: by the flag that it raised, or as the latest of all."""
    latest = state.facts.surveys.get("nps")
    if latest is not None and latest.person == touch.person and latest.at > touch.time:
        return True
    flag = state.flags.get(flag_key("nps_detractor", touch.person))
    return flag is not None and touch.event not in flag.evidence.events and flag.until - STANDS_FOR > touch.time
