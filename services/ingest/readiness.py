"""Whether events can be taken: the broker has the topics as configured, the store answers, the log is known."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from services.ingest.logidentity import LogIdentity
from shared.domain.contract.events import SECOND, Millis
from shared.domain.errors import Unavailable
from shared.storage.store import Store
from shared.telemetry import logger

FRESH = 2 * SECOND  # a broker that answered so long ago is not asked again
WAIT_SECONDS = 0.25


class Readiness:
    """Checks, and remembers for a moment that all was well."""

    def __init__(
        self,
        store: Store,
        identity: LogIdentity,
        topics: Callable[[], Awaitable[None]],
        now: Callable[[], Millis],
    ) -> None:
        self._topics = topics
        self._store = store
        self._identity = identity
        self._now = now
        self._broker_seen: Millis = 0
        self._stopped = asyncio.Event()

    async def check(self) -> None:
        """Raises Unavailable saying what is missing, Misconfigured for another partition count."""
        self._identity.incarnation()
        await self._store.ping()
        if self._broker_seen + FRESH > self._now():
            return
        await self._topics()
        self._broker_seen = self._now()

    async def wait(self) -> bool:
        """Return True when all is there, False when stopped before. Raises Misconfigured."""
        told = ""
        while not self._stopped.is_set():
            try:
                await self.check()
                logger().info("ready")
                return True
            except Unavailable as error:
                if told != str(error):
                    logger().info("waiting", reason=str(error))
                told = str(error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WAIT_SECONDS):
                    await self._stopped.wait()
        return False

    def stop(self) -> None:
        """End `wait`."""
        self._stopped.set()
