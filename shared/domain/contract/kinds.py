"""The kinds of fields in an event's `data`: one table, read by the check, the JSON Schema and the docs."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import isfinite
from typing import Any

import msgspec

from shared.domain.contract.events import MAX_NAME, MAX_QUANTITY
from shared.domain.contract.moments import day_millis, moment_millis, time_millis

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""What no name may hold: it would break logs, keys and pages."""


class Kind(msgspec.Struct, frozen=True):
    """A kind of field: in words ("a number"), as a test of a decoded JSON value, and as JSON Schema."""

    words: str
    fits: Callable[[Any], bool]
    schema: dict[str, Any]


def holds_control(text: str) -> bool:
    """Whether `CONTROL` finds something; printable texts, which nearly all are, are told without searching them."""
    return not text.isprintable() and CONTROL.search(text) is not None


def _name(value: Any) -> bool:
    return type(value) is str and 0 < len(value) <= MAX_NAME and not holds_control(value) and not value.isspace()


def _names(value: Any) -> bool:
    return type(value) is list and all(map(_name, value))


def _number(value: Any) -> bool:
    return type(value) in (int, float) and isfinite(value)


def _between(low: float, high: float) -> Callable[[Any], bool]:
    return lambda value: _number(value) and low <= value <= high


def _whole_between(low: int, high: int) -> Callable[[Any], bool]:
    inside = _between(low, high)
    return lambda value: inside(value) and value == int(value)


def _replacement(value: Any) -> bool:
    if type(value) is not dict or ("type" in value) != ("data" in value):
        return False
    return "type" in value or "time" in value


def _one_of(words: str, *values: str) -> Kind:
    return Kind(words, values.__contains__, {"enum": list(values)})


_NAME_SCHEMA = {
    "type": "string",
    "maxLength": MAX_NAME,
    "pattern": r"^(?=.*\S)[^\u0000-\u001f\u007f-\u009f\u2028\u2029]+$",
}

NAME = Kind(f"a text of 1 to {MAX_NAME} characters without control characters", _name, _NAME_SCHEMA)
NAMES = Kind("a list of names", _names, {"type": "array", "items": _NAME_SCHEMA})
TEXT = Kind("a text", lambda value: type(value) is str, {"type": "string"})
NUMBER = Kind("a finite number", _number, {"type": "number"})
COUNT = Kind("a finite number of at least 0", _between(0, float("inf")), {"type": "number", "minimum": 0})
QUANTITY = Kind(
    f"a number from 0 to {MAX_QUANTITY:,}",
    _between(0, MAX_QUANTITY),
    {"type": "number", "minimum": 0, "maximum": MAX_QUANTITY},
)
WHOLE = Kind(
    "a whole number of at least 0",
    lambda value: type(value) is int and value >= 0,
    {"type": "integer", "minimum": 0},
)
SENTIMENT = Kind("a number from -1 to 1", _between(-1, 1), {"type": "number", "minimum": -1, "maximum": 1})
OBJECT = Kind("a JSON object", lambda value: type(value) is dict, {"type": "object"})
_DAY_SCHEMA = {"type": "string", "format": "date", "pattern": r"^\d{4}-\d{2}-\d{2}$"}
_TIME_SCHEMA = {
    "type": "string",
    "format": "date-time",
    "pattern": r"^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})$",
}

DAY_OF = Kind("a day as YYYY-MM-DD", lambda value: day_millis(value) is not None, _DAY_SCHEMA)
TIME = Kind(
    "an RFC 3339 time with an offset (2026-01-31T09:00:00Z)",
    lambda value: time_millis(value) is not None,
    _TIME_SCHEMA,
)
MOMENT = Kind(
    "an RFC 3339 time with an offset (2026-01-31T09:00:00Z) or a day (2026-01-31)",
    lambda value: moment_millis(value) is not None,
    {"anyOf": [_TIME_SCHEMA, _DAY_SCHEMA]},
)
REPLACEMENT = Kind(
    "a JSON object with `type` and `data` together, with `time`, or with all three",
    _replacement,
    {
        "type": "object",
        "properties": {
            "type": _NAME_SCHEMA,
            "data": {"type": "object"},
            "time": _TIME_SCHEMA,
        },
        "anyOf": [{"required": ["type"]}, {"required": ["time"]}],
        "dependentRequired": {"type": ["data"], "data": ["type"]},
        "$ref": "#/$defs/typed",
    },
)
CURRENCY = Kind(
    "a currency of three capital letters, such as EUR",
    lambda value: type(value) is str and re.fullmatch("[A-Z]{3}", value) is not None,
    {"type": "string", "pattern": "^[A-Z]{3}$"},
)
CHANGE = Kind("a text or a number", lambda value: type(value) is str or _number(value), {"type": ["string", "number"]})
SIDE = _one_of('"us" or "them"', "us", "them")
INSTRUMENT = _one_of("one of nps, csat, ces, enps, pulse", "nps", "csat", "ces", "enps", "pulse")

KINDS: dict[str, Kind] = {
    "name": NAME,
    "names": NAMES,
    "text": TEXT,
    "number": NUMBER,
    "count": COUNT,
    "quantity": QUANTITY,
    "whole": WHOLE,
    "sentiment": SENTIMENT,
    "object": OBJECT,
    "day": DAY_OF,
    "time": TIME,
    "moment": MOMENT,
    "replacement": REPLACEMENT,
    "currency": CURRENCY,
    "change": CHANGE,
    "side": SIDE,
    "instrument": INSTRUMENT,
}
"""Every kind by the name that the schema and the docs give it."""

SCORES: dict[str, Kind] = {
    "nps": Kind("a whole number from 0 to 10", _whole_between(0, 10), {"type": "integer", "minimum": 0, "maximum": 10}),
    "enps": Kind("a number from 0 to 10", _between(0, 10), {"type": "number", "minimum": 0, "maximum": 10}),
}
"""What a survey's score must be, by instrument, where the instrument itself says so."""
