"""What scoring reads: months, deduplication chunks, the timeline, what is due, incarnations."""

from __future__ import annotations

import numpy as np

from shared.domain.columns.id_chunks import HASH, POSITION, IdBatch, IdChunk, chunked, seen, unpack
from shared.domain.relationship.fence import Fence
from shared.storage.store import Due, Incarnation, Store, Write
from tests.contracts.stored import FENCE, chunk_write, entry, head_write, month_write


async def test_a_topic_has_one_incarnation_at_a_time(store: Store) -> None:
    assert await store.incarnation("rapport.interactions") is None
    for name in ("first", "second"):
        await store.set_incarnation(Incarnation("rapport.interactions", name, 8))
        assert await store.incarnation("rapport.interactions") == Incarnation("rapport.interactions", name, 8)
    assert await store.incarnation("rapport.updates") is None


async def test_months_of_relationships_from_a_month_on(store: Store) -> None:
    await store.write([month_write(r, m) for r in ("r1", "r1/sub", "r2") for m in ("2025-11", "2025-12", "2026-01")])
    await store.write([month_write("r1", "2026-01", tenant="other")])
    found = await store.months(["acme/r2", "acme/r1", "acme/nobody"], "2025-12")
    assert [month.id for month in found] == [f"acme/{r}/{m}" for r in ("r1", "r2") for m in ("2025-12", "2026-01")]
    assert [month.rev for month in found] == [1] * 4
    assert await store.months(["acme/r1"], "2026-02") == []
    assert await store.months([], "2025-12") == []


async def test_months_far_apart_are_found_all_the_same(store: Store) -> None:
    await store.write([month_write("r1", m) for m in ("1990-01", "2026-01", "9999-12")])
    assert [month.month for month in await store.months(["acme/r1"], "1970-01")] == ["1990-01", "2026-01", "9999-12"]
    assert [month.month for month in await store.months(["acme/r1"], "1990-02")] == ["2026-01", "9999-12"]


async def test_months_by_their_own_ids(store: Store) -> None:
    await store.write([month_write("r1", "2026-01"), month_write("r2", "2026-01")])
    found = await store.months_by_id(["acme/r1/2026-01", "acme/r1/2026-02"])
    assert set(found) == {"acme/r1/2026-01"}
    assert found["acme/r1/2026-01"].relationship == "r1"


async def test_dedup_chunks_newer_than_a_moment(store: Store) -> None:
    numbers = [("r1", 0, 10), ("r1", 1, 20), ("r2", 0, 30), ("r3", 0, 40)]
    await store.write([chunk_write(r, newest, number=n, parts={f"o{newest}": "AAAA"}) for r, n, newest in numbers])
    found = await store.dedup_chunks(["acme/r2", "acme/r1"], 10)
    assert [(chunk.id, chunk.number, chunk.newest, chunk.parts) for chunk in found] == [
        ("acme/r1/1", 1, 20, {"o20": "AAAA"}),
        ("acme/r2/0", 0, 30, {"o30": "AAAA"}),
    ]
    many = await store.dedup_chunks([f"acme/r{n}" for n in range(1_100)], 0)
    assert [chunk.id for chunk in many] == ["acme/r1/0", "acme/r1/1", "acme/r2/0", "acme/r3/0"]


async def test_a_dedup_chunk_is_gone_on_with_in_parts(store: Store) -> None:
    """What the engine writes of a chunk comes back as the ids it was written for, part by part."""
    chunks: list[IdChunk] = []
    written: list[IdBatch] = []
    for rev in range(3):
        numbers = range(rev * 500, rev * 500 + 500)
        ids = seen(
            [2**64 - 1 - number for number in numbers], [7_000_000_000 + number for number in numbers], [5] * 500
        )
        chunked(chunks, ids, Fence("inc", 3))
        for chunk in chunks:
            if chunk.new:
                assert await store.write([chunk_write("r1", base=chunk.rev, **chunk.fields())]) == []
                chunk.rev, chunk.new = chunk.rev + 1, {}
        written.append(ids)
    found = sorted(await store.dedup_chunks(["acme/r1"], 0), key=lambda chunk: chunk.number)
    assert [(chunk.number, chunk.count, chunk.newest, chunk.rev) for chunk in found] == [
        (0, 1_024, 5, 3),
        (1, 476, 5, 1),
    ]
    parts = [unpack(part, packed) for chunk in found for part, packed in sorted(chunk.parts.items())]
    assert [hash for hashes, _ in parts for hash in hashes.tolist()] == np.concatenate(written)[:, HASH].tolist()
    assert [position for _, positions in parts for position in positions.tolist()] == np.concatenate(written)[
        :, POSITION
    ].tolist()


async def test_expired_dedup_chunks_are_dropped(store: Store) -> None:
    await store.write([chunk_write("r1", newest, number=n) for n, newest in ((0, 10), (1, 20), (2, 30))])
    partition = (await store.dedup_chunks(["acme/r1"], 0))[0].partition
    assert await store.purge_dedup(partition + 1, 20) == 0  # another worker's: it may be far behind
    assert await store.purge_dedup(partition, 20) == 1
    assert await store.purge_dedup(partition, 20) == 0
    assert [chunk.number for chunk in await store.dedup_chunks(["acme/r1"], 0)] == [1, 2]


