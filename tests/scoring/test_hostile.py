"""What is within the contract, and meant to break the worker: it is refused, or bounded, and scoring goes on."""

from __future__ import annotations

from typing import Any

import pytest

from shared import wire
from shared.domain.columns import counters
from shared.domain.contract.events import CLOCK_KEY, DAY, HOUR, MAX_TIME, Clock, Interaction
from shared.stream.ports import Message
from shared.stream.quarantine import KEPT_BYTES, Quarantined
from shared.stream.topics import INTERACTIONS, QUARANTINE
from tests.scoring.stage import START, Stage, run_clock

KEY = b"acme/acct-1"
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


@pytest.mark.parametrize(("tenant", "relationship"), [("", "acct-1"), ("a/b", "c"), ("acme", "")])
@pytest.mark.parametrize("type", ["usage.login", "message.received"])
async def test_a_record_of_nobody(type: str, tenant: str, relationship: str) -> None:
    stage = Stage()
    event = Interaction(tenant, relationship, "e1", "test", type, stage.now)
    record = Message(wire.encode(event), f"{tenant}/{relationship}".encode(), (), stage.now)
    await stage.log.append(INTERACTIONS, 0, [record])
    assert await goes_on(stage) == ["no_relationship"]
    assert stage.store._docs["relationships"] == {}


@pytest.mark.parametrize("type", ["usage.login", "message.received"])
async def test_a_record_under_the_key_of_another_relationship(type: str) -> None:
    stage = Stage()
    event = Interaction("acme", "acct-1", "e1", "test", type, stage.now)
    await stage.log.append(INTERACTIONS, 0, [Message(wire.encode(event), b"acme/acct-2", (), stage.now)])
    assert await goes_on(stage) == ["wrong_key"]


def use(**fields: Any) -> bytes:
    event = {"tenant": "acme", "relationship": "acct-1", "id": "x", "source": "test", "type": "usage.login"}
    return wire.encode(event | {"time": START} | fields)


async def foreign(stage: Stage, value: bytes | None, key: bytes = KEY, timestamp: int = START) -> None:
    """A record as only somebody else than ingest could write it; a tombstone has no value."""
    raw: Any = value
    await stage.log.append(INTERACTIONS, 0, [Message(raw, key, (), timestamp)])


async def set_aside(stage: Stage, value: bytes | None, key: bytes, timestamp: int = START) -> list[tuple[str, str]]:
    """Reason and origin of what the workers set aside of a foreign record between two uses, which are scored.

    The first worker is killed before it has stored anything, so the second one reads all of it again.
    """
    await stage.say("usage.login")
    await foreign(stage, value, key, timestamp)
    await stage.say("usage.login")
    first = await stage.worker("w1")
    assert await first.step() == 3
    await first.kill()
    await goes_on(stage)
    state = await stage.state()
    assert state.events == 2
    assert START <= state.clock <= stage.now
    found = [wire.decode(record.value, Quarantined) for record in stage.log.records(QUARANTINE)]
    assert [item.original for item in found] == [(value or b"")[:KEPT_BYTES]] * 2
    return sorted({(item.reason, item.origin) for item in found})


@pytest.mark.parametrize(
    ("value", "key", "reason"),
    [
        (None, KEY, "empty"),
        (None, CLOCK_KEY, "empty"),
        (b"", KEY, "undecodable"),
        (use()[:-1] + b',"data":' + DEEP + b"}", KEY, "undecodable"),
        (use(type="message.received")[:-1] + b',"data":' + DEEP + b"}", KEY, "undecodable"),
        (use()[:-1] + b',"more":' + DEEP + b"}", KEY, "undecodable"),
        (b'{"now":1,"more":' + DEEP + b"}", CLOCK_KEY, "undecodable"),
        (b'{"now":-1}', CLOCK_KEY, "invalid_time"),
        (wire.encode(Clock(START + DAY + 1)), CLOCK_KEY, "invalid_time"),
        (wire.encode(Clock(10**15)), CLOCK_KEY, "invalid_time"),
        (b'{"now":%d}' % 2**70, CLOCK_KEY, "invalid_time"),
        (use(relationship="\ufffd"), b"acme/\xff", "wrong_key"),
        (use(relationship="\ufffd", type="message.received"), b"acme/\xff", "wrong_key"),
    ],
)
async def test_a_value_or_key_of_a_foreign_writer(value: bytes | None, key: bytes, reason: str) -> None:
    assert await set_aside(Stage(), value, key) == [(reason, f"{INTERACTIONS}/0/1")]


@pytest.mark.parametrize("timestamp", [-(2**63), -1, 0, MAX_TIME + 1, START * 1_000, START * 10**6, 2**63 + 5])
@pytest.mark.parametrize(
    ("value", "key"), [(use(), KEY), (use(type="message.received"), KEY), (wire.encode(Clock(START)), CLOCK_KEY)]
)
async def test_a_moment_of_receipt_that_is_none(timestamp: int, value: bytes, key: bytes) -> None:
    assert await set_aside(Stage(), value, key, timestamp) == [("invalid_time", f"{INTERACTIONS}/0/1")]


@pytest.mark.parametrize("limit", [1, 500])
async def test_keys_that_are_read_alike_are_not_taken_for_one(limit: int) -> None:
    stage = Stage(batch_limit=limit)
    for number, key in enumerate(["acme/\ufffd".encode(), b"acme/\xff", "acme/\ufffd".encode()]):
        await foreign(stage, use(relationship="\ufffd", id=f"x{number}"), key)
    await (await stage.worker()).drain()
    state = await stage.state("\ufffd")
    assert (state.events, state.position) == (2, 2)
    assert await goes_on(stage) == ["wrong_key"]


async def test_a_clock_that_ran_ahead_does_not_stop_the_clock() -> None:
    stage = Stage()
    await foreign(stage, wire.encode(Clock(10**15)), CLOCK_KEY)
    await stage.say("usage.login")
    assert await goes_on(stage) == ["invalid_time"]
    state = await stage.store.partition_state(0)
    assert state is not None
    assert START < state.clock <= stage.now


async def test_a_key_without_end_fits_into_quarantine() -> None:
    stage = Stage()
    await foreign(stage, use(), b"\xff" * 1_000_000)
    await foreign(stage, use(), b"x" * 1_000_000)
    await foreign(stage, use(), b"acme/" + b"x" * 1_000_000)
    assert await goes_on(stage) == ["wrong_key"] * 3
    assert max(len(record.value) for record in stage.log.records(QUARANTINE)) < 10_000
