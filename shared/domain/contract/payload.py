"""Holding an event's `data` against the contract of its type, and against what can be stored at all."""

from __future__ import annotations

from typing import Any

import msgspec

from shared.domain.contract.demands import hold
from shared.domain.contract.events import Millis
from shared.domain.contract.types import event_type
from shared.domain.errors import Poison

MAX_DEPTH = 32
"""Nesting of `data`: MongoDB gives up at 100, and every reader must be able to descend."""

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
    nulls = hold(data, name, event_type(name), now, "data")
    return raw if not nulls else msgspec.Raw(msgspec.json.encode({k: v for k, v in data.items() if k not in nulls}))


def malformed(error: Exception) -> Poison:
    """What to answer to a text that is not JSON, or too deep to be read."""
    if isinstance(error, RecursionError):
        return _unstorable(f"it is nested more than {MAX_DEPTH} levels deep")
    return Poison("malformed_json", f"Send one JSON object in UTF-8: {error}.")


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
