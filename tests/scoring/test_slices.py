"""A flush in slices: what comes between them is applied and told, and the log is what decides what is stored."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.scoring.rate_controller import RateController
from shared.domain.contract.events import DAY, HOUR
from shared.domain.errors import Unavailable
from shared.storage.memory import MemoryStore
from shared.stream.frames import CLOCK, kind_of
from shared.stream.memory_group import MemoryMember
from shared.stream.ports import Message
from shared.stream.topics import INTERACTIONS
from tests.scoring.stage import START, Stage
from tests.scoring.test_purity import (
    EXAMPLES,
    PHASES,
    Crash,
    Failing,
    Story,
    silent,
    stored,
    stories,
    tell,
    undisturbed,
)

NAMES = tuple(f"acct-{number}" for number in range(4))


def by_row() -> RateController:
    """One relationship a slice."""
    return RateController(1, 1)


class Held:
    """A store that stops at the write of a state, once it is told of which relationship, until it is let go on."""

    def __init__(self, real: MemoryStore) -> None:
        self._real = real
        self._at = ""
        self.reached = asyncio.Event()
        self._go_on = asyncio.Event()

    def hold(self, relationship: str) -> None:
        """Stop there, and no longer where it stopped before."""
        self._at = f"acme/{relationship}"
        self.reached.clear()

    def release(self) -> None:
        self._go_on.set()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._real, name)
        if name != "write":
            return method

        async def write(writes: Any) -> Any:
            if any(one.collection == "relationships" and one.id == self._at for one in writes):
                self.reached.set()
                await self._go_on.wait()
                self._go_on.clear()
            return await method(writes)

        return write


async def used(stage: Stage) -> None:
    for name in NAMES:
        await stage.say("usage.login", name)


async def test_an_event_that_raises_a_flag_is_told_between_two_slices() -> None:
    stage = Stage()
    store = Held(stage.store)
    worker = await stage.worker(store=store, rate=by_row())
    await used(stage)
    await worker.step()
    store.hold(NAMES[1])
    flushing = asyncio.create_task(worker.flush())
    await store.reached.wait()  # in the second slice
    await stage.say("survey.answered", "acct-9", instrument="nps", score=1)
    applying = asyncio.create_task(worker.step())
    await asyncio.sleep(0)
    assert stage.published() == []
    store.hold(NAMES[2])
    store.release()
    assert await applying == 1
    await store.reached.wait()  # in the third slice
    assert [change.rule for change in stage.published()] == ["nps_detractor"]
    assert set(await stage.store.states([f"acme/{name}" for name in NAMES])) == {"acme/acct-0", "acme/acct-1"}
    assert worker.committed == {}
    store.release()
    await flushing
    assert worker.committed == {0: 4}  # the flag's event is for the next flush
    await worker.flush()
    assert worker.committed == {0: 5}


async def test_nothing_is_committed_before_the_last_slice_and_then_what_was_applied_before_the_first() -> None:
    stage = Stage()
    worker = await stage.worker(rate=by_row())
    await used(stage)
    await worker.step()
    for _ in NAMES[1:]:
        assert not await worker.flush_part()
        assert worker.committed == {}
        await stage.say("usage.login", NAMES[0])
        await worker.step()
    assert await worker.flush_part()
    assert worker.committed == {0: 4}
    assert (await stage.state(NAMES[0])).events == 1  # stored in its turn, and touched again after it
    assert await worker.flush_part()
    assert worker.committed == {0: 7}
    assert (await stage.state(NAMES[0])).events == 4


async def test_what_is_touched_again_before_its_turn_is_stored_as_it_is_then_and_once() -> None:
    stage = Stage()
    worker = await stage.worker(rate=by_row())
    await used(stage)
    await worker.step()
    assert not await worker.flush_part()
    await stage.say("usage.login", NAMES[3])
    await worker.step()
    await worker.flush()
    assert worker.committed == {0: 4}
    assert (await stage.state(NAMES[3])).events == 2
    await worker.flush()
    assert (await stage.state(NAMES[3])).rev == 1


async def test_a_clock_record_between_two_slices_finds_everything_stored_that_it_asks_for() -> None:
    stage = Stage()
    worker = await stage.worker(rate=by_row())
    for name in NAMES:
        await stage.say("promise.made", name, promise="p", due="2026-06-01T12:00:00Z")
    await worker.drain()
    stage.now = START + 4 * HOUR
    await worker.flush()  # appends the clock record
    await used(stage)
    await worker.step()
    published = stage.published_of_each()
    assert {name: [change.moment for change in published[name]] for name in NAMES} == {
        name: [START + 3 * HOUR] for name in NAMES
    }
    assert not await worker.flush_part()
    stage.now = START + 30 * HOUR
    await worker.drain()
    await worker.drain()
    assert worker.committed == {0: len(stage.log.records(INTERACTIONS))}


async def test_what_falls_due_during_a_flush_is_said_in_the_log_before_its_end() -> None:
    stage = Stage()
    worker = await stage.worker(rate=by_row())
    await stage.say("promise.made", "acct-9", promise="p", due="2026-06-01T12:00:00Z")
    await worker.drain()
    await used(stage)
    await worker.step()
    stage.now = START + 4 * HOUR
    for _ in NAMES[1:]:
        assert not await worker.flush_part()
        assert [kind_of(record) for record in stage.log.records(INTERACTIONS)].count(CLOCK) == 1


async def test_a_revocation_between_two_slices_leaves_nothing_of_the_flush() -> None:
    stage = Stage()
    worker = await stage.worker(rate=by_row())
    await used(stage)
    await worker.step()
    assert not await worker.flush_part()
    await worker._processor.revoked([0])
    await worker._processor.assigned([0])
    assert await worker._processor.flush() == {}
    assert set(await stage.store.states([f"acme/{name}" for name in NAMES])) == {"acme/acct-0"}


async def test_a_worker_that_lost_its_partition_between_two_slices_cannot_write() -> None:
    stage = Stage()
    zombie = await stage.worker("zombie", rate=by_row())
    await used(stage)
    await zombie.step()
    assert not await zombie.flush_part()
    await zombie.freeze()
    await used(stage)
    await (await stage.worker("owner")).drain()
    before = stored(stage.store)
    with pytest.raises(Exception, match="changed by another worker"):
        await zombie.flush()
    assert stored(stage.store) == before


async def test_event_ids_that_a_crash_may_still_ask_for_are_not_dropped() -> None:
    stage = Stage(batch_limit=5)
    await used(stage)
    await stage.say("usage.login", NAMES[0], id="same")
    for days in (1, 40):
        stage.now = START + days * DAY
        await stage.say("usage.login", NAMES[0], id="same" if days == 1 else "")
    worker = await stage.worker(rate=by_row(), clock=lambda: START + 40 * DAY)
    await worker.step()
    assert not await worker.flush_part()
    await worker.step()  # reads far ahead of what this flush will have stored
    await worker.flush()
    assert worker.committed == {0: 5}
    await worker.kill()
    await (await stage.worker("heir", clock=silent)).drain()
    assert (await stage.state(NAMES[0])).events == 3


async def test_more_touchpoints_than_the_store_takes_are_flushed_before_more_are_folded() -> None:
    stage = Stage()
    for number in range(2_500):
        await stage.say("message.received", person="ana", id=f"m{number}")
    processor = (await stage.worker(rate=by_row()))._processor
    await processor.assigned([0])
    batch = stage.log.fetch(INTERACTIONS, 0, 0, 5_000)
    assert batch is not None
    await processor.apply(batch)
    for end in (1_000, 2_000, 2_500):  # a thousand are always folded together
        assert processor.full()
        assert await processor.flush() == {0: end}
        assert (await stage.state()).events == end
    assert not processor.full()


async def by_turns(worker: MemoryMember) -> None:
    """A batch, a slice, a batch, a slice, to the end of the log; then the rest of that flush, and one more."""
    while await worker.step():
        await worker.flush_part()
    await worker.flush()
    await worker.flush()


class Silent:
    """A publisher whose broker does not answer any more."""

    async def publish(self, topic: str, partition: int, messages: Sequence[Message]) -> int:
        raise Unavailable("nobody is there")

    async def close(self) -> None:
        """Nothing to close."""


async def told_to_stop(seconds: float) -> None:
    raise Unavailable("told to stop")


async def test_when_the_broker_is_gone_at_the_end_all_that_was_folded_is_stored_and_named() -> None:
    stage = Stage()
    await used(stage)
    scoring = stage.scoring(publisher=Silent(), pause=told_to_stop, rate=by_row())
    worker = await stage.worker(scoring=scoring)
    while await worker.step():
        assert scoring.scored == {0: 0}
    with pytest.raises(Unavailable):
        await worker.flush()
    assert [(await stage.state(name)).events for name in NAMES] == [1] * len(NAMES)
    assert scoring.scored == {0: len(NAMES)}
    await worker.kill()


async def test_what_a_flag_had_stored_before_the_broker_was_gone_is_named() -> None:
    stage = Stage()
    for name in NAMES:
        await stage.say("survey.answered", name, instrument="nps", score=1, person="ana")  # each is told at once
    scoring = stage.scoring(publisher=Silent(), pause=told_to_stop)
    worker = await stage.worker(scoring=scoring)
    with pytest.raises(Unavailable):
        await worker.step()
    assert [(await stage.state(name)).events for name in NAMES] == [1] * len(NAMES)
    assert scoring.scored == {0: len(NAMES)}
    await worker.kill()


async def test_what_a_flag_has_stored_stays_named_when_more_is_folded() -> None:
    stage = Stage()
    scoring = stage.scoring()
    worker = await stage.worker(scoring=scoring)
    await stage.say("survey.answered", NAMES[0], instrument="nps", score=1, person="ana")
    await worker.step()
    assert scoring.scored == {0: 1}
    await stage.say("usage.login", NAMES[1])
    await worker.step()
    assert scoring.scored == {0: 1}
    await worker.kill()


async def test_what_was_passed_over_in_the_log_is_not_named_as_stored() -> None:
    """A run of events is folded before the bad records among them are put aside."""
    stage = Stage()
    await stage.say("usage.login")
    await stage.log.append(INTERACTIONS, 0, [Message(b"no JSON", b"acme/acct-1", (), stage.now)])
    await stage.say("usage.login")
    scoring = stage.scoring(publisher=Silent(), pause=told_to_stop)
    worker = await stage.worker(scoring=scoring)
    with pytest.raises(Unavailable):
        await worker.step()
    assert (await stage.state()).events == 2
    assert scoring.scored == {0: 0}
    await worker.kill()


@settings(max_examples=EXAMPLES, deadline=None, phases=PHASES)
@given(stories, st.integers(1, 8), st.integers(1, 80), st.booleans())
def test_a_crash_between_slices_leaves_the_state_of_an_undisturbed_run(
    story: Story, limit: int, fuse: int, after: bool
) -> None:
    async def crashing() -> tuple[dict[str, Any], dict[str, Any]]:
        stage = Stage(batch_limit=limit)
        await tell(stage, story)
        countdown = [fuse]
        store, publisher = (Failing(real, countdown, after) for real in (stage.store, stage.log.publisher()))
        worker = await stage.worker("w1", clock=silent, store=store, publisher=publisher, rate=by_row())
        try:
            await by_turns(worker)
        except Crash:
            await worker.kill()
            await by_turns(await stage.worker("w2", clock=silent, batch_limit=limit + 1, rate=by_row()))
        return stored(stage.store), stage.published_of_each()

    assert asyncio.run(crashing()) == asyncio.run(undisturbed(story))
