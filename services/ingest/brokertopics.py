"""Whether the broker has the topics that ingest reads and writes, with the partition counts that are configured."""

from __future__ import annotations

from shared.domain.errors import Misconfigured, Unavailable
from shared.stream.admin import partition_counts
from shared.stream.topics import INBOX, INTERACTIONS, QUARANTINE, partitions_of

ANSWER_SECONDS = 3.0


async def check_topics(bootstrap: str, partitions: int) -> None:
    """Raises Unavailable where the broker is silent or a topic is missing, Misconfigured for another count."""
    counts = await partition_counts(bootstrap, timeout=ANSWER_SECONDS)
    for topic in (INTERACTIONS, INBOX, QUARANTINE):
        wanted = partitions_of(topic, partitions)
        if topic not in counts:
            raise Unavailable(f"Topic {topic} is missing: run `rapport init`.")
        if counts[topic] != wanted:
            raise Misconfigured(
                f"Topic {topic} has {counts[topic]} partitions, {wanted} are configured: set RAPPORT_PARTITIONS to "
                f"what {INTERACTIONS} was created with, or name another Kafka cluster. If growing was interrupted, "
                "repeat `rapport partitions grow`."
            )