async def test_a_timeline_entry_that_exists_is_left_as_it_is(store: Store) -> None:
    await store.add_touchpoints([entry("s#1", type="note.added"), entry("s#2")])
    await store.add_touchpoints([entry("s#1", type="ticket.opened"), entry("s#3", data={"a.b": {"$c": [{"": 1}]}})])
    found = await store.touchpoints(["acme/r1/s#1", "acme/r1/s#2", "acme/r1/s#3", "acme/r1/s#4"])
    assert {id: touch.type for id, touch in found.items()} == {f"acme/r1/s#{n}": "note.added" for n in (1, 2, 3)}
    assert found["acme/r1/s#3"] == entry("s#3", data={"a.b": {"$c": [{"": 1}]}})
    assert await store.touchpoints([]) == {}


async def test_a_timeline_entry_is_corrected_under_a_condition(store: Store) -> None:
    await store.add_touchpoints([entry("s#1")])
    change = {**FENCE, "tenant": "acme", "relationship": "r1", "data": {"text": "b"}, "corrected_by": "s#2"}
    assert await store.write([Write("timeline", "acme/r1/s#1", 0, change)]) == []
    assert await store.write([Write("timeline", "acme/r1/s#1", 0, {**change, "writer": "two"})]) == ["acme/r1/s#1"]
    found = (await store.touchpoints(["acme/r1/s#1"]))["acme/r1/s#1"]
    assert (found.rev, found.data, found.corrected_by, found.type) == (1, {"text": "b"}, "s#2", "note.added")


async def test_the_whole_timeline_is_in_the_order_of_the_log(store: Store) -> None:
    places = [("b", 1), ("a", 1_500), ("a", 2), ("b", 0)]
    await store.add_touchpoints([entry(f"s#{i}{n}", incarnation=i, event_position=n, position=9) for i, n in places])
    await store.add_touchpoints([entry(f"many#{n}", event_position=n + 3) for n in range(1_100)])
    await store.add_touchpoints([entry("s#other", relationship="r2"), entry("s#b1", tenant="other")])
    found = await store.whole_timeline("acme", "r1")
    assert [(touch.incarnation, touch.event_position) for touch in found] == [
        ("a", 2), ("a", 1_500), ("b", 0), ("b", 1), *(("inc", n + 3) for n in range(1_100))
    ]  # fmt: skip


async def test_due_are_the_earliest_of_the_partition(store: Store) -> None:
    moments = {"a": 30, "b": 10, "c": 0, "d": 20, "e": 40}
    await store.write([head_write(name, next_due_at=at) for name, at in moments.items()])
    await store.write([head_write("p", next_due_at=5, partition=4), head_write("never")])
    assert [one.id for one in await store.due(3, 30, 10)] == ["acme/b", "acme/d", "acme/a"]
    assert [one.id for one in await store.due(3, 30, 2)] == ["acme/b", "acme/d"]
    assert [one.id for one in await store.due(3, 9, 10)] == []
    found = await store.due(3, 30, 10)
    assert [one.at for one in found] == sorted(one.at for one in found)
    assert await store.due(3, 30, 10, found[0]) == found[1:]
    assert await store.due(3, 30, 1, found[0]) == found[1:2]
    assert await store.due(3, 30, 10, found[2]) == []
    assert await store.earliest_due([3, 4, 5]) == {3: 10, 4: 5}
    assert await store.earliest_due([]) == {}
    await store.write([head_write("b", base=1, next_due_at=0)])
    assert await store.earliest_due([3]) == {3: 20}


async def test_what_is_due_at_one_moment_comes_in_pages_by_id(store: Store) -> None:
    ids = ["b", "a/2", "a", "c", "a/1"]
    await store.write([head_write(name, next_due_at=20) for name in ids] + [head_write("z", next_due_at=10)])
    await store.write([head_write("0", next_due_at=21), head_write("1", next_due_at=0)])
    everything = await store.due(3, 30, 10)
    assert [one.id for one in everything] == [f"acme/{name}" for name in ("z", *sorted(ids), "0")]
    found: list[Due] = []
    while page := await store.due(3, 30, 2, *found[-1:]):
        found += page
    assert found == everything


async def test_due_times_are_plain_integers(store: Store) -> None:
    await store.write([head_write("a", next_due_at=1_767_225_600_000)])
    earliest = await store.earliest_due([3])
    assert earliest == {3: 1_767_225_600_000}
    assert type(earliest[3]) is int


async def test_due_serves_all_tenants_of_the_partition(store: Store) -> None:
    await store.write([head_write("a", next_due_at=2), head_write("a", tenant="other", next_due_at=1)])
    assert [one.id for one in await store.due(3, 5, 10)] == ["other/a", "acme/a"]


async def test_heads_of_a_partition_come_in_pages_by_id(store: Store) -> None:
    await store.write([head_write(name) for name in ("c", "a", "b", "a/1")])
    await store.write([head_write("a", tenant="other"), head_write("elsewhere", partition=4)])
    first = await store.states_of_partition(3, "", 3)
    assert [state.id for state in first] == ["acme/a", "acme/a/1", "acme/b"]
    rest = await store.states_of_partition(3, first[-1].id, 3)
    assert [state.id for state in rest] == ["acme/c", "other/a"]
    assert await store.states_of_partition(3, "other/a", 3) == []
    assert [state.id for state in await store.states_of_partition(4, "", 3)] == ["acme/elsewhere"]
