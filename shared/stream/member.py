"""A member of a Kafka consumer group: runs a processor until it is stopped or crashes."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from time import monotonic
from typing import Any

from aiokafka.errors import KafkaError

from shared.domain.errors import Misconfigured, Unavailable
from shared.stream.admin import partition_counts
from shared.stream.faust_app import FETCH_WAIT_MS, App, build
from shared.stream.flush_policy import FlushPolicy
from shared.stream.ports import Processor
from shared.stream.runner import Runner
from shared.telemetry import Metrics

STOP_SECONDS = 3.0  # for leaving the group; a broker that is gone must not hold the process up
WATCH_SECONDS = 1.0
SETTLED_SECONDS = 0.2  # without anything left: by then a fetch has told of whatever was appended before
STUCK_SECONDS = 1.5  # without a change, although something is left


class KafkaMember:
    """GroupMember on Kafka, run by Faust.

    `run` returns after `stop`, and raises what the processor raised; Unavailable where no broker answers at the
    start; Misconfigured where the committed offset is not in the log, or the topic has fewer than `partitions`. Whoever
    runs it ends the process then, to be started again: nothing that was not flushed is committed. `flush_rest_ms`: from
    one flush to the next at most, while no backlog is worked off (`flush_max_ms`). `fetch_wait_ms`: how long the broker
    may wait for records before it says that there are none (the embedded one always does).
    """

    def __init__(
        self,
        *,
        bootstrap: str,
        group: str,
        topic: str,
        processor: Processor,
        partitions: int = 0,
        instance: str = "",
        flush_min_ms: int = 200,
        flush_max_ms: int = 5000,
        flush_rest_ms: int | None = None,
        session_timeout_ms: int = 10_000,
        fetch_wait_ms: int = FETCH_WAIT_MS,
        metrics: Metrics | None = None,
    ) -> None:
        self._bootstrap = bootstrap
        self._group = group
        self._topic = topic
        self._processor = processor
        self._wanted = partitions
        self._instance = instance
        self._flush_ms = (flush_min_ms, flush_max_ms, flush_max_ms if flush_rest_ms is None else flush_rest_ms)
        self._session = session_timeout_ms / 1000
        self._fetch_wait_ms = fetch_wait_ms
        self._metrics = metrics
        self._stopping = asyncio.Event()
        self._patience: float | None = None  # for the last flush
        self._runner: Runner | None = None
        self._app: App | None = None

    @property
    def partitions(self) -> tuple[int, ...]:
        """The partitions that are ours at the moment; none until the group has let us in."""
        return self._runner.ledger.partitions if self._runner else ()

    async def run(self) -> None:
        await self._check_topic()
        low, high, rest = self._flush_ms
        self._runner = runner = Runner(
            self._processor,
            self._topic,
            FlushPolicy(low / 1000, high / 1000, monotonic(), rest / 1000),
            session=self._session,
            metrics=self._metrics,
        )
        app = build(
            self._bootstrap,
            self._group,
            self._topic,
            runner,
            session=self._session,
            instance=self._instance,
            fetch_wait_ms=self._fetch_wait_ms,
        )
        self._app = app
        flushing = asyncio.create_task(runner.keep_flushing())
        advancing = asyncio.create_task(runner.keep_advancing())
        watching = asyncio.create_task(self._watch(app))
        for task in (flushing, advancing, watching):
            task.add_done_callback(partial(_fail_with, runner))
        try:
            await self._until_over(app, runner)
        finally:
            watching.cancel()
            runner.end()
            await self._end(app, runner)
            flushing.cancel()  # idle, unless its flush has outlasted the patience
            await asyncio.gather(flushing, advancing, watching, return_exceptions=True)
        if runner.failure.done():
            raise runner.failure.result()

    async def _check_topic(self) -> None:
        # Asked first: Faust would subscribe to a missing topic for ever, and wrap what a missing broker says.
        counts = await partition_counts(self._bootstrap)
        if self._topic not in counts:
            raise Unavailable(f"Kafka at {self._bootstrap} has no topic {self._topic}: create it first")
        if counts[self._topic] < self._wanted:  # more there are while they are being grown: nobody writes there yet
            raise Misconfigured(
                f"Topic {self._topic} has {counts[self._topic]} partitions, but {self._wanted} are configured. Set "
                f"RAPPORT_PARTITIONS={counts[self._topic]}, or name another Kafka cluster."
            )

    async def drained(self, within: float) -> int:
        """Go on until everything has been applied, for as many seconds at most; how many records are left then.

        Gives up early where nothing moves: the broker may be gone.
        """
        loop = asyncio.get_running_loop()
        began = since = loop.time()
        left, parts = self._left()
        while (now := loop.time()) - began < within and now - since < (SETTLED_SECONDS if not left else STUCK_SECONDS):
            await asyncio.sleep(0.02)
            if (changed := self._left()) != (left, parts):
                (left, parts), since = changed, loop.time()
        return left

    def _left(self) -> tuple[int, int]:
        """Records that are left (at least one if the processor is full), and how many parts and slices are done."""
        if self._app is None or self._runner is None or not self.partitions:
            return 0, 0
        return max(self._app.consumer.left(), int(self._runner.full)), self._runner.parts

    async def stop(self, patience: float | None = None) -> None:
        """Have `run` flush, commit, leave the group and return.

        `patience`: seconds that the flush may take, if not as many as in a revocation.
        """
        self._patience = patience
        self._stopping.set()

    async def _until_over(self, app: App, runner: Runner) -> None:
        """Start, then wait for a stop, a failure of the processor or a crash of Faust; the latter two are failures."""
        running = asyncio.create_task(self._run_app(app))
        stopping = asyncio.create_task(self._stopping.wait())
        connected = asyncio.create_task(app.connected.wait())
        any_of: list[asyncio.Future[Any]] = [running, stopping, runner.failure]
        try:
            await asyncio.wait(any_of, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait([running, connected], timeout=STOP_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (running, stopping, connected):
                task.cancel()
            ended, *_ = await asyncio.gather(running, stopping, connected, return_exceptions=True)
        if isinstance(ended, KafkaError | OSError):
            ended = self._unavailable(ended)
        if isinstance(ended, Exception):
            runner.fail(ended)

    async def _run_app(self, app: App) -> None:
        await app.start()
        await app.wait_until_stopped()
        if app.crash_reason is not None:
            raise app.crash_reason
        raise RuntimeError("Faust stopped by itself")

    async def _end(self, app: App, runner: Runner) -> None:
        await runner.release(self._patience)  # before Faust stops: then the group still knows us
        with contextlib.suppress(TimeoutError):  # the session's timeout takes us out of the group as well
            async with asyncio.timeout(STOP_SECONDS):
                await app.stop()

    async def _watch(self, app: App) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if self.partitions:
                app.consumer.watch()

    def _unavailable(self, error: BaseException) -> Unavailable:
        return Unavailable(f"Kafka at {self._bootstrap} does not answer ({type(error).__name__}: {error})")


def _fail_with(runner: Runner, task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        runner.fail(error)
