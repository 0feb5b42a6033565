"""Partition counts and consumer groups as whoever changes topics sees them: the same in memory and on brokers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from shared.domain.errors import Misconfigured, Unavailable
from shared.embedded.ports import LOOPBACK, free_port
from shared.stream.cluster import Cluster, KafkaCluster, Position
from shared.stream.memory_cluster import MemoryCluster
from shared.stream.ports import Message
from tests.contracts.logs import KINDS, InMemory, Log, OnKafka
from tests.contracts.recorder import Recorder, Store, until

GROWING = [name for name in KINDS if name != "embedded broker"]


@pytest.fixture(params=list(KINDS))
async def log(request: pytest.FixtureRequest) -> AsyncIterator[Log]:
    log = KINDS[request.param](request)
    yield log
    await log.close()


def cluster_of(log: Log) -> Cluster:
    if isinstance(log, OnKafka):
        return KafkaCluster(log.bootstrap)
    assert isinstance(log, InMemory)
    return MemoryCluster(log.log)


def group_of(log: Log, topic: str) -> str:
    return f"group-{topic}" if isinstance(log, OnKafka) else "group"


def messages(count: int) -> list[Message]:
    return [Message(str(number).encode(), timestamp=1_700_000_000_000) for number in range(count)]


async def test_counts_are_those_of_creation(log: Log) -> None:
    one, three = await log.topic(1), await log.topic(3)
    counts = await cluster_of(log).counts()
    assert (counts[one], counts[three]) == (1, 3)


async def test_a_group_that_never_was_has_nobody_and_nothing_committed(log: Log) -> None:
    topic = await log.topic(2)
    await log.publisher().publish(topic, 1, messages(3))
    cluster, group = cluster_of(log), group_of(log, topic)
    assert await cluster.members(group) == []
    assert await cluster.positions(group, topic) == [Position(0, 0, 0), Position(1, 0, 3)]
    assert [at.left for at in await cluster.positions(group, topic)] == [0, 3]


async def test_members_and_what_they_have_committed_are_seen_while_they_are_there(log: Log) -> None:
    topic = await log.topic(2)
    publisher, cluster, group = log.publisher(), cluster_of(log), group_of(log, topic)
    await publisher.publish(topic, 0, messages(5))
    recorder = Recorder(Store())
    member = log.member(topic, recorder)
    running = asyncio.create_task(member.run())
    await until(lambda: len(recorder.seen[0]) == 5, of=[running])
    assert len(await cluster.members(group)) == 1

    await member.stop()
    await running
    await publisher.publish(topic, 0, messages(2))
    [first, second] = await cluster.positions(group, topic)
    assert (first.committed, first.end, first.left) == (5, 7, 2)
    assert (second.end, second.left) == (0, 0)
    assert await cluster.members(group) == []


@pytest.mark.parametrize("log", GROWING, indirect=True)
async def test_growing_leaves_what_there_is_and_adds_empty_partitions(log: Log) -> None:
    topic = await log.topic(2)
    publisher, cluster = log.publisher(), cluster_of(log)
    await publisher.publish(topic, 1, messages(3))
    await cluster.grow(topic, 5)
    assert (await cluster.counts())[topic] == 5
    ends = [at.end for at in await cluster.positions(group_of(log, topic), topic)]
    assert ends == [0, 3, 0, 0, 0]
    assert await log.publisher().publish(topic, 4, messages(1)) == 0


@pytest.mark.embedded
async def test_a_broker_that_cannot_grow_topics_says_so(tansu_bootstrap: str) -> None:
    log = OnKafka(tansu_bootstrap)
    topic = await log.topic(2)
    with pytest.raises(Misconfigured, match=r"cannot add partitions.*Growing needs Apache Kafka"):
        await KafkaCluster(tansu_bootstrap).grow(topic, 4)
    assert (await KafkaCluster(tansu_bootstrap).counts())[topic] == 2


@pytest.mark.kafka
async def test_a_count_that_the_broker_refuses_is_told(kafka_bootstrap: str) -> None:
    topic = await OnKafka(kafka_bootstrap).topic(2)
    with pytest.raises(Misconfigured, match=f"{topic} cannot be grown to 1 partitions"):
        await KafkaCluster(kafka_bootstrap).grow(topic, 1)


async def test_without_a_broker_it_is_unavailable() -> None:
    nowhere = KafkaCluster(f"{LOOPBACK}:{free_port()}", timeout=3.0)
    for ask in (nowhere.counts(), nowhere.members("group"), nowhere.grow("topic", 2)):
        with pytest.raises(Unavailable, match="does not answer"):
            await ask
