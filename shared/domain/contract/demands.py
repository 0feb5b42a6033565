"""Holding `data` against the declaration of its type: field by field, and what some types demand beyond that."""

from __future__ import annotations

import msgspec

from shared.domain.contract.declaration import GENERIC, EventClass, EventType, Types
from shared.domain.contract.events import FUTURE_TOLERANCE, JsonObject, Millis
from shared.domain.contract.kinds import NAME, OBJECT, SCORES, Kind
from shared.domain.contract.moments import day_millis, rfc3339, time_millis
from shared.domain.errors import Poison

TIME_FORM = "write RFC 3339 with an offset, for example 2026-01-31T09:00:00Z"


def hold(data: JsonObject, name: str, row: EventType, now: Millis, where: str) -> list[str]:
    """Hold `data` of an event of type `name` against its declaration: the known fields that are null. Raises Poison."""
    fields = row.fields
    for key in row.required:
        if data.get(key) is None:
            raise Poison("missing_field", f"{name} needs `{where}.{key}`: {fields[key].words}.")
    nulls = []
    for key, value in data.items():
        kind = fields.get(key)
        if kind is None:
            continue
        if value is None:
            nulls.append(key)
        elif not kind.fits(value):
            raise _invalid(where, key, kind)
    if row.demands is not None:
        row.demands(data, now, where)
    return nulls


def refuse_impossible(moment: Millis, now: Millis, name: str) -> None:
    """Raises Poison for a moment more than 24 h ahead of the receipt `now`, or before 1970."""
    if moment > now + FUTURE_TOLERANCE:
        raise Poison(
            "future_time",
            f"`{name}` is more than 24 hours ahead of the receipt, which was at {rfc3339(now)}; set the sender's "
            "clock, and send what is planned as a type of its own (meeting.scheduled, price.change_planned).",
        )
    if moment < 0:
        raise Poison("invalid_time", f"`{name}` lies before 1970; check how the sender writes times.")


def score_fits_instrument(data: JsonObject, now: Millis, where: str) -> None:
    """A survey's score lies where its instrument says."""
    kind = SCORES.get(data["instrument"])
    if kind is not None and not kind.fits(data["score"]):
        raise _invalid(where, "score", msgspec.structs.replace(kind, words=f"{kind.words} for {data['instrument']}"))


def day_has_begun(data: JsonObject, now: Millis, where: str) -> None:
    """A day's total is of a day that has begun."""
    refuse_impossible(day_millis(data["day"]) or 0, now, f"{where}.day")


def replacement_is_an_event(data: JsonObject, now: Millis, where: str, types: Types) -> None:
    """What replaces an event is held to the contract of the type that it names."""
    replacement = data["replacement"]
    inner = f"{where}.replacement"
    if "time" in replacement:
        if (moment := time_millis(replacement["time"])) is None:
            raise Poison("invalid_time", f"`{inner}.time` is no time that can be used; {TIME_FORM}.")
        refuse_impossible(moment, now, f"{inner}.time")
    if "type" not in replacement:
        return
    name, body = replacement["type"], replacement["data"]
    for key, kind in (("type", NAME), ("data", OBJECT)):
        if not kind.fits(replacement[key]):
            raise _invalid(inner, key, kind)
    row = types.get(name, GENERIC)
    if row.kind is not EventClass.TOUCHPOINT:
        raise Poison("invalid_field", f"`{inner}.type` must be a touchpoint's; usage.daily_total puts usage right.")
    if hold(body, name, row, now, f"{inner}.data"):
        raise Poison("invalid_field", f"Leave out what is null in `{inner}.data`.")


def _invalid(where: str, key: str, kind: Kind) -> Poison:
    return Poison("invalid_field", f"`{where}.{key}` must be {kind.words}.")
