"""The real application as a process of its own, over store and log in memory: `python -m tests.browser.site PORT`.

Beside it, under /_test, the means to make things happen: a new alert, a changed score, a store that does not answer.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import msgspec
import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from services.api.app import build_app
from services.api.deps import Deps, make_deps
from shared.clock import now_ms
from shared.domain.alerts.lifecycle import apply_change
from shared.domain.contract.events import DAY, relationship_key
from shared.domain.errors import Unavailable
from shared.domain.keys import format_key, hash_secret
from shared.domain.relationship.flags import Cause, FlagChange, Severity, StandingFlag, Update, Why
from shared.domain.relationship.state import Band, Score, Scores
from shared.domain.rules.declaration import Polarity
from shared.domain.rules.table import RULES
from shared.settings import Settings
from shared.storage.memory import MemoryStore
from shared.storage.store import ApiKey, Incarnation, Write
from shared.stream.feed import publish_alert, publish_scores
from shared.stream.memory import MemoryLog
from shared.stream.topics import FEED
from tests.browser.seed import GREEN_RULE, an_alert, seed

SECRET = "s" * 43
FULL, EMPTY = "demo", "empty"
NOTICE = "Demo data: these companies and their events are made up."


def key_of(tenant: str, kind: str = "api") -> str:
    """The key that signs in to a tenant."""
    return format_key(kind, f"{tenant}-{kind}", SECRET)


READS = frozenset(
    ("list_relationships", "list_alerts", "alert", "relationship", "states", "timeline", "put_alert", "key")
)


class MoodyStore(MemoryStore):
    """Does not answer what pages ask for while it is down."""

    down = False

    def __getattribute__(self, name: str) -> Any:
        if name in READS and object.__getattribute__(self, "down"):
            raise Unavailable("switched off by the test")
        return object.__getattribute__(self, name)


def tricks(deps: Deps, store: MoodyStore) -> FastAPI:
    """The routes under /_test."""
    app = FastAPI()

    @app.post("/_test/alert/{id}")
    async def alert(id: str, severity: Severity = Severity.WARNING) -> dict[str, Any]:
        state = await store.relationship(FULL, id)
        assert state is not None
        reason = f"Silent for 21 business days, usual are 6 ({id})."
        flag = StandingFlag("silence", f"live-{now_ms()}", severity, now_ms(), reason, {"days": 21.0})
        made = an_alert(state, flag, now_ms())
        made = msgspec.structs.replace(made, published_version=0)
        await store.put_alert(made, 0)
        await publish_alert(deps.publisher, store, made)
        return {"id": made.id, "at": now_ms()}

    @app.post("/_test/cleared/{id}/{why}")
    async def cleared(id: str, why: Why) -> dict[str, Any]:
        state = await store.relationship(FULL, id)
        assert state is not None
        update = Update(FULL, id, state.directory.name, "", "customer", "", now_ms(), Cause("i1", 0, 9))
        flag = FlagChange("silence", f"live-{now_ms()}", True, now_ms(), Cause("i1", 0, 8), reason=f"Silent ({id}).")
        gone = FlagChange(flag.rule, flag.subject, False, now_ms(), Cause("i1", 0, 9), why=why)
        alert = None
        for change in (flag, gone):
            step = apply_change(alert, update, change, now_ms())
            assert step is not None
            alert = step.alert
        assert alert is not None
        await store.put_alert(alert, 0)
        await publish_alert(deps.publisher, store, alert)
        return {"id": alert.id}

    @app.post("/_test/score/{id}/{index}")
    async def score(id: str, index: float) -> dict[str, Any]:
        state = (await store.states([relationship_key(FULL, id)]))[relationship_key(FULL, id)]
        band = Band.RED if index <= 50 else Band.YELLOW if index <= 75 else Band.GREEN
        scores = Scores(ri=Score(0.1, index, band), rv=state.scores.rv, at=now_ms())
        fields = {"scores": scores, "incarnation": "i1", "partition": 0, "position": state.position + 1, "writer": "t"}
        assert await store.write([Write("relationships", state.id, state.rev, fields)]) == []
        update = Update(
            FULL, id, state.directory.name, "", "customer", "", now_ms(), Cause("i1", 0, 9), index, None, band
        )
        await publish_scores(deps.publisher, [update])
        return {"at": now_ms()}

    @app.post("/_test/store/{state}")
    async def switch(state: str) -> None:
        store.down = state == "down"
        deps.keys._seen.clear()

    @app.post("/_test/revoke/{tenant}")
    async def revoke(tenant: str) -> None:
        await store.revoke_key(tenant, f"{tenant}-api", now_ms())
        deps.keys._seen.clear()

    return app


class WithTricks:
    """Sends /_test to the tricks, everything else to the site."""

    def __init__(self, site: FastAPI, tricks: ASGIApp) -> None:
        self.site = site
        self.tricks = tricks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        mine = scope["type"] == "http" and scope["path"].startswith("/_test/")
        await (self.tricks if mine else self.site)(scope, receive, send)


def with_a_green_rule() -> None:
    """No rule that comes with Rapport is good news: one that says so, under the name that the seed uses."""
    RULES[GREEN_RULE] = msgspec.structs.replace(RULES["silence"], name=GREEN_RULE, polarity=Polarity.GREEN)
    msgspec.structs.force_setattr(RULES[GREEN_RULE], "title", "Seats nearly full")


async def main(port: int, count: int) -> None:
    """Serve until the process is ended."""
    with_a_green_rule()
    store, log = MoodyStore(), MemoryLog()
    await store.set_incarnation(Incarnation(FEED, "f1", 1))
    for tenant in (FULL, EMPTY, "brief"):
        await store.add_key(ApiKey(f"{tenant}-api", tenant, "api", hash_secret(SECRET), "Ann Okafor", now_ms() - DAY))
    await seed(store, FULL, now_ms(), count)
    deps = make_deps(store, log.publisher(), log.reader(), Settings(_env_file=None, notice=NOTICE), now_ms)
    site = build_app(deps)
    config = uvicorn.Config(
        WithTricks(site, tricks(deps, store)), host="127.0.0.1", port=port, log_level="warning", ws="auto"
    )
    async with asyncio.TaskGroup() as group:
        beside = [group.create_task(deps.feed.run()), group.create_task(site.state.desks.run())]
        await uvicorn.Server(config).serve()
        for task in beside:
            task.cancel()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 5_000))
