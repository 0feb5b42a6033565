"""A topic deleted and created behind Rapport's back: refused, in words that say what to do, and then gone on with."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from shared.clock import now_ms
from shared.embedded.keyring import TENANT
from shared.stream.admin import create_topics, delete_topics
from shared.stream.topics import INTERACTIONS
from tests.e2e.cluster import PARTITIONS, Cluster, cluster, until
from tests.e2e.quiet import quiet
from tests.e2e.state import differences, picture_in, state_of
from tests.e2e.traffic import Sender, Sent, disordered
from tests.e2e.trial import missed, settle
from tests.servers import needs_real_kafka

EVENTS, RELATIONSHIPS = 1_200, 20
UNAWARE = 120  # events sent to the new topic before anybody has been told
REFUSED = '"event": "misconfigured"'

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.e2e,
    pytest.mark.embedded,
    pytest.mark.skipif(sys.platform != "linux", reason="stops processes by signals"),
]


async def test_a_topic_made_anew_is_refused_until_init_gives_it_an_incarnation(tmp_path: Path) -> None:
    needs_real_kafka()
    plan = disordered(EVENTS, TENANT, RELATIONSHIPS, now_ms(), Random(7))
    half = EVENTS // 2
    async with cluster(tmp_path) as running, quiet(running, tmp_path / "quiet") as calm:
        await send(running, plan.events[:half])
        await settle(running)
        await calm.read(running)
        before = await state_of(running.store, TENANT)
        assert not differences(before, await state_of(calm.store, TENANT))

        running.start_services()
        await running.well()
        since = len(running.journal)
        await delete_topics(running.bootstrap, [INTERACTIONS])
        await create_topics(running.bootstrap, {INTERACTIONS: PARTITIONS})
        await send(running, plan.events[half : half + UNAWARE])
        await until(lambda: all(refused(running, name, since) for name in running.workers), "every worker refuses")
        await running.stop_services()
        assert (await state_of(running.store, TENANT)).states == before.states

        await init(running)
        running.start_services()
        await send(running, [*plan.events[half + UNAWARE :], *plan.last])
        await settle(running)
        await calm.read(running)
        assert not differences(await state_of(running.store, TENANT), await state_of(calm.store, TENANT))
        assert not missed(await picture_in(running.store, TENANT), plan.picture())


def refused(running: Cluster, worker: str, since: int) -> int:
    """How often a worker has ended because the topic is another one."""
    return running.journal.count(REFUSED, worker, since)


async def send(running: Cluster, events: Sequence[Sent]) -> None:
    with Sender(running.ready, events, rate=1e6, batch=60) as sender:
        await until(lambda: sender.has_sent(len(events)), "all is accepted")


async def init(running: Cluster) -> None:
    """`rapport init --new-incarnation`."""
    command = (sys.executable, "-c", "from shared.cli.app import app; app()", "init", "--new-incarnation")
    child = await asyncio.create_subprocess_exec(*command, env=running.environment())
    assert await child.wait() == 0
