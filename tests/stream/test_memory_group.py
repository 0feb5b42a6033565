"""Members in memory that are killed or frozen, turn by turn."""

from __future__ import annotations

from shared.stream.memory import MemoryLog
from shared.stream.ports import Message
from tests.contracts.recorder import Recorder, Store

TOPIC = "topic"


async def filled(count: int, partitions: int = 1) -> MemoryLog:
    log = MemoryLog(partitions)
    for partition in range(partitions):
        await log.append(TOPIC, partition, [Message(str(n).encode()) for n in range(count)])
    return log


async def test_a_step_takes_what_there_is_and_a_drain_flushes_it_too() -> None:
    log = await filled(10)
    store = Store()
    member = log.member(TOPIC, Recorder(store))

    assert await member.step() == 10
    assert store.offsets() == []
    await log.append(TOPIC, 0, [Message(b"later")])
    assert await member.drain() == 1
    assert store.offsets() == list(range(11))
    assert member.committed == {0: 11}


async def test_a_killed_member_leaves_what_it_had_not_flushed_to_the_next() -> None:
    log = await filled(10)
    store = Store()
    one = log.member(TOPIC, Recorder(store, "one"))
    await one.drain()
    await log.append(TOPIC, 0, [Message(b"lost")] * 5)
    await one.step()
    await one.kill()

    two = Recorder(store, "two")
    assert await log.member(TOPIC, two).drain() == 5
    assert two.seen[0] == list(range(10, 15))
    assert store.offsets() == list(range(15))


async def test_a_second_member_takes_over_half_of_the_partitions() -> None:
    log = await filled(5, partitions=4)
    store = Store()
    first, second = Recorder(store, "one"), Recorder(store, "two")
    one, two = log.member(TOPIC, first), log.member(TOPIC, second)
    await one.step()
    assert await two.drain() == 0  # what one had taken, it flushed before it let go

    assert (first.owned, second.owned) == ({0, 2}, {1, 3})
    assert store.count() == 20
    await two.kill()
    assert first.owned == {0, 1, 2, 3}


async def test_a_member_frozen_in_a_flush_stores_as_it_wakes_but_does_not_commit() -> None:
    log = await filled(10)
    store = Store()
    sleeper, heir = Recorder(store, "sleeper"), Recorder(store, "heir")
    frozen, awake = log.member(TOPIC, sleeper), log.member(TOPIC, heir)
    await frozen.step()
    await frozen.freeze()

    assert await awake.drain() == 10
    await log.append(TOPIC, 0, [Message(b"later")])
    await awake.drain()
    await frozen.flush()
    assert [who for _, who in store.rows[0]] == ["heir"] * 11 + ["sleeper"] * 10  # what fences are for
    assert frozen.committed == {0: 11}
    await frozen.step()
    assert sleeper.calls[-2:] == ["revoked", "assigned"]


async def test_different_groups_do_not_share() -> None:
    log = await filled(3)
    one, two = Recorder(Store()), Recorder(Store())

    assert await log.member(TOPIC, one, group="a").drain() == 3
    assert await log.member(TOPIC, two, group="b").drain() == 3
