"""What the open pages of a tenant share: rows and alerts, read once from the store and kept fresh by the feed.

Changes reach the pages at once when it is quiet, and at most twice a second when it is not.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable

import msgspec

from services.api.deps import Deps
from services.api.hub import SlowConsumer, Stopped
from services.api.web.roster import PAGE, Roster
from services.api.web.rows import Packed, Row, pack
from shared.domain.alerts.present import alert_json
from shared.domain.contract.events import JsonObject
from shared.domain.errors import Unavailable
from shared.storage.store import AlertQuery
from shared.telemetry import logger

RESOLVED_SHOWN = 200  # resolved alerts kept at hand, newest first; open ones all
INTERVAL = 0.5  # seconds between two broadcasts
RETRY = 1.0
RELOAD = 300.0  # seconds after which everything is read again, whatever the feed said

STANDING = ("open", "acknowledged")


class Changes(msgspec.Struct, frozen=True):
    """What pages are told. `reset`: everything was read anew. `trouble`: what is wrong ("" = nothing any more)."""

    rows: Packed | None = None
    alerts: tuple[JsonObject, ...] = ()
    relationships: frozenset[str] = frozenset()
    open_alerts: int = 0
    fresh: tuple[JsonObject, ...] = ()  # alerts that were not open before
    reset: bool = False
    trouble: str = ""


Listener = Callable[[Changes], None]


class Desk:
    """One tenant's working set in this process; `run` follows the feed."""

    def __init__(self, tenant: str, deps: Deps) -> None:
        self.tenant = tenant
        self.trouble = ""
        self._deps = deps
        self._roster = Roster(tenant, deps.store, self._rows_came)
        self._alerts: dict[str, JsonObject] = {}
        self._listeners: set[Listener] = set()
        self._seq = 0
        self._packed: tuple[int, bytes] | None = None
        self._dirty: set[str] = set()
        self._changed: dict[str, JsonObject] = {}
        self._fresh: dict[str, JsonObject] = {}
        self._stale = False
        self._wake = asyncio.Event()
        self._alerts_read = False
        self._reading_alerts = asyncio.Lock()

    # --- what pages ask for ------------------------------------------------------------------------------------------

    def watch(self, listener: Listener) -> Callable[[], None]:
        """Be told of changes until the returned function is called."""
        self._listeners.add(listener)
        return lambda: self._listeners.discard(listener)

    async def portfolio(self) -> bytes:
        """The rows there are by now as gzipped JSON (`Packed`); the others follow as changes. Raises Unavailable."""
        await self._roster.ready()
        if self._packed is None or self._packed[0] != self._seq:
            raw = msgspec.json.encode(pack(self._roster.rows.values(), self._seq, more=not self._roster.complete))
            self._packed = (self._seq, gzip.compress(raw, 3))
        return self._packed[1]

    async def inbox(self) -> bytes:
        """Alerts as gzipped JSON `{"alerts": […]}`. Raises Unavailable."""
        await self.alerts_ready()
        return gzip.compress(msgspec.json.encode({"alerts": list(self._alerts.values())}), 3)

    def read_ahead(self) -> None:
        """Begin to read the portfolio, because somebody is about to look at it."""
        self._roster.want()

    async def alerts_ready(self) -> None:
        """Wait until the alerts have been read once: they are few, and every page counts them. Raises Unavailable."""
        async with self._reading_alerts:
            if not self._alerts_read:
                await self._read_alerts()

    @property
    def open_alerts(self) -> int:
        """How many alerts wait for somebody."""
        return sum(1 for alert in self._alerts.values() if alert["state"] == "open")

    def alert_changed(self, shown: JsonObject) -> None:
        """An alert as it is now (from the feed, or by our own hand); an older version than the known one is ignored."""
        known = self._alerts.get(shown["id"])
        if known is not None and known["version"] >= shown["version"]:
            return
        if shown["state"] == "open" and (known is None or known["episode"] < shown["episode"]):
            self._fresh[shown["id"]] = shown
        self._alerts[shown["id"]] = shown
        self._changed[shown["id"]] = shown
        self._dirty.add(shown["relationship"])
        self._wake.set()

    # --- following ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Follow the feed until this replica stops. Defects end it."""
        async with asyncio.TaskGroup() as group:
            beside = [group.create_task(one) for one in (self._tell(), self._reload(), self._roster.run())]
            await self._follow()
            for task in beside:
                task.cancel()

    async def _follow(self) -> None:
        while True:
            try:
                with self._deps.feed.subscribe(self.tenant) as events:
                    async for event in events:
                        self._take(event.type, event.data)
            except SlowConsumer:
                self._read_anew()
            except Unavailable as error:
                logger().warning("the feed is not readable, trying again", error=str(error))
                await asyncio.sleep(RETRY)
                self._read_anew()
            except Stopped:
                return

    def _take(self, kind: str, data: str) -> None:
        if kind == "reset":
            self._read_anew()
            return
        shown = msgspec.json.decode(data)
        if kind == "alert":
            self.alert_changed(shown)
        else:
            self._dirty.add(shown["relationship"])
            self._wake.set()

    def _read_anew(self) -> None:
        self._stale = True
        self._roster.again()
        self._wake.set()

    def _rows_came(self, rows: list[Row] | None) -> None:
        self._broadcast(rows=rows, reset=rows is None)

    async def _reload(self) -> None:
        while True:
            await asyncio.sleep(RELOAD)
            self._read_anew()

    async def _tell(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._flush()
            except Unavailable as error:
                logger().warning("the dashboard cannot read the store", error=str(error))
                self._broadcast(trouble="The store does not answer: what you see may be out of date.")
                self._wake.set()
                await asyncio.sleep(RETRY)
                continue
            await asyncio.sleep(INTERVAL)

    async def _flush(self) -> None:
        stale, self._stale = self._stale, False
        dirty, self._dirty = self._dirty, set()
        try:
            if stale and self._alerts_read:
                await self._read_alerts()
            rows = await self._roster.renew(dirty)
        except Unavailable:
            self._stale |= stale
            self._dirty |= dirty
            raise
        self._broadcast(rows=rows, relationships=frozenset(dirty), reset=stale)

    def _broadcast(
        self,
        rows: list[Row] | None = None,
        relationships: frozenset[str] = frozenset(),
        reset: bool = False,
        trouble: str = "",
    ) -> None:
        self.trouble = trouble
        self._seq += 1
        alerts, fresh = self._changed, self._fresh
        if not trouble:
            self._changed, self._fresh = {}, {}
        changes = Changes(
            rows=pack(rows, self._seq, more=not self._roster.complete) if rows else None,
            alerts=tuple(alerts.values()),
            relationships=relationships,
            open_alerts=self.open_alerts,
            fresh=tuple(fresh.values()),
            reset=reset,
            trouble=trouble,
        )
        for listener in tuple(self._listeners):
            listener(changes)

    async def _read_alerts(self) -> None:
        found: dict[str, JsonObject] = {}
        cursor: str | None = None
        while True:
            standing = AlertQuery(states=STANDING, cursor=cursor, limit=PAGE)
            page = await self._deps.store.list_alerts(self.tenant, standing)
            found.update((alert.id, alert_json(alert)) for alert in page.items)
            cursor = page.next
            if cursor is None:
                break
        resolved = AlertQuery(states=("resolved",), limit=RESOLVED_SHOWN)
        for alert in (await self._deps.store.list_alerts(self.tenant, resolved)).items:
            found.setdefault(alert.id, alert_json(alert))
        for id, shown in self._alerts.items():  # the feed may have been faster than the pages just read
            if id in self._changed or (id in found and found[id]["version"] < shown["version"]):
                found[id] = shown
        self._alerts, self._alerts_read = found, True


class Desks:
    """The desks of this process, made when a tenant's first page is opened; they live while `run` does."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._desks: dict[str, Desk] = {}
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Keep desks running until cancelled; a defect of one ends it."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            await asyncio.Event().wait()

    def of(self, tenant: str) -> Desk:
        """The tenant's desk."""
        desk = self._desks.get(tenant)
        if desk is None:
            if self._group is None:
                raise RuntimeError("no desk can be opened: Desks.run() has to run beside the server")
            desk = self._desks[tenant] = Desk(tenant, self._deps)
            self._group.create_task(desk.run(), name=f"desk of {tenant}")
        return desk
