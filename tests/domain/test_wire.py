"""Bytes of others: whatever cannot be decoded is poison, and nothing else is raised."""

from __future__ import annotations

from typing import Any

import pytest

from shared import wire
from shared.domain.alerts.alert import Alert
from shared.domain.contract.events import Clock, Interaction
from shared.domain.errors import Poison
from shared.domain.relationship.flags import UpdateBatch
from shared.stream.quarantine import Quarantined

DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize("kind", [Interaction, Clock, UpdateBatch, Alert, Quarantined, dict])
@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (None, "empty"),
        (b"", "undecodable"),
        (b"null", "undecodable"),
        (b"\xff", "undecodable"),
        (b'{"\xff":1}', "undecodable"),
        (DEEP, "undecodable"),
        (b'{"more":' + DEEP + b"}", "undecodable"),
        (b'{"now":' + b"1" * 5_000 + b',"more":' + b"-" * 9 + b"}", "undecodable"),
    ],
    ids=["none", "empty", "null", "no text", "no text within", "deep", "deep within", "long number"],
)
def test_what_is_no_value_of_a_kind_is_poison(raw: bytes | None, reason: str, kind: type[Any]) -> None:
    with pytest.raises(Poison) as poison:
        wire.decode(raw, kind)
    assert (poison.value.reason, kind.__name__ in poison.value.detail) == (reason, True)
    assert len(poison.value.detail) < 200


def test_what_was_encoded_is_decoded() -> None:
    assert wire.decode(wire.encode(Clock(7)), Clock) == Clock(7)
