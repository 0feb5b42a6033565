"""What Rapport asks of its store. Implemented by `memory.py` and `mongo/`, held to one contract suite.

All methods raise `Unavailable` when the server does not answer. Nothing is read for people or machines without a
tenant; scoring addresses documents by ids, which begin with the tenant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from shared.domain.alerts.alert import Alert
from shared.domain.columns.months import Month
from shared.domain.contract.events import Millis
from shared.domain.relationship.fence import Fenced
from shared.domain.relationship.state import RelationshipState
from shared.domain.relationship.touchpoints import Touchpoint

Item = TypeVar("Item")


class Page(msgspec.Struct, Generic[Item], frozen=True):
    """One page of a list; `next` is an opaque cursor, None at the end."""

    items: tuple[Item, ...]
    next: str | None = None


# --- the log and the scoring workers -----------------------------------------------------------------------------


class Incarnation(msgspec.Struct, frozen=True):
    """The present incarnation of a topic, and its fixed partition count (collection `meta`)."""

    topic: str
    incarnation: str
    partitions: int


class PartitionState(Fenced, omit_defaults=True, kw_only=True):
    """What a partition's owner remembers of it (collection `partitions`): the last clock record's time.

    `unpublished`: relationships whose flags a clock record has changed, until that has been told on `rapport.updates`.
    `published_into`: the incarnation of `rapport.updates` that has been told of everything.
    `begins`: the offset at which the present incarnation begins; what lies before was folded under an earlier one.
    """

    clock: Millis = 0
    unpublished: tuple[str, ...] = ()
    published_into: str = ""
    begins: int = 0


class DedupChunk(Fenced, omit_defaults=True, kw_only=True):
    """Event ids of one relationship (collection `dedup`, `_id` = `tenant/relationship/NUMBER`).

    `parts` holds what was added at once: by "o" and the offset of the first, the packed hashes and offsets (see
    shared.domain.columns.id_chunks); `count` is how many ids there are in all. `newest` is the newest receipt
    among them: a chunk whose newest is older than the window may be dropped.
    """

    tenant: str
    relationship: str
    number: int
    count: int = 0
    newest: Millis = 0
    parts: dict[str, str] = msgspec.field(default_factory=dict)


class Due(msgspec.Struct, frozen=True):
    """A relationship (its id) that falls due at a moment."""

    id: str
    at: Millis


NEVER_DUE = Due("", 0)


class Write(msgspec.Struct, frozen=True):
    """A conditional write: document `id` of `collection` at revision `base` gets `fields` (absolute values).

    `base` 0 creates the document when it is missing. `fields` are top-level or dotted paths (made with `documents.path`
    where a part of it is a map's key), and always hold the fence (`incarnation`, `partition`, `position`) and `writer`,
    and with `base` 0 `tenant` and `relationship` where the document has them; the store sets `rev` to `base + 1`.
    Values are domain values or plain ones. No two writes of one call address the same document.
    """

    collection: str
    id: str
    base: int
    fields: Mapping[str, Any]


class StateStore(Protocol):
    """Scoring's side: fenced documents."""

    async def incarnation(self, topic: str) -> Incarnation | None: ...

    async def set_incarnation(self, incarnation: Incarnation) -> None: ...

    async def states(self, ids: Sequence[str]) -> dict[str, RelationshipState]:
        """Head documents by id (`tenant/relationship`); missing ones are left out."""
        ...

    async def months(self, ids: Sequence[str], since: str) -> list[Month]:
        """Month documents of these relationships from month `since` (YYYY-MM) on, sorted by id."""
        ...

    async def months_by_id(self, ids: Sequence[str]) -> dict[str, Month]:
        """Month documents by their own id; missing ones are left out."""
        ...

    async def dedup_chunks(self, ids: Sequence[str], newest_after: Millis) -> list[DedupChunk]:
        """Dedup chunks of these relationships (`tenant/relationship`) with `newest` > `newest_after`, by id."""
        ...

    async def touchpoints(self, ids: Sequence[str]) -> dict[str, Touchpoint]:
        """Timeline entries by id."""
        ...

    async def whole_timeline(self, tenant: str, relationship: str) -> list[Touchpoint]:
        """Every entry of a relationship in the order of the log (incarnation as stored, then position)."""
        ...

    async def add_touchpoints(self, entries: Sequence[Touchpoint]) -> None:
        """Insert those that are missing; an entry that exists is left as it is."""
        ...

    async def write(self, writes: Sequence[Write]) -> list[str]:
        """Apply conditional writes; the ids that lost (their revision was another) and were not written.

        A write that this very `writer` had already made (read back: rev is base + 1 and writer equal) counts as made.
        """
        ...

    async def partition_state(self, partition: int) -> PartitionState | None:
        """State of a partition of `rapport.interactions` (`_id` = str(partition))."""
        ...

    async def due(self, partition: int, now: Millis, limit: int, after: Due = NEVER_DUE) -> list[Due]:
        """Relationships of `partition` with 0 < next_due_at ≤ now that follow on `after`, by that and then by id."""
        ...

    async def states_of_partition(self, partition: int, after: str, limit: int) -> list[RelationshipState]:
        """Heads of `partition` whose id is greater than `after`, in the order of their ids."""
        ...

    async def earliest_due(self, partitions: Sequence[int]) -> dict[int, Millis]:
        """The smallest next_due_at > 0 in each of these partitions, where there is one."""
        ...

    async def purge_dedup(self, partition: int, newest_before: Millis) -> int:
        """Drop the dedup chunks written from this partition whose newest id was received before; how many."""
        ...


# --- what people and machines read -------------------------------------------------------------------------------


class RelationshipQuery(msgspec.Struct, frozen=True):
    """Filters (None = any), free text over name and id, sort (`-` first for descending), cursor and page size.

    Sort fields: name, ri, rv, last_seen, next_due_at, first_seen. Relationships without a value come last.
    """

    kind: str | None = None
    segment: str | None = None
    owner: str | None = None
    band: str | None = None
    stage: str | None = None
    text: str | None = None
    sort: str = "ri"
    cursor: str | None = None
    limit: int = 50


class RelationshipStore(Protocol):
    """The API's side of relationships."""

    async def list_relationships(self, tenant: str, query: RelationshipQuery) -> Page[RelationshipState]: ...

    async def relationship(self, tenant: str, relationship: str) -> RelationshipState | None: ...

    async def timeline(self, tenant: str, relationship: str, cursor: str | None, limit: int) -> Page[Touchpoint]:
        """Newest first by event time."""
        ...

    async def month_range(self, tenant: str, relationship: str, first: str, last: str) -> list[Month]:
        """Month documents from `first` to `last` (YYYY-MM, both included), in order."""
        ...


# --- alerts ------------------------------------------------------------------------------------------------------


class AlertQuery(msgspec.Struct, frozen=True):
    """Filters (None = any). Newest first by `opened_at`."""

    states: tuple[str, ...] | None = None
    severity: str | None = None
    rule: str | None = None
    relationship: str | None = None
    owner: str | None = None
    cursor: str | None = None
    limit: int = 50


class AlertStore(Protocol):
    """Current alerts by fingerprint, compare-and-set on `version`; closed episodes beside them."""

    async def alerts(self, ids: Sequence[str]) -> dict[str, Alert]:
        """Current alerts by fingerprint, for the alerts service (ids begin with the tenant)."""
        ...

    async def alert(self, tenant: str, id: str) -> Alert | None: ...

    async def list_alerts(self, tenant: str, query: AlertQuery) -> Page[Alert]:
        """Current alerts (the latest episode of each fingerprint)."""
        ...

    async def put_alert(self, alert: Alert, expected: int) -> None:
        """Store if the stored version is `expected` (0: there is none); raises Conflict otherwise."""
        ...

    async def archive_episode(self, alert: Alert) -> None:
        """Keep a closed episode under `fingerprint/episode` (idempotent)."""
        ...

    async def episodes(self, tenant: str, id: str) -> list[Alert]:
        """Closed episodes of a fingerprint, oldest first."""
        ...

    async def unpublished(self, limit: int) -> list[Alert]:
        """Alerts whose published_version lags behind their version, of all tenants (the sweep)."""
        ...

    async def mark_published(self, id: str, version: int) -> None:
        """Raise published_version to `version` if it is lower."""
        ...

    async def open_counts(self) -> dict[str, int]:
        """Alerts that are open or acknowledged, by severity, over all tenants (a metric)."""
        ...


class Delivery(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message to one channel (collection `outbox`). `id` = fingerprint/episode/what.version/channel: made once.

    `state` is pending, delivered or failed; `attempts` made so far; `body` the exact bytes to send (JSON text).
    """

    id: str
    tenant: str
    alert: str
    channel: str
    body: str
    created_at: Millis
    next_attempt_at: Millis
    state: str = "pending"
    attempts: int = 0
    last_error: str = ""
    delivered_at: Millis = 0


class OutboxStore(Protocol):
    """Durable deliveries."""

    async def add_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        """Insert those that are missing."""
        ...

    async def due_deliveries(self, now: Millis, limit: int) -> list[Delivery]:
        """Pending ones with next_attempt_at ≤ now, earliest first."""
        ...

    async def update_delivery(self, delivery: Delivery, expected_attempts: int) -> None:
        """Store if `attempts` still is what was expected; raises Conflict otherwise."""
        ...

    async def deliveries(self, tenant: str, alert: str) -> list[Delivery]: ...

    async def outbox_age(self, now: Millis) -> tuple[int, Millis]:
        """Pending deliveries over all tenants: how many, and the age of the oldest in ms (0 if none)."""
        ...


# --- keys --------------------------------------------------------------------------------------------------------


class ApiKey(msgspec.Struct, frozen=True, omit_defaults=True):
    """A machine client's key (collection `keys`). The secret is kept as its SHA-256 only (it is 256 bits of chance).

    `kind` is "write" (ingest) or "api". The whole key reads `rk_KIND_ID_SECRET`.
    """

    id: str
    tenant: str
    kind: str
    hash: str
    name: str
    created_at: Millis
    revoked_at: Millis = 0


class KeyStore(Protocol):
    """Keys by id; the edge compares hashes in constant time."""

    async def key(self, id: str) -> ApiKey | None: ...

    async def add_key(self, key: ApiKey) -> None:
        """Raises Conflict if the id exists."""
        ...

    async def list_keys(self, tenant: str) -> list[ApiKey]: ...

    async def revoke_key(self, tenant: str, id: str, at: Millis) -> bool:
        """False if there is no such key of this tenant."""
        ...


class Store(StateStore, RelationshipStore, AlertStore, OutboxStore, KeyStore, Protocol):
    """All of it, as a service opens it."""

    async def prepare(self) -> None:
        """Create indexes where they are missing; safe to call by every service at start."""
        ...

    async def ping(self) -> None:
        """Raises Unavailable if the server does not answer within a second or two."""
        ...

    async def close(self) -> None: ...
