"""Topics and their incarnations: when a log is new, everyone must be able to tell."""

from __future__ import annotations

from itertools import count

import pytest

from shared.domain.errors import Misconfigured, Unavailable
from shared.embedded.ports import LOOPBACK, free_port
from shared.storage.memory import MemoryStore
from shared.storage.store import Incarnation
from shared.stream import admin, topics
from shared.topology import Established, establish

pytestmark = pytest.mark.embedded


class Ids:
    """Ids that count up, so that tests can tell them apart."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def __call__(self) -> str:
        return f"id-{next(self._numbers)}"


async def test_the_first_start_creates_topics_and_records_an_incarnation_of_each(fresh_tansu: str) -> None:
    store = MemoryStore()
    done = await establish(fresh_tansu, store, 4, Ids())
    assert done == Established(created=tuple(sorted(admin.ALL)), incarnated=tuple(sorted(admin.ALL)))
    known = [await store.incarnation(name) for name in admin.ALL]
    assert len({one.incarnation for one in known if one}) == len(admin.ALL)
    assert await store.incarnation(topics.FEED) == Incarnation(topics.FEED, "id-6", 1)
    interactions = await store.incarnation(topics.INTERACTIONS)
    assert interactions is not None
    assert interactions.partitions == 4


async def test_a_second_start_on_the_same_log_changes_nothing(fresh_tansu: str) -> None:
    store, ids = MemoryStore(), Ids()
    await establish(fresh_tansu, store, 4, ids)
    before = await store.incarnation(topics.INTERACTIONS)
    assert await establish(fresh_tansu, store, 4, ids) == Established((), ())
    assert await store.incarnation(topics.INTERACTIONS) == before


async def test_only_a_topic_that_was_made_anew_gets_a_new_incarnation(fresh_tansu: str) -> None:
    store, ids = MemoryStore(), Ids()
    await establish(fresh_tansu, store, 4, ids)
    kept = await store.incarnation(topics.INTERACTIONS)
    await admin.delete_topics(fresh_tansu, [topics.UPDATES])
    assert await establish(fresh_tansu, store, 4, ids) == Established((topics.UPDATES,), (topics.UPDATES,))
    assert await store.incarnation(topics.INTERACTIONS) == kept
    assert await store.incarnation(topics.UPDATES) == Incarnation(topics.UPDATES, "id-7", 4)


async def test_a_log_that_the_store_does_not_know_gets_an_incarnation(fresh_tansu: str) -> None:
    await admin.ensure_topics(fresh_tansu, 4)
    done = await establish(fresh_tansu, MemoryStore(), 4, Ids())
    assert done == Established((), tuple(sorted(admin.ALL)))


async def test_a_crash_before_the_topics_exist_leaves_no_old_incarnation_on_a_new_log(fresh_tansu: str) -> None:
    store, ids = MemoryStore(), Ids()
    with pytest.raises(Unavailable):  # the store is told, then the broker is gone
        await _established_on_dying_broker(store, ids, fresh_tansu)
    told = await store.incarnation(topics.INTERACTIONS)
    assert told is not None
    await establish(fresh_tansu, store, 4, ids)
    now = await store.incarnation(topics.INTERACTIONS)
    assert now is not None
    assert now.incarnation != told.incarnation


async def _established_on_dying_broker(store: MemoryStore, ids: Ids, bootstrap: str) -> None:
    class DiesAtTheLast:
        """Passes on to the store; the broker's end shows after the last incarnation was recorded."""

        async def incarnation(self, topic: str) -> Incarnation | None:
            return await store.incarnation(topic)

        async def set_incarnation(self, incarnation: Incarnation) -> None:
            await store.set_incarnation(incarnation)
            if incarnation.topic == admin.ALL[-1]:
                raise Unavailable("Kafka does not answer")

    await establish(bootstrap, DiesAtTheLast(), 4, ids)


async def test_another_partition_count_than_the_stores_is_refused_before_anything_is_made(fresh_tansu: str) -> None:
    store = MemoryStore()
    await store.set_incarnation(Incarnation(topics.INTERACTIONS, "x", 8))
    with pytest.raises(Misconfigured, match=r"8 partitions of rapport.interactions, but 4 are configured.*to 8"):
        await establish(fresh_tansu, store, 4, Ids())
    assert set(await admin.partition_counts(fresh_tansu)).isdisjoint(admin.ALL)


async def test_a_growth_that_was_interrupted_is_to_be_finished_first(fresh_tansu: str) -> None:
    store = MemoryStore()
    await store.set_incarnation(Incarnation(topics.INTERACTIONS, "x", 4))
    await admin.ensure_topics(fresh_tansu, 7)
    for configured in (4, 7):
        with pytest.raises(Misconfigured, match=r"from 4 to 7 .* repeat `rapport partitions grow --to 7`"):
            await establish(fresh_tansu, store, configured, Ids())


async def test_without_a_broker_it_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        await establish(f"{LOOPBACK}:{free_port()}", MemoryStore(), 4, Ids())
