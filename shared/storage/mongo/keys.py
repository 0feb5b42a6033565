"""Keys of machine clients."""

from __future__ import annotations

from shared.domain.contract.events import Millis
from shared.domain.errors import Conflict
from shared.storage.documents import parse
from shared.storage.mongo.client import MongoClient, answering
from shared.storage.store import ApiKey


class MongoKeys(MongoClient):
    """Implements `KeyStore`."""

    async def key(self, id: str) -> ApiKey | None:
        return (await self._by_id("keys", [id], ApiKey)).get(id)

    async def add_key(self, key: ApiKey) -> None:
        if not await self._create_one("keys", key):
            raise Conflict(f"key {key.id} exists already")

    async def list_keys(self, tenant: str) -> list[ApiKey]:
        docs = await self._find("keys", {"q.tenant": {"$eq": "=" + tenant}}, [("created_at", 1), ("_id", 1)])
        return [parse(doc, ApiKey) for doc in docs]

    async def revoke_key(self, tenant: str, id: str, at: Millis) -> bool:
        found = await self.key(id)
        if found is None or found.tenant != tenant:
            return False
        with answering():
            await self._db["keys"].update_one({"_id": id, "revoked_at": 0}, {"$set": {"revoked_at": at}})
        return True
