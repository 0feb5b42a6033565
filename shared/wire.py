"""Bytes ↔ domain values (JSON by msgspec). One encoder, one decoder a type; decoding errors become `Poison`."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from shared.domain.alerts.alert import Alert
from shared.domain.contract.events import Clock, Interaction
from shared.domain.errors import Poison
from shared.domain.relationship.flags import UpdateBatch

T = TypeVar("T")

_ENCODER = msgspec.json.Encoder()
_DECODERS: dict[type[Any], msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(kind) for kind in (Interaction, Clock, UpdateBatch, Alert, dict)
}


def encode(value: object) -> bytes:
    """JSON bytes of a domain value."""
    return _ENCODER.encode(value)


def decode(raw: bytes | msgspec.Raw | None, kind: type[T]) -> T:
    """The value of type `kind` in `raw`; raises Poison("undecodable") naming what is wrong and where.

    A record without a value (a tombstone) raises Poison("empty").
    """
    if raw is None:
        raise Poison("empty", f"not a {kind.__name__}: the record has no value.")
    decoder = _DECODERS.get(kind) or msgspec.json.Decoder(kind)
    try:
        return decoder.decode(raw)  # type: ignore[no-any-return]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Poison("undecodable", f"not a {kind.__name__}: {error}") from error
    except RecursionError as error:
        raise Poison("undecodable", f"not a {kind.__name__}: it is nested too deep to be read.") from error
