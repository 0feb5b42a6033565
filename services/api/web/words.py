"""Touchpoints in words: an icon, a title and a line of detail."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal, localcontext

import msgspec

from shared.domain.contract.declaration import Direction
from shared.domain.contract.events import Millis
from shared.domain.relationship.touchpoints import Touchpoint

# The part of a type before the dot → icon.
_ICONS: dict[str, str] = {
    "message": "message",
    "meeting": "meeting",
    "interview": "meeting",
    "one_to_one": "meeting",
    "ticket": "ticket",
    "survey": "survey",
    "review": "survey",
    "invoice": "money",
    "payment": "money",
    "order": "money",
    "price": "money",
    "terms": "contract",
    "contract": "contract",
    "promise": "promise",
    "expectation": "promise",
    "commitment": "promise",
    "outcome": "check",
    "person": "person",
    "referral": "people",
    "event": "people",
    "note": "note",
    "report": "contract",
    "question": "message",
    "mention": "message",
    "campaign": "message",
    "contribution": "code",
    "delivery": "check",
    "defect": "alert",
    "dispute": "alert",
}

_TITLES: dict[str, str] = {
    "message.sent": "Message to them",
    "message.received": "Message from them",
    "price.change_planned": "Price change planned",
    "terms.change_planned": "Change of terms planned",
    "one_to_one.held": "One-to-one held",
    "person.role_changed": "Role changed",
}

# What is worth a line, in this order, as far as an event carries it.
_DETAILS = (
    "subject",
    "title",
    "ticket",
    "text",
    "promise",
    "instrument",
    "score",
    "role",
    "priority",
    "channel",
)

_LONGEST = 220


class TouchpointWords(msgspec.Struct, frozen=True):
    """What a page shows of a touchpoint."""

    icon: str
    title: str
    detail: str
    at: Millis
    inbound: bool
    retracted: bool
    corrected: bool


def touchpoint_words(entry: Touchpoint) -> TouchpointWords:
    """A touchpoint as people read it."""
    return TouchpointWords(
        icon=_ICONS.get(entry.type.partition(".")[0], "event"),
        title=_TITLES.get(entry.type) or _spelt(entry.type),
        detail=_detail(entry),
        at=entry.time,
        inbound=entry.direction in (Direction.INBOUND, Direction.MUTUAL),
        retracted=entry.retracted,
        corrected=bool(entry.corrected_by),
    )


def figure(value: float) -> str:
    """A number for people: with separators, and with decimals only where they matter; 0 is said of nothing else."""
    size = abs(value)
    if value and size < 0.001:
        return f"{value:.1e}".replace("e-0", "e-")
    if size >= 100:
        return _rounded(value, 0)
    return _rounded(value, 2 if size >= 0.01 else 3).rstrip("0").rstrip(".")


def _rounded(value: float, decimals: int) -> str:
    """As Intl.NumberFormat rounds in the browser: what is written, so that 2.675 is a half, and halves away from 0."""
    with localcontext() as context:
        context.rounding = ROUND_HALF_UP
        return f"{Decimal(str(value)):,.{decimals}f}"


def _money(amount: object) -> str:
    """An amount with its cents, if it has any; what is no number or less than a cent, as it was sent."""
    if not isinstance(amount, int | float) or isinstance(amount, bool) or 0 < abs(amount) < 0.01:
        return str(amount)
    return _rounded(amount, 2).removesuffix(".00")


def _spelt(type: str) -> str:
    return type.replace(".", " ").replace("_", " ").capitalize() or "Retracted event"


def _detail(entry: Touchpoint) -> str:
    data = entry.data
    parts = [entry.person] if entry.person else []
    if data.get("amount") is not None:
        parts.append(f"{_money(data['amount'])} {data.get('currency', '')}".strip())
    for name in _DETAILS:
        value = data.get(name)
        if value is None or value == "" or isinstance(value, dict | list):
            continue
        parts.append(f"{name} {value}" if isinstance(value, int | float) else str(value))
    if data.get("minutes"):
        parts.append(f"{data['minutes']} minutes")
    for name, word in (("due", "due"), ("effective_at", "effective")):
        if data.get(name):
            parts.append(f"{word} {str(data[name])[:10]}")
    if entry.channel and "channel" not in data:
        parts.append(entry.channel)
    text = " · ".join(dict.fromkeys(parts))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
