"""Relationships of which a state rule becomes true at a moment to come: their history, and what is posted later."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec

from shared.clock import now_ms
from shared.domain.contract.days import day_name, day_of, iso
from shared.domain.contract.events import DAY, HOUR, SECOND, Millis
from shared.load.outgoing import Outgoing, encode_event

SOURCE = "bench"
HISTORY_DAYS = 70  # more than the window and the eight weeks of its baseline
SILENCE_DAYS = 5  # the least limit of a silence, for somebody who writes every other day
USUAL, STEADY = 100, 1_000  # uses a day of the feature that falls, and of the one beside it
LOST_DAYS = range(1, 7)  # days before today whose count turns out to have been nothing


class Due(msgspec.Struct, frozen=True):
    """A relationship: what is loaded before, and what is posted at `post_at` (0 = nothing); what then is alerted."""

    relationship: str
    rule: str
    subject: str
    history: tuple[Outgoing, ...]
    post_at: Millis = 0
    later: tuple[Outgoing, ...] = ()


def deadline_latency(rule: str, number: int, now: Millis, due: Millis) -> Due:
    """The `number`-th relationship of which `rule` says something at `due`, or at the first full grain after it.

    `now`: when its history is loaded.
    """
    id = f"bench-{rule.replace('_', '-')}-{number}"
    makers = {
        "usage_drop": _drop,
        "feature_decline": _decline,
        "silence": _silence,
        "expectation_violated": _promise,
    }
    return makers[rule](id, now, due)


async def before_midnight(ahead: Millis) -> Millis:
    """Now, as soon as all of the next `ahead` ms is of one day: else "today" of the histories would be over."""
    now = now_ms()
    if day_of(now) != day_of(now + ahead):
        await asyncio.sleep((day_of(now + ahead) * DAY - now) / SECOND)
        now = now_ms()
    return now


def _drop(id: str, now: Millis, due: Millis) -> Due:
    history = tuple(_totals(id, "reports", USUAL, now))
    return Due(id, "usage_drop", "", history, due, tuple(_lost(id, "reports", now, due)))


def _decline(id: str, now: Millis, due: Millis) -> Due:
    history = (*_totals(id, "reports", USUAL, now), *_totals(id, "exports", STEADY, now))
    return Due(id, "feature_decline", "reports", history, due, tuple(_lost(id, "reports", now, due)))


def _silence(id: str, now: Millis, due: Millis) -> Due:
    last = due - SILENCE_DAYS * DAY
    data = {"person": f"kim@{id}.example", "channel": "mail"}
    messages = (
        _event(id, "message.received", f"message-{back}", last - back * DAY, data, backfill=True)
        for back in range(40, -1, -2)
    )
    calendar = _event(id, "relationship.updated", "directory", now, {"custom": {"calendar": "everyday"}}, backfill=True)
    return Due(id, "silence", "", (calendar, *messages))


def _promise(id: str, now: Millis, due: Millis) -> Due:
    # Made less than a day before its deadline, so there is no warning beforehand.
    data = {"promise": "report", "by": "us", "due": iso(due), "text": "Send the report"}
    made = _event(id, "promise.made", "promise", now - HOUR, data, backfill=True)
    return Due(id, "expectation_violated", "report", (made,))


def _totals(id: str, feature: str, usual: int, now: Millis) -> Iterator[Outgoing]:
    today = day_of(now)
    for back in range(HISTORY_DAYS, 0, -1):
        yield _total(id, feature, today - back, usual, "history", now - back * DAY, backfill=True)
    so_far = round(usual * (now - today * DAY) / DAY)
    yield _total(id, feature, today, so_far, "history", now, backfill=True)


def _lost(id: str, feature: str, now: Millis, at: Millis) -> Iterator[Outgoing]:
    for back in LOST_DAYS:
        yield _total(id, feature, day_of(now) - back, 0, "corrected", at, backfill=False)


def _total(id: str, feature: str, day: int, count: int, key: str, at: Millis, backfill: bool) -> Outgoing:
    data = {"day": day_name(day), "feature": feature, "quantity": count}
    return _event(id, "usage.daily_total", f"{key}-{feature}-{day}", at, data, backfill)


def _event(id: str, type: str, key: str, at: Millis, data: dict[str, Any], backfill: bool) -> Outgoing:
    return encode_event(
        line=0, id=f"{id}/{key}", source=SOURCE, type=type, subject=id, time=at, data=data, backfill=backfill
    )
