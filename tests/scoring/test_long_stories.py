"""What shows only after weeks or at length: recorded scores, event ids, old documents, many changes of flags."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from services.scoring.rate_controller import FOLD_LEAST
from shared.domain.columns.months import Month
from shared.domain.contract.events import DAY, HOUR, SECOND, relationship_key
from shared.domain.engine.changes import CHANGES_KEPT
from shared.domain.errors import Unavailable
from shared.storage.memory import MemoryStore
from shared.storage.store import Write
from shared.stream.topics import partition_of
from tests.scoring.stage import START, TENANT, Stage, run_clock


async def months(stage: Stage) -> list[Month]:
    return await stage.store.months([relationship_key(TENANT, "acct-1")], "1970-01")


@pytest.mark.parametrize("step", [DAY, 60 * DAY])
async def test_scores_of_every_day_are_recorded_however_many_are_evaluated_at_once(step: int) -> None:
    stage = Stage()
    worker = await stage.worker()
    await stage.say("message.received", person="ana")
    await worker.drain()
    await run_clock(stage, worker, stage.now + 60 * DAY, step)
    await worker.drain()
    assert sum(len(month.scores) for month in await months(stage)) == 61
    await worker.kill()


async def test_a_head_may_carry_scores_of_longer_ago_than_its_series_reach() -> None:
    """One that has ended is evaluated only when something comes in: its 32 last days may lie years apart."""
    stage = Stage()
    worker = await stage.worker()
    await stage.say("relationship.updated", status="churned")
    for _ in range(20):
        await stage.say("campaign.sent")
        await worker.drain()
        await run_clock(stage, worker, stage.now + 30 * DAY, 10 * DAY)
    carried = [int(day) for day in (await stage.state()).score_days]
    assert carried[-1] - carried[0] > 500
    await worker.kill()
    again = await stage.worker("w2")
    await stage.say("campaign.sent")
    await again.drain()
    assert (await stage.state()).events == 22
    await again.kill()


async def test_a_quiet_partition_does_not_keep_event_ids_of_others() -> None:
    stage = Stage(partitions=2)
    scoring = stage.scoring()
    worker = await stage.worker(scoring=scoring)
    names = [f"acct-{number}" for number in range(20)]
    busy, quiet = (next(name for name in names if partition(name) == number) for number in range(2))
    await stage.say("usage.login", quiet)
    for _ in range(30):
        for _ in range(200):
            await stage.say("usage.login", busy)
        await worker.drain()
        stage.now += DAY
    assert stage.metrics.registry.get_sample_value("rapport_resident_event_ids") < 2 * 8 * 200
    await worker.kill()


async def test_ids_of_a_partition_are_kept_while_another_is_read_past_midnight() -> None:
    """The last moment of the day until which an id counts once, read a little after what others have said since."""
    midnight = START // DAY * DAY + DAY
    stage = Stage(partitions=2, now=midnight, batch_limit=10_000)
    worker = await stage.worker()
    names = [f"acct-{number}" for number in range(20)]
    busy, other = (next(name for name in names if partition(name) == number) for number in range(2))
    await stage.say("usage.login", other, id="same")
    await worker.drain()
    await stage.say("usage.login", other, id="same", received=midnight + 8 * DAY - SECOND)
    stage.now = midnight + 8 * DAY
    for _ in range(2_000):  # so many that the table of ids is made anew
        await stage.say("usage.login", busy)
    await worker._take(0)
    await worker.drain()
    assert stage.metrics.registry.get_sample_value("rapport_events_duplicate_total") == 1
    await worker.kill()


async def test_ids_are_loaded_from_the_store_also_for_what_was_received_a_little_before() -> None:
    """Two ingests, of which one is late with its last record of the day until which an id counts once."""
    midnight = START // DAY * DAY + DAY
    stage = Stage(now=midnight + SECOND)
    worker = await stage.worker()
    await stage.say("usage.login", id="same")
    await worker.drain()
    await worker.kill()
    stage.now += 8 * DAY + SECOND
    worker = await stage.worker("w2")
    for id, received in (("other", stage.now), ("same", midnight + 8 * DAY - SECOND)):
        await stage.say("usage.login", id=id, received=received)
        await worker.drain()
    assert stage.metrics.registry.get_sample_value("rapport_events_duplicate_total") == 1


@pytest.mark.parametrize("limit", [1, 500])
async def test_all_changes_of_flags_are_told_however_many_come_at_once(limit: int) -> None:
    stage = Stage(batch_limit=limit)
    worker = await stage.worker()
    people = [f"person-{number}" for number in range(100)]
    for person in people:
        await stage.say("survey.answered", instrument="nps", score=1, person=person)
    await worker.drain()
    assert [change.subject for change in stage.published()] == people
    assert len((await stage.state()).changes) == CHANGES_KEPT
    await worker.kill()


def partition(name: str) -> int:
    return partition_of(relationship_key(TENANT, name).encode(), 2)


class Stumbling:
    """A store that has to be asked twice to write months; it notes what it was given to write, in order."""

    def __init__(self, real: MemoryStore) -> None:
        self._real = real
        self.stumbles = 0
        self.written: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def write(self, writes: Sequence[Write]) -> list[str]:
        collection = writes[0].collection
        if collection == "months" and self.stumbles:
            self.stumbles -= 1
            raise Unavailable("away")
        self.written.append(collection)
        return await self._real.write(writes)


async def at_once(seconds: float) -> None:
    """Do not wait."""


@pytest.mark.parametrize("stumbles", [0, 1])
async def test_months_with_scores_alone_go_before_the_head_also_when_tried_again(stumbles: int) -> None:
    stage = Stage()
    store = Stumbling(stage.store)
    worker = await stage.worker(store=store, pause=at_once)
    await stage.say("usage.login")
    await worker.drain()
    stage.now += 2 * HOUR
    await worker.flush()
    store.written.clear()
    store.stumbles = stumbles
    await worker.drain()
    assert store.written[:2] == ["months", "relationships"]
    await worker.kill()


async def test_as_many_entries_as_may_wait_are_stored_at_once_with_a_flag() -> None:
    """All of a fold is stored with the flag its last event raises: nothing waits any more, so more may be folded."""
    stage = Stage(batch_limit=5_000)
    for _ in range(FOLD_LEAST + 3_000):
        await stage.say("survey.answered", instrument="nps", score=9, person="ana")
    await stage.say("survey.answered", instrument="nps", score=1, person="bob")
    scoring = stage.scoring()
    worker = await stage.worker(scoring=scoring)
    while await worker.step():
        assert not scoring.full()
    await worker.flush()
    assert (await stage.state()).events == FOLD_LEAST + 3_001
    assert [change.rule for change in stage.published()] == ["nps_detractor"]


async def test_changes_of_a_relationship_do_not_gather_for_a_whole_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.scoring.decode.RUN_EVENTS", 50)
    stage = Stage(batch_limit=1_000)
    for number in range(400):
        await stage.say("survey.answered", instrument="nps", score=0, person=f"p{number}")
    store = Longest(stage.store)
    await (await stage.worker(store=store)).drain()
    assert len([change for change in stage.published() if change.raised]) == 400
    assert store.longest <= CHANGES_KEPT + 2 * 50


class Longest:
    """A store that notes how many changes a state held at most."""

    def __init__(self, real: MemoryStore) -> None:
        self._real = real
        self.longest = 0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._real, name)
        if name != "write":
            return method

        async def write(writes: Sequence[Write]) -> list[str]:
            self.longest = max([self.longest, *(len(one.fields.get("changes", ())) for one in writes)])
            return await self._real.write(writes)

        return write
