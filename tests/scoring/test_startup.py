"""What a scoring worker checks when it begins, and what beginning costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from shared.domain.contract.events import DAY
from shared.domain.errors import Misconfigured
from shared.storage.store import Incarnation
from shared.stream.topics import INTERACTIONS, SCORING_GROUP, UPDATES
from tests.scoring.stage import Stage


class Counting:
    """A store that counts what it is asked."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._real, name)

        async def call(*args: Any) -> Any:
            self.calls[name] += 1
            return await method(*args)

        return call


async def with_relationships(count: int) -> Stage:
    """A stage whose store has so many relationships, all of them told."""
    stage = Stage()
    await stage.store.set_incarnation(Incarnation(UPDATES, "updates", 1))
    for number in range(count):
        await stage.say("message.received", f"acct-{number}", at=stage.now - DAY, person="ana")
    member = await stage.worker(clock=lambda: 0)
    await member.drain()
    await member.kill()
    return stage


async def asked_at_start(stage: Stage) -> Counter[str]:
    """What the store is asked from the assignment to the end of the first batch."""
    await stage.say("message.received", "acct-1", person="ana")
    store = Counting(stage.store)
    member = await stage.worker("w2", store=store, clock=lambda: 0)
    assert await member.step() == 1
    return store.calls


async def test_a_start_asks_the_store_as_often_with_many_relationships_as_with_few() -> None:
    few, many = await with_relationships(3), await with_relationships(700)
    asked = await asked_at_start(few)
    assert asked == await asked_at_start(many)
    assert asked["states"] == 1
    assert not asked["states_of_partition"]


async def test_only_a_new_topic_of_updates_has_all_relationships_looked_through() -> None:
    stage = await with_relationships(700)
    await stage.store.set_incarnation(Incarnation(UPDATES, "made anew", 1))
    assert (await asked_at_start(stage))["states_of_partition"] == 3  # two pages, and the end


async def test_a_log_without_a_record_of_it_is_refused() -> None:
    stage = Stage()
    member = await stage.worker()
    stage.store._docs["meta"].clear()
    with pytest.raises(Misconfigured, match="run `rapport init` first"):
        await member.step()


async def test_another_partition_count_than_the_recorded_one_is_refused() -> None:
    stage = Stage(partitions=2)
    member = await stage.worker()
    await stage.store.set_incarnation(Incarnation(INTERACTIONS, "one", 4))
    with pytest.raises(Misconfigured, match=r"4 partitions, the settings say 2: set RAPPORT_PARTITIONS=4"):
        await member.step()


async def test_another_incarnation_than_at_the_start_ends_the_worker_before_it_stores() -> None:
    stage = Stage()
    member = await stage.worker()
    await stage.say("message.received", person="ana")
    await member.step()
    await stage.store.set_incarnation(Incarnation(INTERACTIONS, "two", 1))
    with pytest.raises(Misconfigured, match="was recreated: starting again"):
        await member.flush()
    assert not stage.store._docs["relationships"]
    assert not stage.log.group(SCORING_GROUP, INTERACTIONS).committed


async def test_a_fence_beyond_the_logs_end_ends_the_worker_and_says_what_to_do() -> None:
    stage = Stage()
    for _ in range(3):
        await stage.say("message.received", person="ana")
    member = await stage.worker()
    await member.drain()
    await member.kill()
    anew = Stage(store=stage.store)  # the log of the same incarnation, emptied behind our back
    await anew.say("message.received", person="ana")
    with pytest.raises(Misconfigured, match=r"folded up to offset 2 .* ends at 1: .*`rapport init --new-incarnation`"):
        await (await anew.worker()).step()
