"""Touchpoints in words: an icon, a title and a line of detail."""

from __future__ import annotations

import msgspec

from shared.domain.events import Direction, Millis
from shared.domain.touchpoints import Touchpoint

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
    """A number for people: with separators, and with decimals only where they matter."""
    if value and abs(value) < 0.001:
        return f"{value:.1e}".replace("e-0", "e-")
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}".rstrip("0").rstrip(".")


def _money(amount: object) -> str:
    """An amount with its cents, if it has any; one that is no number, as it was sent."""
    return f"{amount:,.2f}".removesuffix(".00") if isinstance(amount, int | float) else str(amount)


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
