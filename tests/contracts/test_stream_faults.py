"""What a member keeps when its process is killed or stopped, and when the log is not the one it knew."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import groupby
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import OffsetAndMetadata

from shared.domain.errors import Misconfigured, Unavailable
from shared.embedded.ports import LOOPBACK, free_port
from shared.embedded.process import dies_with_parent
from shared.stream.admin import create_topics, delete_topics
from shared.stream.ports import Message
from tests.contracts.logs import KINDS, OnKafka
from tests.contracts.member_process import Options
from tests.contracts.recorder import Recorder, Store, until

BROKERS = [name for name in KINDS if name != "memory"]


@pytest.fixture(params=BROKERS)
async def log(request: pytest.FixtureRequest) -> AsyncIterator[OnKafka]:
    log = KINDS[request.param](request)
    assert isinstance(log, OnKafka)
    log.session_ms = log.shortest_ms  # members die here
    yield log
    await log.close()


class Journal:
    """The lines that the processes have written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def lines(self, what: str, who: str = "", since: int = 0) -> list[list[str]]:
        rows = [line.split(" ") for line in self.path.read_text().splitlines()[since:]]
        return [row for row in rows if row[0] == what and who in ("", row[1])]

    def length(self) -> int:
        return len(self.path.read_text().splitlines())

    def stored(self, partition: int = 0) -> list[int]:
        return [int(row[3]) for row in self.lines("stored") if row[2] == str(partition)]


@asynccontextmanager
async def process(
    log: OnKafka, topic: str, name: str, journal: Journal, flush_ms: int = 50, instance: str = ""
) -> AsyncIterator[asyncio.subprocess.Process]:
    options = Options(
        log.bootstrap, f"group-{topic}", topic, name, str(journal.path), flush_ms, log.session_ms, instance
    )
    command = (sys.executable, "-m", "tests.contracts.member_process", msgspec.json.encode(options).decode())
    child = await asyncio.create_subprocess_exec(*command, preexec_fn=dies_with_parent())
    try:
        yield child
    finally:
        if child.returncode is None:
            child.send_signal(signal.SIGCONT)
            child.terminate()
            await asyncio.wait_for(child.wait(), 30)


async def committed(log: OnKafka, topic: str, partition: int = 0) -> int:
    admin = AIOKafkaAdminClient(bootstrap_servers=log.bootstrap)
    await admin.start()
    try:
        place = TopicPartition(topic, partition)
        return int((await admin.list_consumer_group_offsets(f"group-{topic}", partitions=[place]))[place].offset)
    finally:
        await admin.close()


def messages(count: int) -> list[Message]:
    return [Message(str(n).encode(), timestamp=1_700_000_000_000 + n) for n in range(count)]


async def test_a_killed_member_loses_nothing(log: OnKafka, tmp_path: Path) -> None:
    topic = await log.topic(2)
    publisher = log.publisher()
    journal = Journal(tmp_path / "journal")
    sent = 0
    over = asyncio.Event()

    async def traffic() -> None:
        nonlocal sent
        while not over.is_set():
            await publisher.publish(topic, sent % 2, messages(10))
            sent += 1
            await asyncio.sleep(0.01)

    producing = asyncio.create_task(traffic())
    async with process(log, topic, "one", journal) as one:
        await until(lambda: journal.lines("stored", "one"), of=[producing])
        async with process(log, topic, "two", journal):
            await until(lambda: journal.lines("stored", "two"), of=[producing])
            one.kill()
            await one.wait()
            since = journal.length()
            await until(lambda: len(owned_by(journal, "two", since)) == 2, of=[producing])
            over.set()
            await producing
            await until(lambda: len(set(journal.stored(0))) + len(set(journal.stored(1))) == 10 * sent)

    for partition in range(2):
        offsets = journal.stored(partition)
        assert sorted(set(offsets)) == list(range(len(set(offsets))))
        assert [who for who, _ in groupby(row[1] for row in journal.lines("stored") if row[2] == str(partition))] in (
            ["one"],
            ["two"],
            ["one", "two"],
        )


def owned_by(journal: Journal, who: str, since: int) -> str:
    rows = journal.lines("assigned", who, since)
    return rows[-1][2].replace(",", "") if rows else ""


async def test_a_stopped_member_that_wakes_up_neither_stores_nor_commits(log: OnKafka, tmp_path: Path) -> None:
    topic = await log.topic()
    publisher = log.publisher()
    journal = Journal(tmp_path / "journal")
    async with process(log, topic, "sleeper", journal, flush_ms=60_000) as sleeper:  # it does not get to it
        await until(lambda: journal.lines("assigned", "sleeper"))
        await publisher.publish(topic, 0, messages(100))
        await until(lambda: journal.lines("applied", "sleeper"))
        sleeper.send_signal(signal.SIGSTOP)  # with what it has applied not yet stored
        assert not journal.lines("stored")

        async with process(log, topic, "heir", journal):
            await until(lambda: len(journal.stored()) == 100)
            await publisher.publish(topic, 0, messages(50))
            await until(lambda: len(journal.stored()) == 150)
            async with asyncio.timeout(20):
                while await committed(log, topic) != 150:
                    await asyncio.sleep(0.05)
            woken = journal.length()
            sleeper.send_signal(signal.SIGCONT)
            await until(lambda: journal.lines("revoked", "sleeper", since=woken))
            assert not journal.lines("stored", "sleeper", since=woken)
            assert await committed(log, topic) == 150

    assert sorted(journal.stored()) == list(range(150))


