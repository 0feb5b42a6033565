"""Current alerts, compared and set on `version`, and their closed episodes."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from shared.domain.alerts.alert import Alert, AlertState
from shared.domain.errors import Conflict
from shared.domain.relationship.flags import Severity
from shared.storage.documents import parse
from shared.storage.lookup import NEWEST_ALERT, alert_conditions
from shared.storage.mongo.client import answering, matching, whole
from shared.storage.mongo.relationships import MongoLists
from shared.storage.store import AlertQuery, Page

_STANDING = [AlertState.OPEN.value, AlertState.ACKNOWLEDGED.value]


class MongoAlerts(MongoLists):
    """Implements `AlertStore`."""

    async def alerts(self, ids: Sequence[str]) -> dict[str, Alert]:
        return await self._by_id("alerts", ids, Alert)

    async def alert(self, tenant: str, id: str) -> Alert | None:
        found = (await self.alerts([id])).get(id)
        return found if found and found.tenant == tenant else None

    async def list_alerts(self, tenant: str, query: AlertQuery) -> Page[Alert]:
        where = matching(alert_conditions(tenant, query))
        return await self._page("alerts", where, NEWEST_ALERT, query.cursor, query.limit, Alert)

    async def put_alert(self, alert: Alert, expected: int) -> None:
        if expected == 0:
            stored = await self._create_one("alerts", alert)
        else:
            stored = await self._replace_one("alerts", alert, {"version": expected})
        if not stored:
            raise Conflict(f"alert {alert.id} is not at version {expected}")

    async def archive_episode(self, alert: Alert) -> None:
        episode = msgspec.structs.replace(alert, id=f"{alert.id}/{alert.episode}")
        await self._create("episodes", [{**whole(episode), "of": "=" + alert.id}])

    async def episodes(self, tenant: str, id: str) -> list[Alert]:
        query = {"q.tenant": {"$eq": "=" + tenant}, "of": {"$eq": "=" + id}}
        found = [parse(doc, Alert) for doc in await self._find("episodes", query, [("episode", 1)])]
        return [msgspec.structs.replace(alert, id=id) for alert in found]

    async def unpublished(self, limit: int) -> list[Alert]:
        docs = await self._find("alerts", {"q.lags": {"$eq": 1}}, [("updated_at", 1), ("_id", 1)], limit)
        return [parse(doc, Alert) for doc in docs]

    async def mark_published(self, id: str, version: int) -> None:
        published = {"published_version": version}
        alerts = self._db["alerts"]
        with answering():
            done = await alerts.update_one({"_id": id, "version": version}, {"$set": {**published, "q.lags": 0}})
            if done.matched_count == 0:  # it has moved on: this version is published, the present one is not yet
                older = {"_id": id, "published_version": {"$lt": version}, "version": {"$gt": version}}
                await alerts.update_one(older, {"$set": published})

    async def open_counts(self) -> dict[str, int]:
        return {
            severity.value: await self._count(
                "alerts", {"severity": {"$eq": severity.value}, "state": {"$in": _STANDING}}
            )
            for severity in Severity
        }
