"""Opening the store that the settings name."""

from __future__ import annotations

from shared.settings import Settings
from shared.storage.mongo import MongoStore
from shared.storage.store import Store


def open_store(settings: Settings) -> Store:
    """The store at `settings.mongo`. It connects at the first call; `prepare()` is the caller's to await."""
    return MongoStore(settings.mongo, settings.database)
