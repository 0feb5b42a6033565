"""A worker with a name of its own (RAPPORT_INSTANCE) restarts without a rebalance: the others go on undisturbed."""

from __future__ import annotations

import signal
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from shared.stream.cluster import KafkaCluster
from tests.contracts.logs import OnKafka
from tests.contracts.recorder import until
from tests.contracts.test_stream_faults import Journal, messages, process

pytestmark = pytest.mark.kafka

PARTITIONS = 4
SESSION_MS = 30_000  # a busy machine takes its time to start a process


def assigned(journal: Journal, who: str) -> str:
    """Its partitions, as it was last given them."""
    rows = journal.lines("assigned", who)
    return rows[-1][2] if rows else ""


def disturbances(journal: Journal, who: str, since: int) -> list[list[str]]:
    return [*journal.lines("revoked", who, since), *journal.lines("assigned", who, since)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_restart_within_the_session_gives_it_its_partitions_back_and_leaves_the_others_alone(
    number: signal.Signals, kafka_bootstrap: str, tmp_path: Path
) -> None:
    log = OnKafka(kafka_bootstrap, session_ms=SESSION_MS)
    topic, journal = await log.topic(PARTITIONS), Journal(tmp_path / "journal")
    publisher = log.publisher()
    async with AsyncExitStack() as workers:
        one = await workers.enter_async_context(process(log, topic, "one", journal, instance="worker-1"))
        await until(lambda: assigned(journal, "one"))
        await workers.enter_async_context(process(log, topic, "two", journal, instance="worker-2"))
        await until(lambda: len(assigned(journal, "one")) == len(assigned(journal, "two")) == len("0,1"))
        mine, others = assigned(journal, "one"), assigned(journal, "two")
        began = journal.length()

        one.send_signal(number)
        await one.wait()
        assert len(await KafkaCluster(kafka_bootstrap).members(f"group-{topic}")) == 2, "it has left the group"
        for partition in range(PARTITIONS):
            await publisher.publish(topic, partition, messages(20))
        theirs = [int(partition) for partition in others.split(",")]
        await until(lambda: all(len(journal.stored(partition)) == 20 for partition in theirs))
        assert not journal.lines("assigned", "again")  # the other is served while it is away

        await workers.enter_async_context(process(log, topic, "again", journal, instance="worker-1"))
        await until(lambda: all(len(set(journal.stored(partition))) == 20 for partition in range(PARTITIONS)))
        assert assigned(journal, "again") == mine
        assert not disturbances(journal, "two", began)
    await log.close()


async def test_without_a_name_the_others_are_given_its_partitions_and_asked_twice(
    kafka_bootstrap: str, tmp_path: Path
) -> None:
    log = OnKafka(kafka_bootstrap, session_ms=SESSION_MS)
    topic, journal = await log.topic(PARTITIONS), Journal(tmp_path / "journal")
    async with AsyncExitStack() as workers:
        one = await workers.enter_async_context(process(log, topic, "one", journal))
        await until(lambda: assigned(journal, "one"))
        await workers.enter_async_context(process(log, topic, "two", journal))
        await until(lambda: len(assigned(journal, "one")) == len(assigned(journal, "two")) == len("0,1"))
        began = journal.length()
        one.terminate()
        await one.wait()
        await until(lambda: assigned(journal, "two") == "0,1,2,3")
        assert disturbances(journal, "two", began)
    await log.close()
