"""Growing the partition count of a stack that has scored: what follows is what would have been without it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest

from shared.clock import now_ms
from shared.embedded import mongo
from shared.embedded.keyring import TENANT
from shared.embedded.ports import LOOPBACK, free_port
from shared.embedded.stack import DATABASE
from shared.stream import admin
from shared.stream.topics import INTERACTIONS, partition_of
from tests.e2e.kills import SETTINGS, post, settled
from tests.e2e.reading import Reader
from tests.e2e.traffic import Picture, Plan, picture_of, planned
from tests.embedded.stack import ASKING, until, up
from tests.servers import serving

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.embedded,
    pytest.mark.kafka,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]

BEFORE, AFTER = 4, 7
EVENTS, HALF = 300, 150
RELATIONSHIPS = 8


class Shown(msgspec.Struct, frozen=True):
    """Counters, timelines and alerts; and of each relationship its flags, windows and number of events."""

    picture: Picture
    details: dict[str, Any]


@pytest.fixture
def kafka(kafka_bootstrap: str) -> str:
    """Real Kafka, without our topics."""
    asyncio.run(_emptied(kafka_bootstrap))
    return kafka_bootstrap


async def _emptied(bootstrap: str) -> None:
    ours = set(admin.ALL) & set(await admin.partition_counts(bootstrap))
    if ours:
        await admin.delete_topics(bootstrap, sorted(ours))


@pytest.fixture
def mongo_url(server_loop: Any, tmp_path: Path) -> Iterator[str]:
    """A store of the test's own, whichever others are named: the stack's database has a fixed name."""
    port = free_port()
    with serving(server_loop, mongo.launch(port, tmp_path / "mongo")):
        yield f"mongodb://{LOOPBACK}:{port}"


@contextmanager
def stack(here: Path, partitions: int, *servers: str) -> Iterator[dict[str, str]]:
    """A stack on this many partitions, from its readiness to its orderly stop; its addresses and keys."""
    here.mkdir(exist_ok=True)
    with up(here, "--partitions", str(partitions), *servers, **SETTINGS) as running:
        yield running.ready()
        running.stop()


def first_half(ready: dict[str, str], plan: Plan) -> None:
    """Send the first half of the events, and wait until all of it has been scored and told."""
    post(ready, plan.events[:HALF])
    reader, expected = Reader(ready), picture_of(plan.events[:HALF])
    until(lambda: reader.picture() == expected, every=ASKING)


def all_of_it(ready: dict[str, str], plan: Plan) -> Shown:
    """Send all events, of which the first half has been sent before; what is shown in the end."""
    post(ready, plan.events)
    picture = settled(ready, plan)
    return Shown(picture, {id: _detail(Reader(ready).http, id) for id in picture.uses})


def _detail(api: httpx.Client, id: str) -> Any:
    answer = api.get(f"/v1/relationships/{quote(id, safe='')}")
    answer.raise_for_status()
    whole = answer.json()
    flags = {(flag["rule"], flag["subject"]): flag for flag in whole["flags"]}
    for flag in flags.values():
        del flag["since"]  # the moment of the run
    return flags, whole["windows"], whole["events"], whole["first_seen"], whole["last_seen"]


def rapport(kafka: str, mongo: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    where = {"RAPPORT_KAFKA": kafka, "RAPPORT_MONGO": mongo, "RAPPORT_DATABASE": DATABASE}
    command = [sys.executable, "-c", "from shared.cli.app import app; app()", *arguments]
    return subprocess.run(command, env={**os.environ, **where}, capture_output=True, text=True, timeout=90, check=False)


def test_a_stack_that_grew_shows_what_one_that_did_not_shows(tmp_path: Path, kafka: str, mongo_url: str) -> None:
    plan = planned(EVENTS, TENANT, RELATIONSHIPS, now_ms())
    servers = ("--kafka", kafka, "--mongo", mongo_url)
    with stack(tmp_path / "grown", BEFORE, *servers) as ready:
        first_half(ready, plan)

    grown = rapport(kafka, mongo_url, "partitions", "grow", "--to", str(AFTER))
    assert grown.returncode == 0, grown.stderr
    keys = [f"{TENANT}/account-{number}".encode() for number in range(RELATIONSHIPS)]
    moved = sum(partition_of(key, BEFORE) != partition_of(key, AFTER) for key in keys)
    assert moved
    assert f"{moved} relationships belong to another partition now" in grown.stdout
    assert asyncio.run(admin.partition_counts(kafka))[INTERACTIONS] == AFTER

    with stack(tmp_path / "grown", AFTER, *servers) as ready:
        shown = all_of_it(ready, plan)

    asyncio.run(_emptied(kafka))
    with stack(tmp_path / "never", BEFORE, "--kafka", kafka) as ready:
        first_half(ready, plan)
        calm = all_of_it(ready, plan)

    assert shown.picture == plan.picture()
    assert shown.picture == calm.picture
    assert shown.details == calm.details
