"""Waiting for a store or a broker that does not answer: nothing is lost by it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from itertools import chain, repeat
from typing import TypeVar

from shared.domain.errors import Unavailable
from shared.telemetry import Metrics, logger

T = TypeVar("T")
Pause = Callable[[float], Awaitable[None]]

RETRY_SECONDS = (0.05, 0.2, 0.5, 1.0, 2.0, 5.0)  # then 5 s each


class Retry:
    """Does again what raises Unavailable; `pause` is what waits between two tries."""

    def __init__(self, metrics: Metrics, pause: Pause = asyncio.sleep) -> None:
        self._metrics = metrics
        self._pause = pause

    async def __call__(self, work: Callable[[], Awaitable[T]], operation: str) -> T:
        """What `work` answers, tried again with back-off for as long as it takes; it must bear repeating."""
        for wait in chain(RETRY_SECONDS, repeat(RETRY_SECONDS[-1])):
            try:
                return await work()
            except Unavailable as error:
                self._metrics.store_errors.labels(operation).inc()
                logger().warning("unavailable", operation=operation, error=str(error), retry_seconds=wait)
                await self._pause(wait)
        raise AssertionError("repeat() does not end")


def pause_unless(stop: asyncio.Event) -> Pause:
    """A pause that ends with Unavailable once `stop` is set: who has been told to stop does not wait for ever."""

    async def pause(seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await stop.wait()
            raise Unavailable("told to stop while something does not answer; what is unfinished is done again later")

    return pause
