"""What is within the contract, and meant to break the worker: it is refused, or bounded, and scoring goes on."""

from __future__ import annotations

import pytest

from shared import wire
from shared.domain import counters
from shared.domain.events import HOUR, MAX_TIME, Interaction
from shared.stream.ports import Message
from shared.stream.quarantine import Quarantined
from shared.stream.topics import INTERACTIONS, QUARANTINE
from tests.scoring.stage import Stage, run_clock


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
    head = await stage.head()
    assert len(head.facts.promises) == 200
    assert len(wire.encode(head)) < 2_000_000
    assert max(len(change.reason) for change in stage.told()) < 1_000


async def test_ever_new_custom_fields() -> None:
    stage = Stage()
    for number in range(150):
        await stage.say("relationship.updated", at=stage.now + number, custom={f"field-{number}": "v" * 900})
    assert await goes_on(stage) == []
    directory = (await stage.head()).directory
    assert list(directory.custom) == [f"field-{number}" for number in range(50, 150)]
    assert set(directory.said_at) == {f"custom.field-{number}" for number in range(50, 150)}


async def test_ever_new_detractors() -> None:
    stage = Stage()
    for number in range(205):
        await stage.say("survey.answered", instrument="nps", score=1, person=f"person-{number}", at=stage.now + number)
    assert await goes_on(stage) == []
    standing = [flag.subject for flag in (await stage.head()).flags.values()]
    assert standing == [f"person-{number}" for number in range(5, 205)]
    cleared = [change.subject for change in stage.told() if not change.raised]
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
    assert (await stage.head()).windows.usage[0] == sum(counts.values())


@pytest.mark.parametrize("type", ["usage.login", "message.received"])
@pytest.mark.parametrize("time", [-1, MAX_TIME + 1, 10**18])
async def test_a_time_that_no_calendar_has(type: str, time: int) -> None:
    stage = Stage()
    await stage.say(type, at=time)
    await stage.say(type, at=MAX_TIME)
    assert await goes_on(stage) == ["invalid_time"]
    assert (await stage.head()).events == 1


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
