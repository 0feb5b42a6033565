"""Durable deliveries."""

from __future__ import annotations

from collections.abc import Sequence

from shared.domain.contract.events import Millis
from shared.domain.errors import Conflict
from shared.storage.documents import parse
from shared.storage.mongo.client import MongoClient, whole
from shared.storage.store import Delivery

_PENDING = {"state": {"$eq": "pending"}}


class MongoOutbox(MongoClient):
    """Implements `OutboxStore`."""

    async def add_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        await self._create("outbox", [whole(delivery) for delivery in deliveries])

    async def due_deliveries(self, now: Millis, limit: int) -> list[Delivery]:
        query = {**_PENDING, "next_attempt_at": {"$lte": now}}
        docs = await self._find("outbox", query, [("next_attempt_at", 1), ("_id", 1)], limit)
        return [parse(doc, Delivery) for doc in docs]

    async def update_delivery(self, delivery: Delivery, expected_attempts: int) -> None:
        if not await self._replace_one("outbox", delivery, {"attempts": expected_attempts}):
            raise Conflict(f"delivery {delivery.id} has not had {expected_attempts} attempts")

    async def deliveries(self, tenant: str, alert: str) -> list[Delivery]:
        query = {"q.alert": {"$eq": "=" + alert}, "q.tenant": {"$eq": "=" + tenant}}
        docs = await self._find("outbox", query, [("created_at", 1), ("_id", 1)])
        return [parse(doc, Delivery) for doc in docs]

    async def outbox_age(self, now: Millis) -> tuple[int, Millis]:
        pending = await self._count("outbox", _PENDING)
        oldest = await self._first("outbox", _PENDING, [("created_at", 1)])
        return (pending, max(0, now - oldest["created_at"])) if pending and oldest else (0, 0)
