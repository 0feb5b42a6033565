"""What routes and dashboard pages stand on: built once a process, handed to both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from services.api.actions import AlertActions
from services.api.auth import Keyring
from services.api.hub import FeedHub
from shared.domain.contract.events import Millis
from shared.settings import Settings
from shared.storage.store import Store
from shared.stream.ports import LogReader, Publisher
from shared.telemetry import Metrics


@dataclass(frozen=True)
class Deps:
    """Store, log, the feed of this replica, key check, actions on alerts, settings, clock and metrics.

    Live events: `with deps.feed.subscribe(tenant) as events: async for event in events: ...` (FeedEvent: id, type
    "alert" | "score" | "reset", data = JSON text). A key: `await deps.keys.principal(text)`. What people do to alerts:
    `await deps.actions.acknowledge(tenant, id, who)`.
    """

    store: Store
    publisher: Publisher
    reader: LogReader
    feed: FeedHub
    keys: Keyring
    actions: AlertActions
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
        feed=FeedHub(store, reader, publisher, metrics),
        keys=Keyring(store, clock),
        actions=AlertActions(store, publisher, clock),
        settings=settings,
        clock=clock,
        metrics=metrics,
    )


def deps_of(request: Request) -> Deps:
    """What this application was built with."""
    deps: Deps = request.app.state.deps
    return deps


Wired = Annotated[Deps, Depends(deps_of)]
