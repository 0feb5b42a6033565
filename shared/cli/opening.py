"""What commands that work on the store have in common: opening it, and saying why it cannot be used."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from shared.cli.failing import or_fail
from shared.settings import Settings, read_settings
from shared.storage.open import open_store
from shared.storage.store import Store

Result = TypeVar("Result")


def with_store(work: Callable[[Settings, Store], Awaitable[Result]]) -> Result:
    """What `work` answers with the configured store (RAPPORT_MONGO, RAPPORT_DATABASE).

    Ends with a message where the store, or Kafka, cannot be used so.
    """

    async def run(settings: Settings) -> Result:
        store = open_store(settings)
        try:
            return await work(settings, store)
        finally:
            await store.close()

    return or_fail(lambda: asyncio.run(run(read_settings())))
