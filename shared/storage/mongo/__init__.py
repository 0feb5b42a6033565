"""The store in MongoDB, or anything that speaks its protocol. Only this package knows motor and pymongo.

It keeps to what MongoDB and NX-27017 do alike: no unique indexes but `_id`, no updates by pipeline, no conditional
upserts, no equality on sub-documents, no `$or`, no trust in what an upsert reports (see docs/adr/0011).
"""

from __future__ import annotations

from shared.storage.mongo.alerts import MongoAlerts
from shared.storage.mongo.client import MongoClient
from shared.storage.mongo.keys import MongoKeys
from shared.storage.mongo.outbox import MongoOutbox
from shared.storage.mongo.relationships import MongoRelationships
from shared.storage.mongo.state import MongoState

__all__ = ["MongoStore"]


class MongoStore(MongoState, MongoRelationships, MongoAlerts, MongoOutbox, MongoKeys, MongoClient):
    """Implements `Store` on database `database` of the server at `url`."""
