"""The Faust application of a consumer group's member: one topic, one agent, no web server, no tables, no producer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import faust
from faust.app.base import BootStrategy
from faust.tables import TableManager
from faust.transport.drivers import aiokafka as driver

from shared.stream.faust_consumer import Consumer
from shared.stream.ledger import Fetched
from shared.stream.runner import REVOCATION_SECONDS, Runner

QUEUED_BATCHES = 8
FETCH_WAIT_MS = 20  # the embedded broker answers a waiting fetch only when this is over, and others wait for it
PARTITION_FETCH_BYTES = 4 << 20
FETCH_BYTES = 32 << 20
REQUEST_SECONDS = 40.0  # above any session timeout, as the client demands
REBALANCE_SECONDS = 3 * REVOCATION_SECONDS  # a member has this long to give up its partitions
METADATA_SECONDS = 5.0  # a topic that was gone and is back is noticed in this time, not in Faust's five minutes
IDLE_SECONDS = 600.0  # a processor that takes no batch for so long hangs: others take over


class Transport(driver.Transport):  # type: ignore[misc]
    Consumer = Consumer


class Boot(BootStrategy):  # type: ignore[misc]
    """Without Faust's producer, which would be a connection for nothing: publishing has its own."""

    enable_kafka_producer = False


class NoTables(TableManager):  # type: ignore[misc]
    """Starts at once: Faust gives tables a second to appear."""

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()


class BatchSchema(faust.Schema):  # type: ignore[misc]
    """Hands the batch through as it is."""

    def compile(self, app: Any, **kwargs: Any) -> Any:
        async def decode(message: Any, *, propagate: bool = False) -> Any:
            return app.create_event(None, message.value, (), message)

        return decode


class App(faust.App):  # type: ignore[misc]
    BootStrategy = Boot

    def __init__(self, group: str, *, runner: Runner, topic_name: str, **settings: Any) -> None:
        self.runner = runner
        self.topic_name = topic_name
        self.connected = asyncio.Event()  # the consumer and its thread run: before that they cannot be stopped
        super().__init__(group, **settings)

    def _new_transport(self) -> Transport:
        return Transport(self.conf.broker_consumer, self)

    def _create_directories(self) -> None:
        """None: nothing is kept in files."""


def build(
    bootstrap: str,
    group: str,
    topic: str,
    runner: Runner,
    *,
    session: float,
    instance: str,
    fetch_wait_ms: int = FETCH_WAIT_MS,
) -> App:
    """The application; its agent hands every batch to the runner."""
    app = App(
        group,
        runner=runner,
        topic_name=topic,
        broker=[f"kafka://{address.strip()}" for address in bootstrap.split(",")],
        autodiscover=False,
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        key_serializer="raw",
        value_serializer="raw",
        stream_buffer_maxsize=QUEUED_BATCHES,
        stream_wait_empty=False,
        TableManager=NoTables,
        broker_session_timeout=session,
        broker_heartbeat_interval=session / 5,
        broker_rebalance_timeout=REBALANCE_SECONDS,
        broker_request_timeout=REQUEST_SECONDS,
        broker_max_poll_interval=IDLE_SECONDS,
        consumer_max_fetch_size=PARTITION_FETCH_BYTES,
        consumer_metadata_max_age_ms=int(METADATA_SECONDS * 1000),
        consumer_group_instance_id=instance or None,
    )
    app.conf.fetch_max_wait_ms = fetch_wait_ms
    app.conf.fetch_max_bytes = FETCH_BYTES

    async def batches(stream: AsyncIterator[Fetched]) -> None:
        async for fetched in stream:
            await runner.take(fetched)  # never raises: a failure ends the member before another batch is taken

    app.agent(app.topic(topic, schema=BatchSchema()), name=f"{group}.{topic}")(batches)
    return app
