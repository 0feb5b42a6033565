"""What a clock record makes due is worked off in slices; what is said never depends on them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from services.scoring import due
from services.scoring.due import LEAST, MOST, SLICE_SECONDS, SliceSize
from services.scoring.rate_controller import RateController
from shared.domain.contract.events import DAY, HOUR, MINUTE, SECOND
from shared.domain.engine.terms import Terms
from shared.domain.relationship.fence import offset_of
from shared.domain.rules.promises import expectation_violated
from shared.domain.rules.table import RULES
from shared.playbooks.loader import load_playbook
from shared.stream.frames import CLOCK, kind_of
from shared.stream.memory_group import MemoryMember
from shared.stream.topics import INTERACTIONS, UPDATES
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

NAMES = tuple(f"acct-{number}" for number in range(6))


@contextmanager
def slices_of(rows: int) -> Iterator[None]:
    """So many relationships a slice, however long it takes."""
    with pytest.MonkeyPatch.context() as patch:
        for bound in ("FIRST", "MOST", "LEAST"):
            patch.setattr(due, bound, rows)
        yield


class Dawdling(MemoryMember):
    """Works off only so many slices after each batch, as if events kept coming; the rest when there is nothing else."""

    def dawdle(self, slices: list[int]) -> None:
        self._slices = iter(slices)

    async def _catch_up(self) -> None:
        for _ in range(next(self._slices, 1)):
            if self._processor.behind:
                async with self._turn:
                    await self._processor.advance()

    async def drain(self) -> int:
        total = await super().drain()
        while self._processor.behind:
            await self._catch_up()
        await self.flush()
        return total


async def dawdling(stage: Stage, slices: list[int], writer: str = "w1", **overrides: Any) -> Dawdling:
    worker = await stage.worker(writer, **overrides)
    member = Dawdling(worker._group, worker._processor, batch_limit=stage.batch_limit)
    member.dawdle(slices)
    return member


async def clock(stage: Stage) -> None:
    await stage.tick()


async def promised(stage: Stage) -> None:
    """Everybody has a promise that breaks at 9:30."""
    for name in NAMES:
        await stage.say("promise.made", name, promise="p", due="2026-06-01T09:30:00Z")


@settings(max_examples=EXAMPLES, deadline=None, phases=PHASES)
@given(stories, st.integers(1, 6), st.lists(st.integers(0, 3), max_size=20))
def test_events_between_slices_change_nothing(story: Story, limit: int, slices: list[int]) -> None:
    async def run() -> tuple[dict[str, Any], dict[str, Any]]:
        stage = Stage(batch_limit=limit)
        await tell(stage, story)
        with slices_of(1):
            await (await dawdling(stage, slices, clock=silent)).drain()
        return stored(stage.store), stage.published_of_each()

    assert asyncio.run(run()) == asyncio.run(undisturbed(story))


CORRECTED_BEFORE_IT_CAME: Story = [  # what is said of a message comes before it, and after it
    ("acct-2", 8, True, ("event.corrected", {"about": "m3"})),
    ("acct-2", 5_000, True, ("message.received", {"person": "ana", "id": "m3"})),
    ("acct-2", 60, False, ("event.retracted", {"about": "m3"})),
]


@settings(max_examples=EXAMPLES, deadline=None, phases=PHASES)
@given(stories, st.integers(1, 6), st.lists(st.integers(0, 3), max_size=20), st.integers(1, 60), st.booleans())
@example(CORRECTED_BEFORE_IT_CAME, 3, [], 9, True)
def test_a_crash_between_slices_changes_nothing(
    story: Story, limit: int, slices: list[int], fuse: int, after: bool
) -> None:
    async def run() -> tuple[dict[str, Any], dict[str, Any]]:
        stage, left = Stage(batch_limit=limit), [fuse]
        await tell(stage, story)
        failing = {"store": Failing(stage.store, left, after), "publisher": Failing(stage.log.publisher(), left, after)}
        with slices_of(1):
            worker = await dawdling(stage, slices, clock=silent, **failing)
            try:
                while await worker.step():
                    await worker.flush()
            except Crash:
                pass
            await worker.kill()
            await (await dawdling(stage, slices, "w2", clock=silent)).drain()
        return stored(stage.store), stage.published_of_each()

    assert asyncio.run(run()) == asyncio.run(undisturbed(story))


async def test_an_event_has_its_relationship_evaluated_first_as_of_the_clock_record() -> None:
    stage = Stage()
    worker = await dawdling(stage, [0] * 9, clock=silent)
    await promised(stage)
    await worker.step()
    stage.now += HOUR
    await clock(stage)
    await worker.step()
    assert worker._processor.behind
    stage.now += MINUTE
    await stage.say("promise.kept", NAMES[5], promise="p")
    await worker.step()
    state = worker._processor._block.rows[f"acme/{NAMES[5]}"].state  # type: ignore[attr-defined]
    assert [(change.raised, change.moment, offset_of(change.cause.position)) for change in state.changes] == [
        (True, START + HOUR, len(NAMES)),
        (False, START + HOUR + MINUTE, len(NAMES) + 1),
    ]
    assert worker._processor.behind


async def test_once_a_second_it_is_seen_what_is_due_although_no_flush_is() -> None:
    stage = Stage()
    worker = await dawdling(stage, [])
    await promised(stage)
    await worker.step()
    await worker.flush()
    assert not worker._processor.behind
    stage.now += HOUR
    assert worker._processor.behind
    await worker._processor.advance()
    assert not worker._processor.behind  # for a second
    await worker.step()
    assert [change.moment for change in stage.published()] == [START + HOUR] * len(NAMES)
    stage.now += SECOND
    assert worker._processor.behind


async def test_nothing_from_the_clock_record_on_is_committed_before_it_is_over() -> None:
    stage = Stage()
    with slices_of(1):
        worker = await dawdling(stage, [0] * 9, clock=silent)
        await promised(stage)
        await worker.step()
        stage.now += HOUR
        await clock(stage)
        for number in range(len(NAMES) + 1):
            await stage.say("usage.login", NAMES[number % 3])
            await worker.step()
            await worker.flush()
            assert worker.committed == {0: len(NAMES)}, number
            assert worker._processor.behind
        await worker.drain()
    assert worker.committed == {0: 2 * len(NAMES) + 2}
    assert [change.moment for change in stage.published()] == [START + HOUR] * len(NAMES)


@pytest.mark.parametrize("rows", [1, 2, 100])
async def test_what_is_not_in_memory_is_found_in_the_store_although_all_is_due_at_one_moment(rows: int) -> None:
    stage = Stage()
    await promised(stage)
    first = await stage.worker()
    await first.drain()
    await first.kill()
    stage.now += HOUR
    await clock(stage)
    with slices_of(rows):
        second = await dawdling(stage, [], "w2", clock=silent)
        await second.drain()
    found = stage.published_of_each()
    assert {name: [change.moment for change in changes] for name, changes in found.items()} == {
        name: [START + HOUR] for name in NAMES
    }
    assert await stage.store.due(0, stage.now, 10) == []


async def test_a_clock_record_that_comes_while_another_is_not_over() -> None:
    stage = Stage()
    with slices_of(1):
        worker = await dawdling(stage, [0, 1, 1, 0, 0], clock=silent)
        await promised(stage)
        for name in NAMES:
            await stage.say("promise.made", name, promise="q", due="2026-06-01T15:00:00Z")
        await worker.step()
        stage.now += HOUR
        await clock(stage)
        await worker.step()
        stage.now += 6 * HOUR
        await clock(stage)
        await clock(stage)  # not later: says nothing new
        await worker.drain()
    raised = [(change.subject, change.moment - START, offset_of(change.cause.position)) for change in stage.published()]
    ticks = 2 * len(NAMES)
    assert sorted(raised) == [("p", HOUR, ticks)] * len(NAMES) + [("q", 6 * HOUR, ticks + 1)] * len(NAMES)


async def test_the_clock_does_not_move_before_what_it_has_led_to_is_stored() -> None:
    stage = Stage()
    worker = await stage.worker(clock=silent, rate=RateController(1, 1))
    for name in NAMES:
        await stage.say("usage.login", name)
    await worker.step()
    assert not await worker.flush_part()
    stage.now += HOUR
    await clock(stage)
    await worker.step()  # worked off while a flush that began before is under way
    while not await worker.flush_part():
        pass
    await worker.kill()
    await (await stage.worker("heir", clock=silent)).drain()
    assert {(await stage.state(name)).evaluated_at for name in NAMES} == {START + HOUR}
    state = await stage.store.partition_state(0)
    assert state is not None
    assert (state.clock, offset_of(state.position)) == (START + HOUR, len(NAMES))


async def test_a_correction_finds_what_was_stored_when_its_relationship_was_evaluated_first() -> None:
    async def told(slices: list[int]) -> dict[str, Any]:
        stage = Stage()
        worker = await dawdling(stage, slices, clock=silent)
        await stage.say("promise.made", promise="p", due="2026-06-01T09:30:00Z")
        await stage.say("survey.answered", id="said", instrument="nps", score=9, person="ana")
        await worker.step()
        stage.now += HOUR
        await clock(stage)
        await worker.step()
        replacement = {"type": "message.received", "data": {"person": "bob"}}
        await stage.say("event.corrected", about="said", replacement=replacement)
        await worker.drain()
        return stored(stage.store)

    assert await told([0] * 9) == await told([9] * 9)


async def test_while_clock_records_are_not_over_none_is_appended() -> None:
    stage = Stage()
    with slices_of(1):
        worker = await dawdling(stage, [0] * 50)
        await promised(stage)
        await worker.step()
        await worker.flush()
        for _ in range(5):
            stage.now += HOUR
            await worker.flush()
            await worker.step()
        records = [record for record in stage.log.records(INTERACTIONS, 0) if kind_of(record) == CLOCK]
    assert len(records) == 1


async def test_a_flag_is_published_before_the_last_slice() -> None:
    stage = Stage()
    with slices_of(1):
        worker = await dawdling(stage, [0, 1], clock=silent)
        await promised(stage)
        await worker.step()
        await worker.flush()
        stage.now += HOUR
        await clock(stage)
        await worker.step()
    assert len(stage.published()) == 1
    state = await stage.store.partition_state(0)
    assert state is not None
    assert len(state.unpublished) == 1


async def test_the_version_before_a_rule_goes_on_with_the_flags_that_it_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    new = replace(expectation_violated, name="promise_at_risk")
    stage = Stage()
    with monkeypatch.context() as newer:
        newer.setitem(RULES, new.name, new)
        stage.terms = Terms(load_playbook(None), phase=lambda id: 0)
        worker = await stage.worker()
        await promised(stage)
        await worker.drain()
        stage.now += HOUR
        await clock(stage)
        await worker.drain()
        await worker.kill()
    raised = {f"{rule}/p" for rule in (new.name, "expectation_violated")}
    assert (await stage.state(NAMES[0])).flags.keys() == raised
    stage.terms = Terms(load_playbook(None), phase=lambda id: 0)
    older = await stage.worker("older")
    await stage.say("promise.kept", NAMES[0], promise="p")
    stage.now += DAY
    await clock(stage)
    await older.drain()
    assert (await stage.state(NAMES[0])).flags.keys() == {f"{new.name}/p"}
    assert (await stage.state(NAMES[1])).flags.keys() == raised
    assert stage.log.records(UPDATES, 0)


def test_slices_are_as_large_as_time_allows() -> None:
    size = SliceSize()
    first = size.rows
    size.took(first, SLICE_SECONDS / 10)
    assert size.rows == 2 * first  # one quick slice does not decide
    size.took(size.rows, 4 * SLICE_SECONDS)
    assert size.rows == first // 2
    size.took(size.rows // 3, SLICE_SECONDS / 100)  # so few say little
    assert size.rows == first // 2
    for _ in range(20):
        size.took(size.rows, 0)
    assert size.rows == MOST
    for _ in range(20):
        size.took(size.rows, 100.0)
    assert size.rows == LEAST
