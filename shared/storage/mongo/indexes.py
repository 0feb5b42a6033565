"""Indexes by collection. For lists: tenant, what they are sorted by, and the key that breaks ties."""

from __future__ import annotations

INDEXES: dict[str, tuple[tuple[str, ...], ...]] = {
    "relationships": (
        ("q.tenant", "scores.ri.index", "q.key"),
        ("q.tenant", "q.name", "q.key"),
        ("q.tenant", "scores.rv.index", "q.key"),
        ("q.tenant", "last_seen", "q.key"),
        ("q.tenant", "next_due_at", "q.key"),
        ("q.tenant", "first_seen", "q.key"),
        ("partition", "next_due_at", "q.key"),
    ),
    "months": (("q.of", "month"), ("month",)),
    "dedup": (("q.of", "newest"), ("partition", "newest")),
    "timeline": (("q.of", "time", "q.key"),),
    "alerts": (
        ("q.tenant", "opened_at", "q.key"),
        ("q.tenant", "state", "opened_at"),
        ("q.of", "opened_at"),
        ("q.lags", "updated_at"),
    ),
    "episodes": (("of", "episode"),),
    "outbox": (("state", "next_attempt_at"), ("q.alert", "created_at")),
    "keys": (("q.tenant", "created_at"),),
}
