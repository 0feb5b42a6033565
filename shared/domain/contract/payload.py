"""Holding an event's `data` against the contract of its type, and against what can be stored at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from shared.domain.contract.events import FUTURE_TOLERANCE, EventClass, JsonObject, Millis, event_type
from shared.domain.contract.fields import FIELDS, GENERIC_FIELDS, NAME, OBJECT, SCORES, Kind
from shared.domain.contract.moments import day_millis, rfc3339, time_millis
from shared.domain.errors import Poison

MAX_DEPTH = 32
"""Nesting of `data`: MongoDB gives up at 100, and every reader must be able to descend."""

TIME_FORM = "write RFC 3339 with an offset, for example 2026-01-31T09:00:00Z"

_INT64 = 2**63
_ANYTHING = msgspec.json.Decoder()
_EMPTY = msgspec.Raw(b"{}")


def checked_data(name: str, raw: msgspec.Raw, now: Millis) -> msgspec.Raw:
    """`data` of an event of type `name` as it came, less known fields that are null (they count as absent).

    Raises Poison with the reason and what to do.
    """
    try:
        data = _ANYTHING.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(error) from error
    if data is None:
        data, raw = {}, _EMPTY
    elif type(data) is not dict:
        raise Poison("invalid_field", "`data` must be a JSON object.")
    if (why := _unfit(data, MAX_DEPTH)) is not None:
        raise _unstorable(why)
    nulls = _check(name, data, now, "data")
    return raw if not nulls else msgspec.Raw(msgspec.json.encode({k: v for k, v in data.items() if k not in nulls}))


def malformed(error: Exception) -> Poison:
    """What to answer to a text that is not JSON, or too deep to be read."""
    if isinstance(error, RecursionError):
        return _unstorable(f"it is nested more than {MAX_DEPTH} levels deep")
    return Poison("malformed_json", f"Send one JSON object in UTF-8: {error}.")


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


def _check(name: str, data: JsonObject, now: Millis, where: str) -> list[str]:
    """Hold the fields of `data` against the table; the known ones that are null. Raises Poison."""
    fields = FIELDS.get(name, GENERIC_FIELDS)
    for key in event_type(name).required:
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
    for rule in _ACROSS.get(name, ()):
        rule(data, now, where)
    return nulls


def _invalid(where: str, key: str, kind: Kind) -> Poison:
    return Poison("invalid_field", f"`{where}.{key}` must be {kind.words}.")


def _score_fits_instrument(data: JsonObject, now: Millis, where: str) -> None:
    kind = SCORES.get(data["instrument"])
    if kind is not None and not kind.fits(data["score"]):
        raise _invalid(where, "score", msgspec.structs.replace(kind, words=f"{kind.words} for {data['instrument']}"))


def _day_has_begun(data: JsonObject, now: Millis, where: str) -> None:
    refuse_impossible(day_millis(data["day"]) or 0, now, f"{where}.day")


def _replacement_is_an_event(data: JsonObject, now: Millis, where: str) -> None:
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
    if event_type(name).kind is not EventClass.TOUCHPOINT:
        raise Poison("invalid_field", f"`{inner}.type` must be a touchpoint's; usage.daily_total puts usage right.")
    if _check(name, body, now, f"{inner}.data"):
        raise Poison("invalid_field", f"Leave out what is null in `{inner}.data`.")


_ACROSS: dict[str, tuple[Callable[[JsonObject, Millis, str], None], ...]] = {
    "survey.answered": (_score_fits_instrument,),
    "usage.daily_total": (_day_has_begun,),
    "event.corrected": (_replacement_is_an_event,),
}
"""What a type demands beyond one field at a time."""


def _unfit(value: Any, depth: int) -> str | None:
    """What in a decoded JSON object or array could not be kept as it is, in words; None if nothing."""
    if depth == 0:
        return f"it is nested more than {MAX_DEPTH} levels deep"
    for item in value.values() if type(value) is dict else value:
        kind = type(item)
        if kind is int and not -_INT64 <= item < _INT64:
            return "a whole number has more than 64 bits: send it as a text"
        if (kind is dict or kind is list) and (why := _unfit(item, depth - 1)) is not None:
            return why
    return None


def _unstorable(why: str) -> Poison:
    return Poison("unstorable", f"`data` cannot be stored, since {why}.")
