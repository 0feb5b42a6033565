"""What is within the contract, and meant to break the worker: it is refused, or bounded, and scoring goes on."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from services.scoring import decode
from shared import wire
from shared.domain.columns import counters
from shared.domain.contract.events import DAY, HOUR, MAX_TIME, Clock, Interaction
from shared.domain.errors import Misconfigured
from shared.stream.frames import CLOCK, EVENTS, RECORD_HEADER, Frame, Kind, Other, frames_of, use_ids
from shared.stream.ports import Message
from shared.stream.quarantine import KEPT_BYTES, Quarantined
from shared.stream.topics import INTERACTIONS, QUARANTINE, SCORING_GROUP, partition_of
from tests.scoring.stage import START, Stage, run_clock

DEEP = b"[" * 100_000 + b"]" * 100_000


async def goes_on(stage: Stage) -> list[str]:
    """Read everything, let some hours pass; the reasons of what went to quarantine."""
    worker = await stage.worker()
    await worker.drain()
    await run_clock(stage, worker, stage.now + 3 * HOUR)
    return [wire.decode(record.value, Quarantined).reason for record in stage.log.records(QUARANTINE)]


async def test_a_moment_that_is_no_date_in_utc() -> None:
    stage = Stage()
    await stage.say("promise.made", promise="p", due="0001-01-01T00:00:00+23:59")
    assert await goes_on(stage) == ["invalid_field"]


async def test_quantities_whose_sum_is_no_number() -> None:
    stage = Stage()
    for _ in range(2):
        await stage.say("usage.login", quantity=1.7e308)
    await stage.say("usage.login", quantity=1e12)
    assert await goes_on(stage) == ["invalid_field", "invalid_field"]
    assert list((await stage.counts()).values()) == [1e12]


async def test_long_texts_stay_on_the_timeline_and_out_of_heads_and_verdicts() -> None:
    stage = Stage()
    await stage.say("relationship.updated", kind="partner")
    for number in range(250):
        await stage.say("promise.made", promise=f"p{number}", due="2026-06-01T10:00:00Z", text="x" * 31_000)
    await stage.say("price.change_planned", effective_at="2026-07-01", change="y" * 31_000)
    assert await goes_on(stage) == []
    state = await stage.state()
    assert len(state.facts.promises) == 200
    assert len(wire.encode(state)) < 2_000_000
    assert max(len(change.reason) for change in stage.published()) < 1_000


async def test_ever_new_custom_fields() -> None:
    stage = Stage()
    for number in range(150):
        await stage.say("relationship.updated", at=stage.now + number, custom={f"field-{number}": "v" * 900})
    assert await goes_on(stage) == []
    directory = (await stage.state()).directory
    assert list(directory.custom) == [f"field-{number}" for number in range(50, 150)]
    assert set(directory.said_at) == {f"custom.field-{number}" for number in range(50, 150)}


async def test_ever_new_detractors() -> None:
    stage = Stage()
    for number in range(205):
        await stage.say("survey.answered", instrument="nps", score=1, person=f"person-{number}", at=stage.now + number)
    assert await goes_on(stage) == []
    standing = [flag.subject for flag in (await stage.state()).flags.values()]
    assert standing == [f"person-{number}" for number in range(5, 205)]
    cleared = [change.subject for change in stage.published() if not change.raised]
    assert cleared == [f"person-{number}" for number in range(5)]


async def test_ever_new_features_and_people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "METRICS_KEPT", 3)
    monkeypatch.setattr(counters, "MONTH_BYTES", 8 * counters.CELL_BYTES)
    stage = Stage(batch_limit=4)
    for number in range(6):
        await stage.say("usage.feature_used", feature=f"f{number}", person="ana")
    for number in range(6):
        await stage.say("usage.feature_used", feature="f0", person=f"p{number}")
    await stage.say("usage.daily_total", feature="f1", quantity=9, day="2026-06-01")
    await stage.say("usage.daily_total", feature="f1", quantity=4, day="2026-06-01", person="late")
    await stage.say("usage.daily_total", feature="f0", quantity=5, day="2026-06-01", person="ana")
    await stage.say("usage.feature_used", feature="f0", person="p5")
    assert await goes_on(stage) == []
    counts = {(metric, person): count for (metric, person, _), count in (await stage.counts()).items()}
    assert counts == {
        ("use:f0", "ana"): 5,
        ("use:f1", "ana"): 0,
        ("use:f2", "ana"): 1,
        ("use:(others)", "ana"): 3,
        ("use:f0", "p0"): 1,
        ("use:f0", "p1"): 1,
        ("use:f0", "(others)"): 5,
        ("use:f1", ""): 9,
        ("use:f1", "(others)"): 4,
    }
    assert (await stage.state()).windows.usage[0] == sum(counts.values())


@pytest.mark.parametrize("type", ["usage.login", "message.received"])
@pytest.mark.parametrize("time", [-1, MAX_TIME + 1, 10**18])
async def test_a_time_that_no_calendar_has(type: str, time: int) -> None:
    stage = Stage()
    await stage.say(type, at=time)
    await stage.say(type, at=MAX_TIME)
    assert await goes_on(stage) == ["invalid_time"]
    assert (await stage.state()).events == 1


ONE = Interaction("acme", "acct-1", "x", "test", "usage.login", START)
MAIL = msgspec.structs.replace(ONE, type="message.received", data=msgspec.Raw(b'{"person":"ana"}'))


def framed(*events: Interaction, **fields: Any) -> bytes:
    """A frame of these events, in which fields are other ones than ingest would write."""
    [frame] = frames_of(events)
    whole = msgspec.msgpack.decode(frame, type=Frame)
    return msgspec.msgpack.encode(msgspec.structs.replace(whole, **fields))


async def foreign(
    stage: Stage, value: bytes | None, kind: bytes | None = EVENTS, timestamp: int = START, partition: int = 0
) -> None:
    """A record as only somebody else than ingest could write it; a tombstone has no value."""
    raw: Any = value
    headers = () if kind is None else ((RECORD_HEADER, kind),)
    await stage.log.append(INTERACTIONS, partition, [Message(raw, None, headers, timestamp)])


async def set_aside(
    stage: Stage, value: bytes | None, kind: bytes | None = EVENTS, timestamp: int = START
) -> list[Quarantined]:
    """What the workers set aside of a foreign record between two uses, which are scored.

    The first worker is killed before it has stored anything, so the second one reads all of it again.
    """
    await stage.say("usage.login")
    await foreign(stage, value, kind, timestamp)
    await stage.say("usage.login")
    first = await stage.worker("w1")
    assert await first.step() == 3
    await first.kill()
    await goes_on(stage)
    state = await stage.state()
    assert state.events == 2
    assert START <= state.clock <= stage.now
    found = [wire.decode(record.value, Quarantined) for record in stage.log.records(QUARANTINE)]
    assert [(one.reason, one.origin, one.original) for one in found[: len(found) // 2]] == [
        (one.reason, one.origin, one.original) for one in found[len(found) // 2 :]
    ]
    return found[: len(found) // 2]


@pytest.mark.parametrize(
    ("value", "kind", "reason"),
    [
        (None, EVENTS, "empty"),
        (None, CLOCK, "empty"),
        (b"", EVENTS, "undecodable"),
        (framed(ONE)[:-1], EVENTS, "undecodable"),
        (wire.encode(ONE), EVENTS, "undecodable"),
        (wire.encode(ONE), None, "undecodable"),
        *((framed(ONE), kind, "undecodable") for kind in (b"", b"\xff" * 1_000, b"events", b"EVENTS/1", b"/1")),
        (b"\xdc\xff\xff" * 10_000, EVENTS, "undecodable"),
        (b"\x91" * 100_000, EVENTS, "undecodable"),
        (b'{"now":1,"more":' + DEEP + b"}", CLOCK, "undecodable"),
        (b'{"now":-1}', CLOCK, "invalid_time"),
        (wire.encode(Clock(START + DAY + 1)), CLOCK, "invalid_time"),
        (wire.encode(Clock(10**15)), CLOCK, "invalid_time"),
        (b'{"now":%d}' % 2**70, CLOCK, "invalid_time"),
        (framed(msgspec.structs.replace(ONE, tenant="")), EVENTS, "no_relationship"),
        (framed(msgspec.structs.replace(ONE, tenant="a/b")), EVENTS, "no_relationship"),
    ],
)
async def test_a_record_of_a_foreign_writer(value: bytes | None, kind: bytes | None, reason: str) -> None:
    [found] = await set_aside(Stage(), value, kind)
    assert (found.reason, found.origin) == (reason, f"{INTERACTIONS}/0/1")
    assert found.original == (value or b"")[:KEPT_BYTES]


@pytest.mark.parametrize(
    "fields",
    [
        {"subject": b""},
        {"subject": b"\x01\x00"},
        {"subject": b"\x00\x00\x00"},
        {"relationships": ["acct-1", "acct-2"]},
        {"kind": b"\x00\x01"},
        {"feature": b"\xff\xff"},
        {"person": b"\x01\x00"},
        {"features": []},
        {"time": b""},
        {"time": b"\x00" * 16},
        {"quantity": b"\x00" * 16},
        {"id": b""},
        {"id": b"\x00" * 9},
        {"id": b"\x00" * 8},  # an empty slot among the ids of all relationships
        {"persons": ["x" * 513]},
        {"features": ["x" * 513]},
        {"kinds": [Kind("usage.login", "x" * 513)]},
        {"persons": ["", "a", "b"]},
        {"id": b"\x00" * 16},
        {"others": [Other(1, "x", b"{}")]},
        {"others": [Other(-1, "x", b"{}")]},
        {"others": [Other(0, "x", b"{}"), Other(0, "y", b"{}")]},
    ],
)
async def test_a_frame_that_does_not_fit_together(fields: dict[str, Any]) -> None:
    [found] = await set_aside(Stage(), framed(ONE, **fields))
    assert (found.reason, found.origin) == ("undecodable", f"{INTERACTIONS}/0/1")


@pytest.mark.parametrize(
    ("event", "fields", "reason"),
    [
        (MAIL, {"others": [Other(0, "x", b"")]}, "malformed_json"),
        (MAIL, {"others": [Other(0, "x", b"[]")]}, "invalid_field"),
        (MAIL, {"others": [Other(0, "x", b'{"more":' + DEEP + b"}")]}, "unstorable"),
        (MAIL, {"others": [Other(0, "x", b'{"person":""}')]}, "invalid_field"),
        (ONE, {"quantity": np.array([np.nan]).tobytes()}, "invalid_field"),
        (ONE, {"quantity": np.array([-1.0]).tobytes()}, "invalid_field"),
        (ONE, {"quantity": np.array([1e13]).tobytes()}, "invalid_field"),
        (ONE, {"subjects": [""]}, "no_relationship"),
        (MAIL, {"subjects": ["acct-1"], "relationships": [""]}, "no_relationship"),
    ],
)
async def test_an_event_that_ingest_would_not_have_written(
    event: Interaction, fields: dict[str, Any], reason: str
) -> None:
    [found] = await set_aside(Stage(), framed(event, **fields))
    assert (found.reason, found.origin, found.tenant) == (reason, f"{INTERACTIONS}/0/1/0", "acme")
    assert f'"type":"{event.type}"'.encode() in found.original


async def test_of_a_frame_only_what_is_bad_is_set_aside() -> None:
    """Positions are those of the frame, whatever is missing in between."""
    late = msgspec.structs.replace(MAIL, id="late", time=MAX_TIME + 1)
    odd = msgspec.structs.replace(MAIL, id="odd", data=msgspec.Raw(b'{"person":""}'))
    found = await set_aside(Stage(), framed(late, odd))
    assert [(one.reason, one.origin) for one in found] == [
        ("invalid_time", f"{INTERACTIONS}/0/1/0"),
        ("invalid_field", f"{INTERACTIONS}/0/1/1"),
    ]
    stage = Stage()
    good = [msgspec.structs.replace(MAIL, id=f"m{number}") for number in range(3)]
    await foreign(stage, framed(good[0], late, good[1], odd, good[2]))
    assert await goes_on(stage) == ["invalid_time", "invalid_field"]
    entries = await stage.store.whole_timeline("acme", "acct-1")
    assert [(entry.event, entry.event_position) for entry in entries] == [
        ("test#m0", 0),
        ("test#m1", 2),
        ("test#m2", 4),
    ]


async def test_a_relationship_of_another_partition() -> None:
    stage = Stage(partitions=2)
    home = partition_of(b"acme/acct-1", 2)
    other = next(name for name in map(str, range(9)) if partition_of(f"acme/{name}".encode(), 2) != home)
    await foreign(stage, framed(msgspec.structs.replace(ONE, relationship=other), ONE), partition=home)
    assert await goes_on(stage) == ["wrong_partition"]
    assert set(stage.store._docs["relationships"]) == {"acme/acct-1"}


@pytest.mark.parametrize("name", ["a/", "/", "a/b", "//"])
async def test_a_name_with_slashes_is_a_name(name: str) -> None:
    stage = Stage()
    await foreign(stage, framed(msgspec.structs.replace(ONE, relationship=name)))
    assert await goes_on(stage) == []
    assert (await stage.state(name)).events == 1


async def test_ids_of_a_frame_are_read_once_however_many_events_of_it_are_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[Frame] = []

    def counted(frame: Frame) -> list[str]:
        looked.append(frame)
        return use_ids(frame)

    monkeypatch.setattr(decode, "use_ids", counted)
    stage = Stage()
    await foreign(stage, framed(*(msgspec.structs.replace(ONE, id=f"u{number}", time=-1) for number in range(500))))
    assert await goes_on(stage) == ["invalid_time"] * 500
    assert len(looked) == 1


async def test_a_header_without_a_value_is_nobody_s() -> None:
    stage = Stage()
    nothing: Any = None
    await foreign(stage, framed(ONE), nothing)
    await stage.log.append(INTERACTIONS, 0, [Message(framed(ONE), None, ((RECORD_HEADER, nothing),), START)])
    assert await goes_on(stage) == ["undecodable", "undecodable"]


@pytest.mark.parametrize(
    ("type", "reason"),
    [
        ("event.retracted", "missing_field"),
        ("usage.daily_total", "missing_field"),
        ("usage.feature_used", "invalid_field"),
    ],
)
async def test_what_is_written_as_a_plain_use_is_held_to_the_contract(type: str, reason: str) -> None:
    [found] = await set_aside(Stage(), framed(ONE, kinds=[Kind(type, "s")], features=[""]))
    assert (found.reason, found.origin) == (reason, f"{INTERACTIONS}/0/1/0")


@pytest.mark.parametrize("timestamp", [-(2**63), -1, 0, MAX_TIME + 1, START * 1_000, START * 10**6, 2**63 + 5])
@pytest.mark.parametrize(("value", "kind"), [(framed(ONE), EVENTS), (wire.encode(Clock(START)), CLOCK)])
async def test_a_moment_of_receipt_that_is_none(timestamp: int, value: bytes, kind: bytes) -> None:
    [found] = await set_aside(Stage(), value, kind, timestamp)
    assert (found.reason, found.origin) == ("invalid_time", f"{INTERACTIONS}/0/1")


@pytest.mark.parametrize("kind", [b"events/2", b"clock/2", b"merge/1"])
async def test_a_record_of_a_newer_version_stops_the_worker_and_is_not_passed_over(kind: bytes) -> None:
    stage = Stage()
    await stage.say("usage.login")
    await foreign(stage, framed(ONE), kind)
    worker = await stage.worker()
    with pytest.raises(Misconfigured, match="a newer one wrote it"):
        await worker.drain()
    assert not stage.log.group(SCORING_GROUP, INTERACTIONS).committed


async def test_a_clock_that_ran_ahead_does_not_stop_the_clock() -> None:
    stage = Stage()
    await foreign(stage, wire.encode(Clock(10**15)), CLOCK)
    await stage.say("usage.login")
    assert await goes_on(stage) == ["invalid_time"]
    state = await stage.store.partition_state(0)
    assert state is not None
    assert START < state.clock <= stage.now


async def test_a_record_without_end_fits_into_quarantine() -> None:
    stage = Stage()
    await foreign(stage, b"x" * 1_000_000)
    await foreign(stage, framed(msgspec.structs.replace(ONE, tenant="x" * 500_000 + "/")))
    await foreign(stage, framed(msgspec.structs.replace(ONE, source="x" * 500_000, time=-1)))
    await foreign(stage, framed(msgspec.structs.replace(ONE, source="x" * 500, id="x" * 500_000, time=-1)))
    assert sorted(await goes_on(stage)) == ["invalid_time", "undecodable", "undecodable", "undecodable"]
    assert max(len(record.value) for record in stage.log.records(QUARANTINE)) < 100_000
