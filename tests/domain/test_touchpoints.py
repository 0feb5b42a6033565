from __future__ import annotations

import msgspec
import pytest

from shared.domain.contract.events import event_key, relationship_key
from shared.domain.contract.types import event_type
from shared.domain.relationship.touchpoints import made_of, touchpoint_id
from tests.domain.builders import at, interaction, touch

NOON = at("2026-06-01T12:00:00Z")


def test_an_entry_of_an_event() -> None:
    entry = touch("message.received", NOON, "m/1", person="ana", channel="email", text="hello")
    assert entry.id == touchpoint_id("acme", "acct-1", "test#m/1") == "acme/acct-1/test#m/1"
    assert entry.event == event_key("test", "m/1") == "test#m/1"
    assert (entry.direction, entry.channel, entry.person, entry.metric) == ("in", "email", "ana", "in:email")
    assert entry.data == {"person": "ana", "channel": "email", "text": "hello"}
    assert relationship_key("acme", "acct-1") == "acme/acct-1"


@pytest.mark.parametrize(
    ("type", "metric"),
    [
        ("message.sent", "out:message"),
        ("meeting.held", "both:meeting"),
        ("ticket.resolved", "out:ticket"),
        ("promise.made", None),
        ("unheard.of", None),
    ],
)
def test_what_it_counts_as(type: str, metric: str | None) -> None:
    assert touch(type, NOON).metric == metric
    assert event_type("unheard.of").kind == "touchpoint"


@pytest.mark.parametrize(
    ("said", "person"),
    [
        ({}, ""),
        ({"person": "ana"}, "ana"),
        ({"people": ["bob", "eve"]}, "bob"),
        ({"person": "ana", "people": ["bob"]}, "ana"),
        ({"people": []}, ""),
        ({"people": "bob"}, ""),
    ],
)
def test_whom_it_is_with(said: dict[str, object], person: str) -> None:
    assert made_of(interaction("meeting.held", NOON), said).person == person


def test_what_is_retracted_counts_nowhere() -> None:
    entry = msgspec.structs.replace(touch("message.received", NOON), retracted=True)
    assert entry.metric is None
