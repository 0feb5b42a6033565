"""A member of a Kafka consumer group: runs a processor until it is stopped or crashes."""

from __future__ import annotations

import asyncio
import contextlib
from time import monotonic
from typing import Any

from aiokafka.errors import KafkaError

from shared.domain.errors import Unavailable
from shared.stream.faust_app import App, build
from shared.stream.flush_policy import FlushPolicy
from shared.stream.ports import Processor
from shared.stream.runner import REVOCATION_SECONDS, Runner
from shared.telemetry import Metrics

STOP_SECONDS = 3.0  # for leaving the group; a broker that is gone must not hold the process up
WATCH_SECONDS = 1.0


class KafkaMember:
    """GroupMember on Kafka, run by Faust.

    `run` returns after `stop`, and raises what the processor raised; Unavailable where no broker answers at the
    start; Misconfigured where the committed offset is not in the log. Whoever runs it ends the process then, to be
    started again: nothing that was not flushed is committed.
    """

    def __init__(
        self,
        *,
        bootstrap: str,
        group: str,
        topic: str,
        processor: Processor,
        instance: str = "",
        flush_min_ms: int = 200,
        flush_max_ms: int = 5000,
        session_timeout_ms: int = 10_000,
        metrics: Metrics | None = None,
        revocation_seconds: float = REVOCATION_SECONDS,
    ) -> None:
        self._bootstrap = bootstrap
        self._group = group
        self._topic = topic
        self._processor = processor
        self._instance = instance
        self._flush_ms = (flush_min_ms, flush_max_ms)
        self._session = session_timeout_ms / 1000
        self._metrics = metrics
        self._patience = revocation_seconds
        self._stopping = asyncio.Event()
        self._runner: Runner | None = None

    @property
    def partitions(self) -> tuple[int, ...]:
        """The partitions that are ours at the moment; none until the group has let us in."""
        return self._runner.ledger.partitions if self._runner else ()

    async def run(self) -> None:
        low, high = self._flush_ms
        self._runner = runner = Runner(
            self._processor,
            self._topic,
            FlushPolicy(low / 1000, high / 1000, monotonic()),
            session=self._session,
            metrics=self._metrics,
            patience=self._patience,
        )
        app = build(self._bootstrap, self._group, self._topic, runner, session=self._session, instance=self._instance)
        working = [asyncio.create_task(runner.keep_flushing()), asyncio.create_task(self._watch(app))]
        try:
            await self._until_over(app, runner)
        finally:
            for task in working:
                task.cancel()
            await asyncio.gather(*working, return_exceptions=True)
            await self._end(app, runner)
        if runner.failure.done():
            raise runner.failure.result()

    async def stop(self) -> None:
        """Have `run` flush, commit, leave the group and return."""
        self._stopping.set()

    async def _until_over(self, app: App, runner: Runner) -> None:
        """Start, then wait for a stop, a failure of the processor or a crash of Faust; the latter two are failures."""
        running = asyncio.create_task(self._run_app(app))
        others: list[asyncio.Future[Any]] = [asyncio.create_task(self._stopping.wait()), runner.failure]
        try:
            await asyncio.wait([running, *others], return_when=asyncio.FIRST_COMPLETED)
        finally:
            running.cancel()
            others[0].cancel()
            ended, _ = await asyncio.gather(running, others[0], return_exceptions=True)
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
        await runner.release()  # before Faust stops: then the group still knows us
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
