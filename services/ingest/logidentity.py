"""Which log this is: the incarnation that every record is stamped with, read from the store again and again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from shared.domain.errors import Misconfigured, Unavailable
from shared.storage.store import Incarnation, StateStore
from shared.stream.topics import INTERACTIONS
from shared.telemetry import Metrics, logger

REREAD_SECONDS = 5.0
RETRY_SECONDS = 0.25
UNREAD = "Which log this is has not been read yet."
MISSING = "The store knows of no log: run `rapport init` if this lasts."


class LogIdentity:
    """Knows the incarnation of rapport.interactions; `run` keeps it fresh."""

    def __init__(
        self, store: StateStore, partitions: int, metrics: Metrics, topics: Callable[[], Awaitable[None]]
    ) -> None:
        """`topics` raises Unavailable until the broker has its topics."""
        self._store = store
        self._partitions = partitions
        self._metrics = metrics
        self._topics = topics
        self._incarnation = ""
        self._why = UNREAD
        self._doubted = asyncio.Event()

    def incarnation(self) -> str:
        """The present incarnation. Raises Unavailable while it is not known."""
        if not self._incarnation:
            raise Unavailable(self._why)
        return self._incarnation

    def doubt(self) -> None:
        """After a failed publish the log may be another one: stamp nothing until it has been read again."""
        self._incarnation = ""
        self._doubted.set()

    async def refresh(self) -> None:
        """Read it now. Raises Misconfigured for another partition count than the settings', Unavailable."""
        if not self._incarnation:
            # In this order: a new log's incarnation is stored before its topics are created, so what is read after
            # the topics have been seen belongs to them, even if the broker was replaced a moment ago.
            await self._topics()
        found = await self._stored()
        self._why = UNREAD if found else MISSING
        if found is None:
            self._incarnation = ""
            return
        if found.partitions != self._partitions:
            raise Misconfigured(
                f"{INTERACTIONS} has {found.partitions} partitions, RAPPORT_PARTITIONS says {self._partitions}: set it "
                f"to {found.partitions}. The count is fixed when the topic is created, since it decides who owns what."
            )
        if self._incarnation and self._incarnation != found.incarnation:
            logger().warning("log replaced", topic=INTERACTIONS, incarnation=found.incarnation)
        self._incarnation = found.incarnation

    async def run(self) -> None:
        """Refresh every 5 s, and at once when in doubt, until cancelled. Raises Misconfigured."""
        while True:
            self._doubted.clear()
            try:
                await self.refresh()
            except Unavailable as error:  # what was known stays known: only `rapport init` changes it, in this store
                self._why = str(error)
                logger().warning("log identity not read", error=self._why)
            if not self._incarnation:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REREAD_SECONDS):
                    await self._doubted.wait()

    async def _stored(self) -> Incarnation | None:
        try:
            return await self._store.incarnation(INTERACTIONS)
        except Unavailable:
            self._metrics.store_errors.labels("incarnation").inc()
            raise