async def test_a_committed_offset_beyond_the_log_stops_the_member_and_says_so(log: OnKafka) -> None:
    topic = await log.topic()
    await log.publisher().publish(topic, 0, messages(10))
    await commit(log, topic, 500)
    recorder = Recorder(Store())

    with pytest.raises(Misconfigured, match=f"500 of {topic}/0"):
        await asyncio.wait_for(log.member(topic, recorder).run(), 40)

    assert not recorder.seen
    assert await committed(log, topic) == 500


async def test_a_committed_offset_before_the_log_stops_the_member_and_says_so(kafka_bootstrap: str) -> None:
    log = OnKafka(kafka_bootstrap)  # the embedded broker never shortens a log
    topic = await log.topic()
    await log.publisher().publish(topic, 0, messages(10))
    await commit(log, topic, 3)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    await admin.start()
    try:
        from aiokafka.admin import RecordsToDelete

        await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(before_offset=5)})
    finally:
        await admin.close()

    with pytest.raises(Misconfigured, match="starts at 5"):
        await asyncio.wait_for(log.member(topic, Recorder(Store())).run(), 40)
    await log.close()


async def test_positions_are_not_taken_into_a_topic_made_anew(kafka_bootstrap: str) -> None:
    log = OnKafka(kafka_bootstrap)
    topic = await log.topic()
    await log.publisher().publish(topic, 0, messages(10))
    recorder = Recorder(Store())
    member = log.member(topic, recorder)
    running = asyncio.create_task(member.run())
    await until(lambda: recorder.store.count() == 10, of=[running])
    async with asyncio.timeout(40):
        while await committed(log, topic) != 10:
            await asyncio.sleep(0.05)

    await delete_topics(kafka_bootstrap, [topic])
    await create_topics(kafka_bootstrap, {topic: 1})
    await log.publisher().publish(topic, 0, messages(20))  # at once: soon there is an offset 10 again
    await until(lambda: running.done() or len(recorder.seen[0]) >= 30)
    await member.stop()
    if recorder.seen[0] == list(range(10)):  # it has noticed that what it had committed is gone,
        with pytest.raises(Misconfigured, match=f"{topic}/0 is (gone|not in the log).*--new-incarnation"):
            await running
        assert await committed(log, topic) == -1
    else:  # or it was given the partition anew, without anything committed
        await running
        assert recorder.seen[0] == [*range(10), *range(20)]
    await log.close()


async def test_a_topic_that_was_gone_for_a_while_is_read_again(kafka_bootstrap: str) -> None:
    log = OnKafka(kafka_bootstrap)
    topic = await log.topic()
    recorder = Recorder(Store())
    member = log.member(topic, recorder)
    running = asyncio.create_task(member.run())
    await until(lambda: recorder.owned, of=[running])

    await delete_topics(kafka_bootstrap, [topic])
    await until(lambda: not recorder.owned, of=[running])  # nobody can own what is not there
    await create_topics(kafka_bootstrap, {topic: 1})
    await log.publisher().publish(topic, 0, messages(5))
    await until(lambda: recorder.seen[0] == list(range(5)), of=[running])

    await member.stop()
    await running
    await log.close()


async def test_a_member_without_a_broker_or_a_topic_says_so(tansu_bootstrap: str) -> None:
    nowhere = f"{LOOPBACK}:{free_port()}"
    with pytest.raises(Unavailable, match=nowhere):
        await OnKafka(nowhere).member("topic", Recorder(Store())).run()
    with pytest.raises(Unavailable, match="has no topic never-made"):
        await OnKafka(tansu_bootstrap).member("never-made", Recorder(Store())).run()


async def test_a_member_of_a_topic_with_fewer_partitions_than_configured_says_so(log: OnKafka) -> None:
    topic = await log.topic(2)
    with pytest.raises(Misconfigured, match=f"{topic} has 2 partitions, but 3 are configured.*Set RAPPORT_PARTITIONS"):
        await log.member(topic, Recorder(Store()), partitions=3).run()


async def test_a_member_can_be_stopped_at_any_moment_of_its_start(log: OnKafka) -> None:
    topic = await log.topic()
    for before in (0.0, 0.05, 0.2, 0.5):
        recorder = Recorder(Store())
        member = log.member(topic, recorder)
        task = asyncio.create_task(member.run())
        await asyncio.wait({task}, timeout=before)
        await member.stop()
        await asyncio.wait_for(task, 10)
        assert recorder.calls.count("assigned") == recorder.calls.count("revoked")


async def commit(log: OnKafka, topic: str, offset: int) -> None:
    place = TopicPartition(topic, 0)
    consumer = AIOKafkaConsumer(bootstrap_servers=log.bootstrap, group_id=f"group-{topic}", enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign([place])
        await consumer.commit({place: OffsetAndMetadata(offset, "")})
    finally:
        await consumer.stop()


@pytest.mark.parametrize(
    "log",
    [
        "embedded broker",
        pytest.param("Apache Kafka", marks=pytest.mark.soak),  # in make test, by test_stream_static.py
    ],
    indirect=True,
)
async def test_a_member_with_a_name_of_its_own_continues_after_being_killed(log: OnKafka, tmp_path: Path) -> None:
    topic = await log.topic()
    journal = Journal(tmp_path / "journal")
    await log.publisher().publish(topic, 0, messages(10))
    async with process(log, topic, "one", journal, instance="worker-1") as one:
        await until(lambda: len(journal.stored()) == 10)
        one.kill()
        await one.wait()
    await log.publisher().publish(topic, 0, messages(10))
    async with process(log, topic, "again", journal, instance="worker-1"):
        await until(lambda: len(set(journal.stored())) == 20)

    assert journal.lines("applied", "again")
