"""Frames: what ingest writes is what scoring and people read, whatever it is made of."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import wire
from shared.domain.contract.events import Clock, Interaction, id_hash
from shared.domain.errors import Misconfigured
from shared.stream import frames
from shared.stream.frames import (
    CLOCK,
    EVENTS,
    RECORD_HEADER,
    clock_message,
    events_messages,
    frames_of,
    interactions,
    kind_of,
    read_frame,
)
from shared.stream.ports import Headers, Record
from shared.stream.publisher import BATCH_BYTES
from shared.stream.topics import INCARNATION_HEADER

names = st.text(min_size=1, max_size=8).map(lambda name: f"n{name}".replace("\ud800", "x"))
texts = names.filter(lambda name: all(ord(letter) < 0xD800 or ord(letter) > 0xDFFF for letter in name))
uses = st.fixed_dictionaries(
    {"feature": st.sampled_from(("export", "import"))},
    optional={"person": texts, "quantity": st.sampled_from((0, 1, 2.5, 10**12))},
)
touches = st.fixed_dictionaries({"person": texts}, optional={"more": st.lists(st.integers(), max_size=2)})


@st.composite
def events(draw: st.DrawFn) -> Interaction:
    """Any event of a tenant, of a small world of names."""
    type, data = draw(
        st.one_of(
            st.tuples(st.just("usage.feature_used"), uses),
            st.tuples(st.just("usage.daily_total"), uses.map(lambda use: {**use, "day": "2026-06-01"})),
            st.tuples(st.sampled_from(("message.received", "a.type.of.theirs")), touches),
        )
    )
    relationship = draw(st.sampled_from(("acct-1", "acct-2")))
    return Interaction(
        "acme",
        relationship,
        draw(texts),
        draw(st.sampled_from(("/app", "/crm"))),
        type,
        draw(st.integers(0, 2**42)),
        msgspec.Raw(msgspec.json.encode(data)),
        draw(st.booleans()),
        draw(st.sampled_from(("", f" {relationship}", "somebody@acct-1.example"))),
    )


@given(st.lists(events(), min_size=1, max_size=30))
def test_what_is_read_is_what_was_accepted(said: list[Interaction]) -> None:
    [raw] = frames_of(said)
    frame = read_frame(raw)
    assert len(frame) == len(said)
    assert [bare(event) for event in interactions(frame)] == [bare(event) for event in said]
    ids = memoryview(frame.id).cast("Q").tolist()
    assert ids == [id_hash(event.source, event.id) for event in said]


def bare(event: Interaction) -> tuple[Interaction, object]:
    """An event, and its data as values: of a plain use a quantity of 1 goes without saying."""
    data = msgspec.json.decode(event.data)
    if event.type == "usage.feature_used" and data.get("quantity") == 1:
        del data["quantity"]
    return msgspec.structs.replace(event, data=msgspec.Raw(b"")), data


def said(number: int, data: bytes = b'{"person":"ana"}', type: str = "message.received") -> Interaction:
    return Interaction("acme", f"acct-{number}", f"e{number}", "/app", type, number, msgspec.Raw(data))


def test_of_a_plain_use_the_use_is_kept_and_its_id() -> None:
    data = b'{"feature":"","session":"s-1","person":"ana"}'
    [found] = interactions(read_frame(frames_of([said(1, data, "usage.login")])[0]))
    assert bytes(found.data) == b'{"feature":"login","person":"ana"}'
    assert (found.id, found.type) == ("e1", "usage.login")


def test_a_use_that_says_something_twice_is_kept_as_it_came() -> None:
    data = b'{"feature":"export","quantity":"two","quantity":2}'
    [found] = interactions(read_frame(frames_of([said(1, data, "usage.feature_used")])[0]))
    assert bytes(found.data) == data


def test_many_events_are_several_frames_each_of_which_fits_into_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "FRAME_EVENTS", 3)
    assert [len(read_frame(raw)) for raw in frames_of([said(number) for number in range(8)])] == [3, 3, 2]
    assert frames_of([]) == []
    monkeypatch.undo()
    large = [said(number, b'{"text":"%s"}' % (b"x" * 32_000)) for number in range(40)]
    found = frames_of(large)
    assert [event.id for raw in found for event in interactions(read_frame(raw))] == [event.id for event in large]
    assert max(map(len, found)) < BATCH_BYTES
    assert len(found) == 4


def test_names_of_the_largest_size_fit_as_well() -> None:
    long = [
        Interaction("acme", f"{number:04}" + "é" * 508, f"{number:04}" + "é" * 508, "/app", "usage.login", 1)
        for number in range(1_000)
    ]
    assert max(map(len, frames_of(long))) < BATCH_BYTES


def test_messages_say_what_they_are() -> None:
    [events] = events_messages([said(1)], "one", 7)
    clock = clock_message(7, "one")
    assert (events.key, events.timestamp, clock.key, clock.timestamp) == (None, 7, None, 7)
    assert events.headers == ((RECORD_HEADER, EVENTS), (INCARNATION_HEADER, b"one"))
    assert [kind_of(record(message.headers)) for message in (events, clock)] == [EVENTS, CLOCK]
    assert wire.decode(clock.value, Clock) == Clock(7)
    assert kind_of(record(())) == b""
    with pytest.raises(Misconfigured, match=r"Offset 3 of rapport.interactions is of kind events/2"):
        kind_of(record(((RECORD_HEADER, b"events/2"),)))


def record(headers: Headers) -> Record:
    return Record(3, 7, None, b"", headers)
