"""Topics and their incarnations: what must exist before any service starts. `rapport init` runs `establish`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from shared.domain.errors import Misconfigured
from shared.storage.store import Incarnation
from shared.stream import topics
from shared.stream.admin import ALL, ensure_topics, partition_counts


class IncarnationStore(Protocol):
    """The part of the store that this needs."""

    async def incarnation(self, topic: str) -> Incarnation | None: ...

    async def set_incarnation(self, incarnation: Incarnation) -> None: ...


class Established(msgspec.Struct, frozen=True):
    """What `establish` did: topics it created, and topics that got a new incarnation."""

    created: tuple[str, ...]
    incarnated: tuple[str, ...]


async def establish(
    bootstrap: str, store: IncarnationStore, partitions: int, new_id: Callable[[], str], *, renew: bool = False
) -> Established:
    """Create missing topics and record a new incarnation of each, or of one that the store does not know.

    `renew`: of all of them, for logs that were recreated while Rapport was not looking.

    Raises Misconfigured where topic or store has another partition count than `partitions` of
    `rapport.interactions`, Unavailable where Kafka or the store does not answer.
    """
    known = {name: await store.incarnation(name) for name in ALL}
    present = await partition_counts(bootstrap)
    _refuse_half_grown(known[topics.INTERACTIONS], present)
    _refuse_mismatch(known[topics.INTERACTIONS], partitions)
    renewed = [name for name in ALL if renew or name not in present or known[name] is None]
    for name in renewed:
        # Before the topic exists: after a crash in between it is still missing, and is given yet another. The other
        # way round the new log would run under the old incarnation, whose watermarks skip events.
        await store.set_incarnation(Incarnation(name, new_id(), topics.partitions_of(name, partitions)))
    created = await ensure_topics(bootstrap, partitions)
    return Established(tuple(sorted(created)), tuple(sorted(renewed)))


def _refuse_half_grown(known: Incarnation | None, present: Mapping[str, int]) -> None:
    grown = max(present.get(name, 0) for name in (topics.INTERACTIONS, topics.INBOX, topics.UPDATES))
    if known is not None and grown > known.partitions:
        raise Misconfigured(
            f"Growing from {known.partitions} to {grown} partitions was interrupted: repeat `rapport partitions grow "
            f"--to {grown}`, then set RAPPORT_PARTITIONS to {grown}."
        )


def _refuse_mismatch(known: Incarnation | None, partitions: int) -> None:
    if known is not None and known.partitions != partitions:
        raise Misconfigured(
            f"The store belongs to a log with {known.partitions} partitions of {known.topic}, but {partitions} are "
            f"configured. The count decides which worker owns a relationship: set RAPPORT_PARTITIONS (or --partitions) "
            f"to {known.partitions}, or use another database or --data directory. To have more, see "
            "`rapport partitions grow --help`."
        )
