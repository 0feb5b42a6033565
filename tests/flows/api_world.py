"""An API over the store and the log in memory, with two tenants that own the same relationship ids."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from fastapi import FastAPI

from services.api.app import build_app
from services.api.deps import Deps, make_deps
from shared.domain.alerts.alert import Alert, AlertEntry, AlertState
from shared.domain.columns.months import Month, month_id
from shared.domain.contract.events import DAY, relationship_key
from shared.domain.keys import format_key, hash_secret
from shared.domain.relationship.flags import Cause, Counter, Evidence, Severity, StandingFlag, fingerprint
from shared.domain.relationship.state import Band, Directory, RelationshipState, Score, Scores
from shared.domain.relationship.touchpoints import Touchpoint, touchpoint_id
from shared.settings import Settings
from shared.storage.memory import MemoryStore
from shared.storage.store import ApiKey, Incarnation, Write
from shared.stream.feed import publish_alert
from shared.stream.memory import MemoryLog
from shared.stream.topics import FEED
from tests.domain.builders import month_fields, numbers_of

NOW = 1_767_225_600_000  # 2026-01-01T00:00:00Z
SECRET = "s" * 43
ACME, GLOBEX = "acme", "globex"


@dataclass
class World:
    """The parts of a running API; `client` speaks for acme, `other` for globex, `nobody` sends no key."""

    store: MemoryStore
    log: MemoryLog
    deps: Deps
    app: FastAPI
    now: int = NOW
    clients: list[httpx.AsyncClient] = field(default_factory=list)

    def client(self, key: str | None = None) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        client = httpx.AsyncClient(transport=transport, base_url="http://api", headers=headers)
        self.clients.append(client)
        return client

    @property
    def acme(self) -> httpx.AsyncClient:
        return self.client(key_of(ACME))

    @property
    def globex(self) -> httpx.AsyncClient:
        return self.client(key_of(GLOBEX))


def key_of(tenant: str, kind: str = "api") -> str:
    return format_key(kind, f"{tenant}-{kind}", SECRET)


async def seeded_store() -> MemoryStore:
    """Keys of both kinds for both tenants, and the feed's incarnation."""
    store = MemoryStore()
    await store.set_incarnation(Incarnation(FEED, "f1", 1))
    for tenant in (ACME, GLOBEX):
        for kind in ("api", "write"):
            await store.add_key(ApiKey(f"{tenant}-{kind}", tenant, kind, hash_secret(SECRET), f"{tenant} robot", NOW))
    return store


@asynccontextmanager
async def a_world(
    store: MemoryStore | None = None, log: MemoryLog | None = None, *, queue_limit: int = 1000
) -> AsyncIterator[World]:
    """A replica whose feed is being read; give store and log of another to make it the second one."""
    store, log = store or await seeded_store(), log or MemoryLog()
    deps = make_deps(store, log.publisher(), log.reader(), Settings(_env_file=None), lambda: world.now)
    deps.feed.queue_limit = queue_limit
    world = World(store, log, deps, build_app(deps, dashboard=False))
    async with asyncio.TaskGroup() as group:
        feed = group.create_task(deps.feed.run())
        await deps.feed.started()
        try:
            yield world
        finally:
            for client in world.clients:
                await client.aclose()
            deps.feed.stop()
            feed.cancel()


# --- documents ---------------------------------------------------------------------------------------------------


def a_head(tenant: str, id: str, *, index: float | None = 80.0, **directory: Any) -> RelationshipState:
    """A relationship with a score, a flag and a factor."""
    band = Band.UNKNOWN if index is None else Band.RED if index <= 50 else Band.YELLOW if index <= 75 else Band.GREEN
    flag = StandingFlag("silence", "", Severity.WARNING, NOW - DAY, "silent 21 business days, usual 6", {"days": 21.0})
    return RelationshipState(
        id=relationship_key(tenant, id),
        tenant=tenant,
        relationship=id,
        directory=Directory(**{"name": id.title(), **directory}),
        incarnation="i1",
        partition=0,
        position=7,
        writer="w",
        first_seen=NOW - 30 * DAY,
        last_seen=NOW - DAY,
        events=12,
        spark=(0.0, 2.0),
        clock=NOW,
        scores=Scores(ri=Score(0.4, index, band), rv=Score(), at=NOW),
        numbers=numbers_of(quality=(0.9, 0.5, 0.95, 1.0)),
        flags={"silence": flag},
    )


async def put_head(store: MemoryStore, state: RelationshipState) -> None:
    fields = {name: getattr(state, name) for name in state.__struct_fields__ if name not in ("id", "rev")}
    current = (await store.states([state.id])).get(state.id)
    assert await store.write([Write("relationships", state.id, current.rev if current else 0, fields)]) == []


def an_alert(tenant: str, id: str, *, rule: str = "silence", subject: str = "", **changes: Any) -> Alert:
    values: dict[str, Any] = {
        "name": id.title(),
        "owner": "ann",
        "severity": Severity.WARNING,
        "state": AlertState.OPEN,
        "reason": "silent 21 business days, usual 6",
        "opened_at": NOW,
        "moment": NOW,
        "updated_at": NOW,
        "cause": Cause("i1", 0, 7),
        "evidence": Evidence(("crm#1",), (Counter("export", "2025-12-31", 3.0),)),
        "timeline": (AlertEntry(NOW, "opened", "rapport", "silent", 1),),
        "published_version": 1,
    }
    fields = {**values, **changes}
    return Alert(fingerprint(tenant, id, rule, subject), tenant, id, rule=rule, subject=subject, **fields)


async def put_alert(world: World, alert: Alert) -> Alert:
    await world.store.put_alert(alert, alert.version - 1)
    return alert


async def raise_alert(world: World, alert: Alert) -> Alert:
    """Store and publish, as the alerts service does."""
    await world.store.put_alert(alert, alert.version - 1)
    await publish_alert(world.deps.publisher, world.store, alert)
    return alert


def a_touchpoint(tenant: str, id: str, event: str, time: int, type: str = "message.received") -> Touchpoint:
    return Touchpoint(
        id=touchpoint_id(tenant, id, event),
        tenant=tenant,
        relationship=id,
        type=type,
        time=time,
        direction="in",
        channel="email",
        data={"text": "hello"},
        received=time,
    )


async def put_month(store: MemoryStore, month: Month) -> None:
    fields = {name: getattr(month, name) for name in month.__struct_fields__ if name not in ("id", "rev")}
    assert await store.write([Write("months", month.id, 0, fields)]) == []


Counts = dict[int, dict[tuple[str, str], float]]
"""Counts by day of the month, metric and person."""


def a_month(tenant: str, id: str, month: str, counts: Counts, **rest: Any) -> Month:
    return Month(
        id=month_id(tenant, id, month),
        tenant=tenant,
        relationship=id,
        month=month,
        incarnation="i1",
        partition=0,
        position=1,
        writer="w",
        **month_fields(counts),
        **rest,
    )
