"""What routes and dashboard pages stand on: built once a process, handed to both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from services.api.auth import Keyring
from services.api.hub import FeedHub
from shared.domain.events import Millis
from shared.settings import Settings
from shared.storage.store import Store
from shared.stream.ports import LogReader, Publisher
from shared.telemetry import Metrics


@dataclass(frozen=True)
class Deps:
    """Store, publisher and reader of the log, the feed of this replica, key check, settings, clock and metrics.

    Live events: `with deps.feed.subscribe(tenant) as events: async for event in events: ...` (FeedEvent: id, type
    "alert" | "score" | "reset", data = JSON text). A key: `await deps.keys.principal(text)`.
    """

    store: Store
    publisher: Publisher
    reader: LogReader
    feed: FeedHub
    keys: Keyring
    settings: Settings
    clock: Callable[[], Millis]
    metrics: Metrics


def make_deps(
    store: Store, publisher: Publisher, reader: LogReader, settings: Settings, clock: Callable[[], Millis]
) -> Deps:
    """The dependencies on top of an opened store and log; `deps.feed.run()` has to be started by the caller."""
    metrics = Metrics("api")
    return Deps(
        store=store,
        publisher=publisher,
        reader=reader,
        feed=FeedHub(store, reader, metrics),
        keys=Keyring(store, clock),
        settings=settings,
        clock=clock,
        metrics=metrics,
    )
