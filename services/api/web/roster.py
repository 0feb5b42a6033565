"""The rows of a tenant's portfolio: read in the background page by page, the worst first, and shown as they come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from services.api.web.rows import Row, row_of
from shared.domain.contract.events import relationship_key
from shared.domain.errors import Unavailable
from shared.storage.store import RelationshipQuery, Store
from shared.telemetry import logger

PAGE = 1_000
RETRY = 1.0  # seconds


class Roster:
    """`run` reads when the first page asks (`ready`) and whenever told to (`again`).

    `came` is called with the rows of each page while it is read for the first time, and with None once everything has
    been read anew.
    """

    def __init__(self, tenant: str, store: Store, came: Callable[[list[Row] | None], None]) -> None:
        self.rows: dict[str, Row] = {}
        self.complete = False
        self._tenant = tenant
        self._store = store
        self._came = came
        self._first: asyncio.Future[None] | None = None
        self._wanted = asyncio.Event()
        self._renewed: dict[str, Row] = {}  # while reading: newer than the pages being read

    async def ready(self) -> None:
        """Wait until the first page of rows is there. Raises Unavailable."""
        await asyncio.shield(self.want())

    def want(self) -> asyncio.Future[None]:
        """Begin to read, unless that has been done; the future is done when the first page of rows is there."""
        if self._first is None:
            self._first = asyncio.get_running_loop().create_future()
            self._wanted.set()
        return self._first

    def again(self) -> None:
        """Read everything anew, if anybody has ever asked for it."""
        if self._first is not None:
            self._wanted.set()

    async def renew(self, relationships: Collection[str]) -> list[Row]:
        """The present rows of these; none while nobody has asked for the portfolio. Raises Unavailable."""
        if not relationships or self._first is None:
            return []
        states = await self._store.states([relationship_key(self._tenant, one) for one in relationships])
        rows = {state.relationship: row_of(state) for state in states.values()}
        self.rows.update(rows)
        self._renewed.update(rows)
        return list(rows.values())

    async def run(self) -> None:
        """Read whenever it is wanted, for ever."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await self._read()
            except Unavailable as error:
                logger().warning("the portfolio cannot be read", error=str(error))
                if self._first is not None and not self._first.done():
                    self._first.set_exception(error)
                    self._first.exception()  # whoever waits is told; if nobody does any more, that is no defect
                    self._first = None
                else:
                    self._wanted.set()
                await asyncio.sleep(RETRY)

    async def _read(self) -> None:
        again, self._renewed = self.complete, {}
        found: dict[str, Row] = {}
        cursor: str | None = None
        while True:
            query = RelationshipQuery(sort="ri", cursor=cursor, limit=PAGE)
            page = await self._store.list_relationships(self._tenant, query)
            rows = {state.relationship: row_of(state) for state in page.items}
            rows.update((id, row) for id, row in self._renewed.items() if id in rows)
            found.update(rows)
            cursor = page.next
            if not again:
                self._show(rows, last=cursor is None)
            if cursor is None:
                break
            await asyncio.sleep(0)  # a page is work enough without letting others run
        self.rows = found | self._renewed
        if again:
            self._came(None)

    def _show(self, rows: dict[str, Row], last: bool) -> None:
        self.rows.update(rows)
        self.complete = last
        self._came(list(rows.values()))
        if self._first is not None and not self._first.done():
            self._first.set_result(None)
