"""`rapport partitions` as people type it: showing, growing, and being refused."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator

import pytest

from shared.stream import admin
from shared.stream.cluster import KafkaCluster
from shared.stream.ports import Message
from shared.stream.publisher import KafkaPublisher
from shared.stream.topics import INTERACTIONS, UPDATES
from tests.cli.test_cli import rapport

pytestmark = pytest.mark.embedded


@pytest.fixture
def where(kafka_bootstrap: str, fresh_mongo_url: str, database: str) -> Iterator[dict[str, str]]:
    """The environment of an installation with two partitions on real Kafka."""
    asyncio.run(_emptied(kafka_bootstrap))
    here = _environment(kafka_bootstrap, fresh_mongo_url, database)
    assert rapport("init", **here).returncode == 0
    yield here
    asyncio.run(_emptied(kafka_bootstrap))


def _environment(kafka: str, mongo: str, database: str) -> dict[str, str]:
    return {"RAPPORT_KAFKA": kafka, "RAPPORT_MONGO": mongo, "RAPPORT_DATABASE": database, "RAPPORT_PARTITIONS": "2"}


async def _emptied(bootstrap: str) -> None:
    ours = set(admin.ALL) & set(await admin.partition_counts(bootstrap))
    if ours:
        await admin.delete_topics(bootstrap, sorted(ours))


async def _append(bootstrap: str, count: int) -> None:
    publisher = KafkaPublisher(bootstrap)
    await publisher.publish(INTERACTIONS, 1, [Message(b"{}", b"acme/acct-1", timestamp=1_700_000_000_000)] * count)
    await publisher.close()


@pytest.mark.kafka
def test_what_is_left_is_shown_by_partition_and_holds_a_growth_up(where: dict[str, str]) -> None:
    asyncio.run(_append(where["RAPPORT_KAFKA"], 3))
    shown = rapport("partitions", **where)
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert re.fullmatch(r"2 partitions, incarnation [0-9a-f]{32}", lines[0])
    assert lines[2].split() == ["partition", *(["rapport.interactions", "committed", "left"]), "rapport.updates",
                                "committed", "left", "rapport.inbox", "committed", "left"]  # fmt: skip
    assert lines[4].split()[:4] == ["1", "3", "-", "3"]
    assert "scoring has 3 records of rapport.interactions to read; members: nobody" in lines

    told = json.loads(rapport("partitions", "show", "--json", **where).stdout)
    assert (told["partitions"], told["growing_to"]) == (2, 0)
    assert told["groups"][0]["positions"][1] == {"partition": 1, "first": 0, "end": 3, "committed": None, "left": 3}

    refused = rapport("partitions", "grow", "--to", "5", **where)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "3 records of rapport.interactions have not been read by scoring yet (partition: records 1: 3)" in (
        refused.stderr
    )
    assert asyncio.run(admin.partition_counts(where["RAPPORT_KAFKA"]))[INTERACTIONS] == 2


@pytest.mark.kafka
def test_a_growth_that_was_interrupted_is_told_finished_and_final(where: dict[str, str]) -> None:
    asyncio.run(KafkaCluster(where["RAPPORT_KAFKA"]).grow(UPDATES, 5))
    assert (
        "Growing to 5 was interrupted: repeat `rapport partitions grow --to 5`."
        in rapport("partitions", **where).stdout
    )
    assert "Growing from 2 to 5 partitions was interrupted" in rapport("init", **where).stderr

    done = rapport("partitions", "grow", "--to", "5", **where)
    assert done.returncode == 0, done.stderr
    assert "rapport.inbox has 5 partitions now." in done.stdout
    assert "Set RAPPORT_PARTITIONS=5 for every service, and start them." in done.stdout
    counts = asyncio.run(admin.partition_counts(where["RAPPORT_KAFKA"]))
    assert [counts[name] for name in admin.ALL] == [5, 5, 1, 5, 1, 1]

    again = rapport("partitions", "grow", "--to", "5", **where)
    assert (again.returncode, again.stdout) == (0, "There are 5 partitions already. Nothing was changed.\n")
    assert "has 5 partitions, and a count can only grow" in rapport("partitions", "grow", "--to", "4", **where).stderr
    assert "set RAPPORT_PARTITIONS (or --partitions) to 5" in rapport("init", **where).stderr
    settled = rapport("init", **{**where, "RAPPORT_PARTITIONS": "5"})
    assert settled.stdout == "Created: nothing, all topics exist\nNew incarnation: none\n"


def test_the_embedded_broker_cannot_grow_and_is_shown_all_the_same(
    fresh_tansu: str, fresh_mongo_url: str, database: str
) -> None:
    here = _environment(fresh_tansu, fresh_mongo_url, database)
    assert "run `rapport init` first" in rapport("partitions", **here).stderr
    rapport("init", **here)
    assert "scoring has 0 records of rapport.interactions to read" in rapport("partitions", **here).stdout
    refused = rapport("partitions", "grow", "--to", "4", **here)
    assert refused.returncode == 1
    assert "cannot add partitions to a topic; the embedded one is among those that cannot" in refused.stderr
    assert "2 partitions" in rapport("partitions", **here).stdout
