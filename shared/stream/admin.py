"""Topics: creating those that are missing, and holding those that exist against the configured partition count."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.errors import (
    BrokerResponseError,
    IncompatibleBrokerVersion,
    KafkaError,
    TopicAlreadyExistsError,
    for_code,
)

from shared.domain.errors import Misconfigured, Unavailable
from shared.stream import topics

ALL = (topics.INBOX, topics.INTERACTIONS, topics.QUARANTINE, topics.UPDATES, topics.ALERTS, topics.FEED)

DAY_MS = 24 * 3600 * 1000
# The log of what happened, and what is still to be decided upon, is kept for ever; what can be made again is not.
RETENTION_MS = {topics.UPDATES: 7 * DAY_MS, topics.ALERTS: 90 * DAY_MS, topics.FEED: 7 * DAY_MS}
REPLICAS = 3  # or as many brokers as there are


async def ensure_topics(bootstrap: str, interactions: int, *, timeout: float = 30.0) -> set[str]:
    """Create the missing ones of our topics; the names of those created.

    Raises Misconfigured where an existing topic has another partition count, Unavailable where no broker answers.
    """
    wanted = {name: topics.partitions_of(name, interactions) for name in ALL}
    return await create_topics(bootstrap, wanted, timeout=timeout)


async def create_topics(bootstrap: str, wanted: Mapping[str, int], *, timeout: float = 30.0) -> set[str]:
    """Create topics (name → partitions) that are missing and wait until all have leaders; the names created."""
    async with connected(bootstrap, timeout) as admin:
        present = await _partitions(admin)
        _refuse_mismatch({name: present[name] for name in wanted if name in present}, wanted)
        missing = [name for name in wanted if name not in present]
        created = await _create(admin, {name: wanted[name] for name in missing}) if missing else set()
        await _wait_for_leaders(admin, wanted)
        return created


async def delete_topics(bootstrap: str, names: list[str], *, timeout: float = 30.0) -> None:
    """Delete topics and wait until they are gone; those that are missing are ignored."""
    async with connected(bootstrap, timeout) as admin:
        await admin.delete_topics(names)
        while not set(names).isdisjoint(await _partitions(admin)):
            await asyncio.sleep(0.05)


async def partition_counts(bootstrap: str, *, timeout: float = 10.0) -> dict[str, int]:
    """Every topic of the cluster and its partitions. Raises Unavailable where no broker answers in time."""
    async with connected(bootstrap, timeout) as admin:
        return await _partitions(admin)


async def grow_topic(bootstrap: str, name: str, partitions: int, *, timeout: float = 30.0) -> None:
    """Add partitions behind a topic's present ones, up to this count, and wait until all have leaders.

    What the topic holds stays where it is. Raises Misconfigured where the broker cannot or will not do so.
    """
    async with connected(bootstrap, timeout) as admin:
        try:
            await admin.create_partitions({name: NewPartitions(partitions)})
        except IncompatibleBrokerVersion as error:
            raise Misconfigured(
                f"The broker at {bootstrap} cannot add partitions to a topic; the embedded one is among those that "
                "cannot. Nothing was changed. Growing needs Apache Kafka."
            ) from error
        except BrokerResponseError as error:
            if error.retriable:
                raise
            raise Misconfigured(f"Topic {name} cannot be grown to {partitions} partitions: {error}") from error
        await _wait_for_leaders(admin, {name: partitions})


@asynccontextmanager
async def connected(bootstrap: str, timeout: float) -> AsyncIterator[AIOKafkaAdminClient]:
    """An admin client, for as many seconds at most. Raises Unavailable where no broker answers in time."""
    try:
        async with asyncio.timeout(timeout):
            admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=int(timeout * 1000))
            try:
                await admin.start()
                yield admin
            finally:
                await admin.close()
    except (KafkaError, OSError, TimeoutError) as error:
        text = f"Kafka at {bootstrap} does not answer ({type(error).__name__}: {error})"
        raise Unavailable(text) from error


async def _partitions(admin: AIOKafkaAdminClient) -> dict[str, int]:
    return {name: len(leaders) for name, leaders in (await _leaders(admin)).items()}


async def _leaders(admin: AIOKafkaAdminClient) -> dict[str, list[int]]:
    # Asked for all topics: naming one that is missing would create it on a broker with automatic creation.
    described = await admin.describe_topics(None)
    return {
        topic["topic"]: [partition["leader"] for partition in topic["partitions"]]
        for topic in described
        if not topic["error_code"]
    }


def _refuse_mismatch(present: Mapping[str, int], wanted: Mapping[str, int]) -> None:
    for name, count in present.items():
        if count != wanted[name]:
            raise Misconfigured(
                f"Topic {name} has {count} partitions, but {wanted[name]} are configured. The count "
                f"decides which worker owns a relationship: set RAPPORT_PARTITIONS (or --partitions) to {count}, or "
                "name another Kafka cluster."
            )


async def _create(admin: AIOKafkaAdminClient, missing: Mapping[str, int]) -> set[str]:
    brokers = len((await admin.describe_cluster())["brokers"])
    answer = await admin.create_topics(
        [
            NewTopic(name, count, max(1, min(REPLICAS, brokers)), topic_configs=_configuration(name))
            for name, count in missing.items()
        ]
    )
    created = set()
    for name, code, *message in answer.topic_errors:
        if code == TopicAlreadyExistsError.errno:  # somebody else was faster: theirs to record
            continue
        if code:
            raise Misconfigured(f"Topic {name} cannot be created: {for_code(code).__name__} {message[0] or ''}".strip())
        created.add(name)
    return created


def _configuration(name: str) -> dict[str, str]:
    return {"cleanup.policy": "delete", "retention.ms": str(RETENTION_MS.get(name, -1))}


async def _wait_for_leaders(admin: AIOKafkaAdminClient, wanted: Mapping[str, int]) -> None:
    while True:
        leaders = await _leaders(admin)
        counts = {name: sum(leader >= 0 for leader in leaders.get(name, ())) for name in wanted}
        if all(counts[name] >= wanted[name] for name in wanted):
            return
        await asyncio.sleep(0.1)
