"""What a member of a consumer group promises, held against every log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest

from shared.stream.ports import Batch, GroupMember, Message
from tests.contracts.logs import KINDS, Log
from tests.contracts.recorder import Recorder, Store, until

OPTIONS: dict[str, Any] = {"flush_min_ms": 50, "flush_max_ms": 500}


@pytest.fixture(params=KINDS)
async def log(request: pytest.FixtureRequest) -> AsyncIterator[Log]:
    log = KINDS[request.param](request)
    yield log
    await log.close()


@asynccontextmanager
async def running(log: Log, topic: str, recorder: Recorder) -> AsyncIterator[asyncio.Task[None]]:
    """A member that is stopped in the end, and whose failure fails the test."""
    member: GroupMember = log.member(topic, recorder, **OPTIONS)
    task = asyncio.create_task(member.run())
    try:
        yield task
    finally:
        await member.stop()
        await asyncio.wait_for(task, 30)


def messages(count: int) -> list[Message]:
    return [Message(str(n).encode(), timestamp=1_700_000_000_000 + n) for n in range(count)]


async def test_a_flush_in_parts_stores_every_record_once_and_in_order(log: Log) -> None:
    topic = await log.topic(3)
    publisher = log.publisher()
    recorder = Recorder(Store(), part=7)

    async with running(log, topic, recorder) as task:
        await until(lambda: recorder.owned, of=[task])
        for part in range(30):
            await publisher.publish(topic, part % 3, messages(40))
        await until(lambda: recorder.store.count() == 1_200, of=[task])

    assert {p: recorder.store.offsets(p) for p in range(3)} == {p: list(range(400)) for p in range(3)}
    heir = Recorder(Store())
    async with running(log, topic, heir) as task:
        await until(lambda: heir.owned, of=[task])
        await publisher.publish(topic, 0, messages(1))
        await until(lambda: heir.seen[0], of=[task])
    assert heir.seen[0] == [400]  # all of it was committed


async def test_a_member_sees_every_record_of_its_partitions_once_and_in_order(log: Log) -> None:
    topic = await log.topic(3)
    publisher = log.publisher()
    await publisher.publish(topic, 0, messages(700))  # there before it joins
    recorder = Recorder(Store())

    async with running(log, topic, recorder) as task:
        await until(lambda: recorder.owned, of=[task])
        for part in range(10):
            await publisher.publish(topic, part % 3, messages(100))
        await until(lambda: recorder.store.count() == 1_700, of=[task])

    assert recorder.seen == {0: list(range(1_100)), 1: list(range(300)), 2: list(range(300))}
    assert {p: recorder.store.offsets(p) for p in range(3)} == recorder.seen
    assert recorder.calls[0] == "assigned"
    assert recorder.calls[-1] == "revoked"


async def test_flush_is_called_without_traffic_too(log: Log) -> None:
    topic = await log.topic()
    recorder = Recorder(Store())

    async with running(log, topic, recorder) as task:
        await until(lambda: recorder.calls.count("flush") >= 3, of=[task])

    assert "apply" not in recorder.calls


async def test_stop_flushes_and_commits_so_that_the_next_member_begins_there(log: Log) -> None:
    topic = await log.topic()
    store = Store()
    await log.publisher().publish(topic, 0, messages(50))
    first = Recorder(store, "first")
    async with running(log, topic, first) as task:
        await until(lambda: first.seen[0], of=[task])
    stored = store.offsets()
    assert stored == first.seen[0]

    await log.publisher().publish(topic, 0, messages(1))
    second = Recorder(store, "second")
    async with running(log, topic, second) as task:
        await until(lambda: store.count() == 51, of=[task])

    assert second.seen[0] == list(range(len(stored), 51))


async def test_what_was_not_stored_comes_again(log: Log) -> None:
    topic = await log.topic()
    store = Store()
    await log.publisher().publish(topic, 0, messages(50))
    first = Recorder(store, "first", hold=30)
    async with running(log, topic, first) as task:
        await until(lambda: len(first.seen[0]) == 50 and store.count() == 30, of=[task])

    second = Recorder(store, "second")
    async with running(log, topic, second) as task:
        await until(lambda: store.count() == 50, of=[task])

    assert second.seen[0] == list(range(30, 50))


async def test_an_exception_ends_the_member_and_its_batch_comes_again(log: Log) -> None:
    topic = await log.topic()
    store = Store()
    publisher = log.publisher()
    await publisher.publish(topic, 0, messages(20))

    def refuse(batch: Batch) -> None:
        if batch.records[-1].offset >= 20:
            raise ZeroDivisionError("on purpose")

    first = Recorder(store, "first", before_apply=refuse)
    task = asyncio.create_task(log.member(topic, first, **OPTIONS).run())
    await until(lambda: store.count() == 20, of=[task])
    await publisher.publish(topic, 0, messages(20))
    with pytest.raises(ZeroDivisionError, match="on purpose"):
        await asyncio.wait_for(task, 30)
    assert first.calls[-1] == "apply"  # nothing after the failure: no flush, no further batch
    assert first.seen[0] == list(range(20))

    second = Recorder(store, "second")
    async with running(log, topic, second) as task:
        await until(lambda: store.count() == 40, of=[task])

    assert second.seen[0][-20:] == list(range(20, 40))
    assert store.offsets()[-20:] == list(range(20, 40))


async def test_members_share_the_partitions_and_lose_nothing_as_they_come_and_go(log: Log) -> None:
    topic = await log.topic(4)
    publisher = log.publisher()
    store = Store()
    one, two = Recorder(store, "one"), Recorder(store, "two")
    sent = 0
    over = asyncio.Event()

    async def traffic() -> None:
        nonlocal sent
        while not over.is_set():
            await publisher.publish(topic, sent % 4, messages(10))
            sent += 1
            await asyncio.sleep(0.005)

    producing = asyncio.create_task(traffic())
    async with running(log, topic, one) as first:
        await until(lambda: store.count() > 0, of=[first, producing])
        async with running(log, topic, two) as second:
            await until(lambda: two.owned and one.owned and not one.owned & two.owned, of=[first, second, producing])
            assert one.owned | two.owned == {0, 1, 2, 3}
            reached = sum(map(len, two.seen.values()))
            await until(lambda: sum(map(len, two.seen.values())) > reached, of=[first, second, producing])
        await until(lambda: one.owned == {0, 1, 2, 3}, of=[first, producing])
        over.set()
        await producing
        await until(lambda: store.count() == 10 * sent, of=[first])

    for partition in range(4):
        assert_no_gap_and_owners_last(store.rows[partition])


class Slow(Recorder):
    """Takes its time to take partitions over, as behind a slow store."""

    async def assigned(self, partitions: Sequence[int]) -> None:
        await asyncio.sleep(1.0)
        await super().assigned(partitions)


async def test_members_join_while_nothing_has_been_committed_yet(log: Log) -> None:
    topic = await log.topic(4)
    store = Store()
    one, two = Slow(store, "one"), Slow(store, "two")
    async with running(log, topic, one) as first:
        await until(lambda: one.owned, of=[first])
        async with running(log, topic, two) as second:
            await until(lambda: two.owned and one.owned and not one.owned & two.owned, of=[first, second])
            for partition in range(4):
                await log.publisher().publish(topic, partition, messages(10))
            await until(lambda: store.count() == 40, of=[first, second])

    assert all(store.offsets(partition) == list(range(10)) for partition in range(4))


def assert_no_gap_and_owners_last(rows: list[tuple[int, str]]) -> None:
    """Storing goes back only where another owner begins, never skips, and nobody who lost it stores on."""
    reached = 0
    for index, (offset, who) in enumerate(rows):
        before = rows[index - 1] if index else (-1, who)
        assert offset <= reached, f"{offset} stored where {reached} was missing"
        if who == before[1]:
            assert offset == before[0] + 1
        reached = max(reached, offset + 1)
    changes = sum(one[1] != two[1] for one, two in pairwise(rows))
    assert changes <= 2, "one, two, and one again: nobody in between"
