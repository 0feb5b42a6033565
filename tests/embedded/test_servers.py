"""The servers that other tests stand on start, answer and take our topics."""

from __future__ import annotations

import pytest

from shared.domain.errors import Misconfigured, Unavailable
from shared.embedded.ports import LOOPBACK, free_port
from shared.stream import admin, topics
from tests.servers import reset_topics


@pytest.fixture(params=["tansu_bootstrap", pytest.param("kafka_bootstrap", marks=pytest.mark.kafka)])
def bootstrap(request: pytest.FixtureRequest) -> str:
    address: str = request.getfixturevalue(request.param)
    return address


@pytest.mark.embedded
async def test_topics_are_created_once_with_their_partitions(bootstrap: str) -> None:
    await reset_topics(bootstrap, 4)
    assert await admin.ensure_topics(bootstrap, 4) == set()
    counts = await admin.partition_counts(bootstrap)
    assert {name: counts[name] for name in admin.ALL} == {
        topics.INBOX: 4,
        topics.INTERACTIONS: 4,
        topics.QUARANTINE: 1,
        topics.UPDATES: 4,
        topics.ALERTS: 1,
        topics.FEED: 1,
    }


@pytest.mark.embedded
async def test_only_missing_topics_are_created(bootstrap: str) -> None:
    await reset_topics(bootstrap, 4)
    await admin.delete_topics(bootstrap, [topics.FEED])
    assert await admin.ensure_topics(bootstrap, 4) == {topics.FEED}


@pytest.mark.embedded
async def test_another_partition_count_is_refused_with_what_to_do(bootstrap: str) -> None:
    await reset_topics(bootstrap, 4)
    with pytest.raises(Misconfigured, match=r"has 4 partitions, but 8 are configured.*RAPPORT_PARTITIONS.* to 4"):
        await admin.ensure_topics(bootstrap, 8)


async def test_a_broker_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        await admin.partition_counts(f"{LOOPBACK}:{free_port()}", timeout=1.0)
