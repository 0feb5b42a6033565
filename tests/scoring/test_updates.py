"""What scoring tells, and that nothing it has found is kept to itself."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from services.scoring.updates import published_since, update_batches
from shared import wire
from shared.domain.columns.row import Row
from shared.domain.contract.events import HOUR
from shared.domain.engine.changes import CHANGES_KEPT
from shared.domain.relationship.fence import Fence
from shared.domain.relationship.flags import Cause, FlagChange, Severity, StandingFlag
from shared.domain.relationship.state import RelationshipState
from shared.stream.ports import Message, Publisher
from shared.stream.topics import UPDATES
from tests.scoring.stage import START, Stage


class Crash(BaseException):
    """Stands for kill -9."""


class Mortal:
    """A publisher; once `doomed`, the process ends as it is about to tell something."""

    def __init__(self, real: Publisher) -> None:
        self._real = real
        self.doomed = False

    async def publish(self, topic: str, partition: int, messages: Sequence[Message]) -> int:
        if self.doomed and topic == UPDATES:
            raise Crash
        return await self._real.publish(topic, partition, messages)

    async def close(self) -> None:
        await self._real.close()


async def dies_before_telling(stage: Stage) -> None:
    """A worker has stored what a clock record has found, a promise that was not kept, and dies as it tells of it."""
    publisher = Mortal(stage.log.publisher())
    worker = await stage.worker(publisher=publisher)
    await stage.say("promise.made", promise="p", due="2026-06-01T12:00:00Z")
    await worker.drain()
    stage.now = START + 4 * HOUR
    await worker.flush()  # appends the clock record
    publisher.doomed = True
    with pytest.raises(Crash):
        await worker.drain()
    await worker.kill()
    assert (await stage.state()).flags["expectation_violated/p"].severity == Severity.CRITICAL
    assert stage.published() == []


def lose_the_log(stage: Stage) -> None:
    """The log is gone, and there is a new one."""
    stage.new_log()
    stage.incarnation = "two"


@pytest.mark.parametrize("lost", [False, True])
async def test_what_a_clock_record_has_found_is_told_after_a_crash_between_store_and_topic(lost: bool) -> None:
    stage = Stage()
    await dies_before_telling(stage)
    if lost:
        lose_the_log(stage)
        await stage.say("usage.login", "acct-2", person="ana")
    await (await stage.worker("heir")).drain()
    assert [(change.rule, change.moment) for change in stage.published()] == [
        ("expectation_violated", START + 3 * HOUR)
    ]
    state = await stage.store.partition_state(0)
    assert state is not None
    assert state.unpublished == ()


async def test_a_place_in_a_log_that_is_gone_says_nothing_of_what_has_been_told_since() -> None:
    """More flags than a state remembers, raised before the position that its last change had in the log before."""
    stage = Stage()
    for _ in range(CHANGES_KEPT * 2):
        await stage.say("usage.login", "acct-2", person="ana")
    await dies_before_telling(stage)
    lose_the_log(stage)
    heir = await stage.worker("heir")
    await stage.say("usage.login", "acct-2", person="ana")
    await heir.drain()
    for number in range(CHANGES_KEPT + 20):
        await stage.say("survey.answered", instrument="nps", score=0, person=f"p{number}")
    await heir.drain()
    raised = [change.subject for change in stage.published() if change.rule == "nps_detractor"]
    assert raised == [f"p{number}" for number in range(CHANGES_KEPT + 20)]


def flagged(name: str, flags: int, reason: str = "") -> Row:
    """A relationship on which one record has raised so many flags."""
    cause = Cause("one", 0, 5)
    changes = tuple(
        FlagChange("feature_decline", f"f{number}", True, START, replace(cause, step=number), reason=reason)
        for number in range(flags)
    )
    state = RelationshipState(id=f"acme/{name}", tenant="acme", relationship=name, changes=changes)
    return Row(0, 0, state)


def test_updates_are_told_in_records_that_a_broker_takes() -> None:
    rows = [flagged(f"acct-{number}", 12, "use is down " * 40) for number in range(200)]
    batches = update_batches(rows, Fence("one", 0, 5), START, START)
    assert len(batches) > 1
    assert max(len(wire.encode(batch)) for batch in batches) < 1_000_000
    published = [update.relationship for batch in batches for update in batch.updates]
    assert published == [f"acct-{number}" for number in range(200)]


def test_very_many_flags_of_one_relationship_are_told_in_several_records_in_order() -> None:
    batches = update_batches([flagged("acct-1", 900, "x" * 2_000)], Fence("one", 0, 5), START, START)
    assert max(len(wire.encode(batch)) for batch in batches) < 1_000_000
    steps = [change.cause.step for batch in batches for update in batch.updates for change in update.changes]
    assert steps == list(range(900))


async def test_a_flag_raised_by_an_event_does_not_wait_for_the_flush() -> None:
    stage = Stage()
    worker = await stage.worker()
    await stage.say("usage.login", "acct-2")
    await stage.say("survey.answered", instrument="nps", score=1)
    await worker.step()
    assert [change.rule for change in stage.published()] == ["nps_detractor"]
    assert (await stage.state()).flags.keys() == {"nps_detractor"}
    assert await stage.store.states(["acme/acct-2"]) == {}  # that waits
    await worker.drain()
    assert [change.rule for change in stage.published()] == ["nps_detractor"]
    assert (await stage.state("acct-2")).events == 1


def test_other_words_are_told_although_the_same_record_has_changed_another_flag() -> None:
    cause = Cause("one", 0, 7)
    state = RelationshipState(id="acme/a", tenant="acme", relationship="a")
    state.flags = {"usage_drop": StandingFlag("usage_drop", "", Severity.WARNING, 1, reason="now", cause=cause)}
    state.changes = (FlagChange("silence", "", True, 2, cause),)
    update = published_since(state, Fence("one", 0, 7))
    assert [change.rule for change in update.changes] == ["silence"]
    assert [flag.rule for flag in update.standing] == ["usage_drop"]
