"""The topics, who writes them, and which partition a key belongs to."""

from __future__ import annotations

from zlib import crc32

INBOX = "rapport.inbox"  # upstream systems that produce to Kafka themselves → ingest
INTERACTIONS = "rapport.interactions"  # ingest and scoring alone, by relationship → scoring
QUARANTINE = "rapport.quarantine"  # what could not be accepted or applied, with its reason
UPDATES = "rapport.updates"  # scoring: changed scores and verdicts → alerts
ALERTS = "rapport.alerts"  # alerts: every change of an alert, keyed by fingerprint
FEED = "rapport.feed"  # one partition: what the live streams show

# The consumer groups, and what each reads: interactions, updates, inbox.
SCORING_GROUP = "rapport-scoring"
ALERTS_GROUP = "rapport-alerts"
INGEST_GROUP = "rapport-ingest"

INCARNATION_HEADER = "rapport-incarnation"


def partitions_of(topic: str, interactions: int) -> int:
    """How many partitions `topic` has, given the configured count of `rapport.interactions`."""
    return {INTERACTIONS: interactions, INBOX: interactions, UPDATES: interactions}.get(topic, 1)


def partition_of(key: bytes, partitions: int) -> int:
    """The partition that owns `key`: CRC-32 modulo the count, the same in every client."""
    return crc32(key) % partitions
