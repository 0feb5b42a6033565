"""A topic of updates that was made anew is told how the standing flags came about, once."""

from __future__ import annotations

from shared import wire
from shared.domain.contract.events import HOUR
from shared.domain.relationship.flags import FlagChange, UpdateBatch
from shared.storage.store import Incarnation
from shared.stream.topics import UPDATES
from tests.scoring.stage import Stage


async def told_by_a_worker(stage: Stage, updates: str) -> list[FlagChange]:
    """The flag changes that a new worker tells while `rapport.updates` has this incarnation."""
    await stage.store.set_incarnation(Incarnation(UPDATES, updates, stage.partitions))
    before = len(stage.log.records(UPDATES, 0))
    member = await stage.worker()
    await member.drain()
    await member.flush()
    await member.kill()
    records = stage.log.records(UPDATES, 0)[before:]
    batches = [wire.decode(record.value, UpdateBatch) for record in records]
    return [change for batch in batches for update in batch.updates for change in update.changes]


async def test_what_nobody_may_have_read_is_told_again_once() -> None:
    stage = Stage()
    await stage.say("survey.answered", instrument="nps", score=2, person="dana@acme.example")
    await stage.say("survey.answered", "acct-2", instrument="nps", score=9, person="kim@acme.example")
    first = await told_by_a_worker(stage, "one")
    assert [(change.rule, change.raised) for change in first] == [("nps_detractor", True)]
    assert await told_by_a_worker(stage, "one") == []
    assert await told_by_a_worker(stage, "two") == first
    assert await told_by_a_worker(stage, "two") == []


async def test_of_several_logs_only_the_last_is_told_again() -> None:
    stage = Stage()
    await stage.say("survey.answered", instrument="nps", score=2, person="dana@acme.example")
    await told_by_a_worker(stage, "one")
    stage.incarnation, stage.now = "next", stage.now + HOUR
    await stage.say("survey.answered", instrument="nps", score=9, person="dana@acme.example")
    assert [change.raised for change in await told_by_a_worker(stage, "two")] == [True, False]
    assert [change.raised for change in await told_by_a_worker(stage, "three")] == [False]
