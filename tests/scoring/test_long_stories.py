"""What shows only after weeks or at length: recorded scores, event ids, old documents, many changes of flags."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from shared.domain.errors import Unavailable
from shared.domain.evaluation import CHANGES_KEPT
from shared.domain.events import DAY, HOUR, relationship_key
from shared.domain.usage import Month
from shared.storage.memory import MemoryStore
from shared.storage.store import Write
from shared.stream.topics import partition_of
from tests.scoring.stage import TENANT, Stage, run_clock


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
    carried = [int(day) for day in (await stage.head()).score_days]
    assert carried[-1] - carried[0] > 500
    await worker.kill()
    again = await stage.worker("w2")
    await stage.say("campaign.sent")
    await again.drain()
    assert (await stage.head()).events == 22
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


@pytest.mark.parametrize("limit", [1, 500])
async def test_all_changes_of_flags_are_told_however_many_come_at_once(limit: int) -> None:
    stage = Stage(batch_limit=limit)
    worker = await stage.worker()
    people = [f"person-{number}" for number in range(100)]
    for person in people:
        await stage.say("survey.answered", instrument="nps", score=1, person=person)
    await worker.drain()
    assert [change.subject for change in stage.told()] == people
    assert len((await stage.head()).changes) == CHANGES_KEPT
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
