"""Event ids that have counted: chunks by hand, the table against a plain dictionary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.columns import dedup
from shared.domain.columns.dedup import SeenIds, Stored
from shared.domain.columns.id_chunks import (
    CHUNK_IDS,
    CHUNKS_A_DAY,
    IdBatch,
    IdChunk,
    Unsaved,
    chunk_all,
    chunked,
    part_of,
    seen,
    unpack,
)
from shared.domain.columns.id_table import IdTable
from shared.domain.contract.events import DAY, id_hash
from shared.domain.relationship.fence import Fence
from tests.examples import examples

TODAY = 20_605  # 2026-06-01
START = TODAY * DAY
WINDOW = 7
LOG = Fence("one", 0)

Event = tuple[int, int, int, int]  # tag, hash, day, position


def admitted(ids: SeenIds, *events: Event) -> list[tuple[bool, bool]]:
    """For each of a batch of events: whether it counts, and whether its id is new."""
    tags, hashes, days, positions = zip(*events, strict=True)
    counts, new = ids.admit(
        np.array(hashes, np.uint64), np.array(tags, np.uint32), np.array(days, np.int64), list(positions)
    )
    return list(zip(counts.tolist(), new.tolist(), strict=True))


def counted(ids: SeenIds, *events: Event) -> list[bool]:
    """For each of a batch of events: whether it counts, with an id that is new."""
    found = admitted(ids, *events)
    assert all(counts == new for counts, new in found)
    return [counts for counts, _ in found]


def load(ids: SeenIds, tag: int, day: int, *stored: tuple[int, int], again: tuple[int, int] | None = None) -> None:
    """Load a chunk of this day with these hashes and positions."""
    known, places = zip((1 << 60, 0), *stored, strict=True)
    hashes, positions = unpack("o0", pack(seen(known, places, [0] * len(known))))
    ids.load([Stored(tag, day * CHUNKS_A_DAY, hashes[1:], positions[1:], again)])


# --- hashes and chunks


def test_a_hash_is_of_64_bits_and_never_0() -> None:
    hashes = {id_hash("test", f"e{number}") for number in range(100)}
    assert len(hashes) == 100
    assert all(0 < hash < 2**64 for hash in hashes)
    assert max(hashes) > 2**63
    assert id_hash("a", "bc") != id_hash("ab", "c")


def test_what_hashes_to_0_is_no_empty_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.domain.contract.events.xxh3_64_intdigest", lambda text: 0)
    assert id_hash("test", "e1") == 1


def test_packed_ids_come_back() -> None:
    places = [7_000_000_000, 7_000_000_001, 7_000_000_000 + 2**32 - 1]
    hashes, positions = unpack("o7000000000", pack(seen([1, 2**64 - 1, 9], places, [START, START, 5])))
    assert hashes.tolist() == [1, 2**64 - 1, 9]
    assert positions.tolist() == places


def pack(ids: IdBatch) -> str:
    return part_of(ids, LOG).packed


def some(count: int, received: int = START, first: int = 0) -> IdBatch:
    positions = range(first, first + count)
    return seen([1 + position for position in positions], positions, [received] * count)


def shape(chunks: list[IdChunk]) -> list[tuple[int, int, list[int]]]:
    return [
        (chunk.number, chunk.count, [position for part in chunk.new.items() for position in unpack(*part)[1].tolist()])
        for chunk in chunks
    ]


def test_a_chunk_is_sealed_when_full_and_at_midnight() -> None:
    first = TODAY * CHUNKS_A_DAY
    chunks: list[IdChunk] = []
    chunked(chunks, some(0), LOG)
    assert chunks == []
    full, tomorrow = some(CHUNK_IDS + 1), some(1, START + DAY, 5_000)
    late = some(1, START, 5_001)  # received earlier, read later: the newest chunk takes it
    chunked(chunks, np.concatenate([full, tomorrow, late]), LOG)
    assert shape(chunks) == [
        (first, CHUNK_IDS, list(range(CHUNK_IDS))),
        (first + 1, 1, [CHUNK_IDS]),
        (first + CHUNKS_A_DAY, 2, [5_000, 5_001]),
    ]
    assert chunks[2].newest == START + DAY
    assert [chunk.fence for chunk in chunks] == [Fence("one", 0, position) for position in (1_023, 1_024, 5_001)]


def test_ids_of_many_relationships_are_put_into_chunks_as_those_of_each_are() -> None:
    days = [START - 1, START, START + DAY]
    pieces = [[some(1, day)] for day in days] + [[some(1, days[0]), some(2, days[1], 1)], [some(CHUNK_IDS), some(9)]]
    together: list[list[IdChunk]] = [[] for _ in pieces]
    chunk_all([Unsaved(chunks, ids, LOG) for chunks, ids in zip(together, pieces, strict=True)])
    alone: list[list[IdChunk]] = [[] for _ in pieces]
    for chunks, ids in zip(alone, pieces, strict=True):
        chunked(chunks, np.concatenate(ids), LOG)
    assert [shape(chunks) for chunks in together] == [shape(chunks) for chunks in alone]
    assert [len(chunks) for chunks in alone] == [1, 1, 1, 2, 2]
    chunk_all([])


def test_a_chunk_is_found_as_long_as_others_of_its_day_are() -> None:
    """However long before that day its ids were received: a number that is not found would be given again."""
    chunks: list[IdChunk] = []
    chunked(chunks, some(CHUNK_IDS), LOG)
    chunked(chunks, some(1, START - 20 * DAY, first=CHUNK_IDS), LOG)
    assert [(chunk.number, chunk.newest) for chunk in chunks] == [
        (TODAY * CHUNKS_A_DAY, START),
        (TODAY * CHUNKS_A_DAY + 1, START),
    ]


def test_the_last_chunk_is_gone_on_with_in_parts() -> None:
    chunks: list[IdChunk] = []
    chunked(chunks, some(2, first=10), LOG)
    number = TODAY * CHUNKS_A_DAY
    assert chunks[0].fields() == {
        "number": number,
        "count": 2,
        "newest": START,
        "parts.o10": pack(some(2, first=10)),
    }
    chunks[0].new = {}  # it is stored
    chunked(chunks, some(CHUNK_IDS, START + 1, first=20), LOG)
    assert chunks[0].fields() == {
        "number": number,
        "count": CHUNK_IDS,
        "newest": START + 1,
        "parts.o20": pack(some(CHUNK_IDS - 2, first=20)),
    }
    assert shape(chunks)[1] == (number + 1, 2, [20 + CHUNK_IDS - 2, 20 + CHUNK_IDS - 1])


@pytest.mark.parametrize("log", [Fence("two", 0), Fence("one", 1)])
def test_positions_of_two_logs_do_not_go_together(log: Fence) -> None:
    chunks: list[IdChunk] = []
    chunked(chunks, some(1), LOG)
    chunked(chunks, some(1), log)
    assert [(chunk.number - TODAY * CHUNKS_A_DAY, chunk.fence.incarnation) for chunk in chunks] == [
        (0, "one"),
        (1, log.incarnation),
    ]


# --- the table by hand


def test_an_id_counts_once_to_the_end_of_the_last_day_of_the_window() -> None:
    ids = SeenIds(WINDOW)
    tag = ids.enter()
    assert counted(ids, (tag, 1, TODAY, 5)) == [True]
    assert counted(ids, (tag, 2, TODAY, 6)) == [True]
    assert counted(ids, (tag, 1, TODAY, 7)) == [False]
    assert counted(ids, (tag, 1, TODAY - 3, 8)) == [False]  # received earlier, read later
    assert counted(ids, (tag, 1, TODAY + WINDOW, 9)) == [False]  # which does not make it last longer
    assert counted(ids, (tag, 1, TODAY + WINDOW + 1, 10)) == [True]
    assert counted(ids, (tag, 1, TODAY + 2 * WINDOW + 1, 11)) == [False]
    assert counted(ids, (tag, 1, TODAY + 2 * WINDOW + 2, 12)) == [True]
    assert ids.resident == 2


def test_of_the_same_in_one_batch_the_first_counts_and_again_after_the_window() -> None:
    ids = SeenIds(WINDOW)
    tag, other = ids.enter(), ids.enter()
    days = (0, 0, 7, 8, 15, 16, 3)
    batch = [(tag, 1, TODAY + day, number) for number, day in enumerate(days)]
    batch.insert(1, (other, 1, TODAY, 100))
    assert counted(ids, *batch) == [True, True, False, False, True, False, True, False]
    assert ids.resident == 2
    assert counted(ids, (tag, 1, TODAY + 23, 200), (other, 1, TODAY + 7, 201)) == [False, False]
    assert counted(ids, (tag, 1, TODAY + 24, 300), (other, 1, TODAY + 8, 301)) == [True, True]


def test_what_is_known_does_not_hide_what_comes_again_after_the_window_in_one_batch() -> None:
    ids = SeenIds(WINDOW)
    tag = ids.enter()
    counted(ids, (tag, 1, TODAY, 0))
    days = (7, 8, 9, 15, 16)
    batch = [(tag, 1, TODAY + day, number + 1) for number, day in enumerate(days)]
    assert counted(ids, *batch) == [False, True, False, False, True]


@pytest.mark.parametrize("top", [0, 0x7FFFFFFF, 0xFFFFFFFF])
def test_ids_that_fall_into_one_bucket_are_told_apart(top: int) -> None:
    ids = SeenIds(WINDOW)
    tags = [ids.enter() for _ in range(3)]
    batch = [(tag, (top << 32) + number, TODAY, number) for number in range(1, 41) for tag in tags]
    assert counted(ids, *batch) == [True] * 120  # fifteen buckets full, going on from the last to the first
    assert counted(ids, *batch) == [False] * 120
    others = [(tag, (top << 32) + number, TODAY, number) for number in range(41, 51) for tag in tags]
    assert counted(ids, *others) == [True] * 30
    assert ids.resident == 150


def test_one_id_of_many_relationships_is_of_each_by_itself() -> None:
    ids = SeenIds(WINDOW)
    tags = [ids.enter() for _ in range(30)]
    for tag in tags:
        assert counted(ids, (tag, 77, TODAY + tag, tag)) == [True]
    for tag in tags:
        assert counted(ids, (tag, 77, TODAY + tag + WINDOW, 100 + tag)) == [False]
        assert counted(ids, (tag, 77, TODAY + tag + WINDOW + 1, 200 + tag)) == [True]
    assert ids.resident == 30


def test_a_table_grows_with_what_it_holds() -> None:
    ids = SeenIds(WINDOW, capacity=1)
    tag = ids.enter()
    hashes = np.random.default_rng(1).permutation(np.arange(1, 20_001, dtype=np.uint64)) * np.uint64(2**64 // 20_011)
    for part in np.split(hashes, 40):
        assert counted(ids, *((tag, int(hash), TODAY, 0) for hash in part)) == [True] * 500
    assert counted(ids, *((tag, int(hash), TODAY, 1) for hash in hashes)) == [False] * 20_000
    assert ids.resident == 20_000
    assert ids.nbytes / ids.resident < 27


def test_a_large_table_takes_16_bytes_an_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dedup, "_LARGE", 1 << 19)
    ids = SeenIds(WINDOW)
    tag, count = ids.enter(), 1 << 19
    hashes = np.random.default_rng(2).integers(1, 2**64, count, np.uint64)
    tags, days = np.full(count, tag, np.uint32), np.full(count, TODAY, np.int64)
    counts, _ = ids.admit(hashes, tags, days, range(count))
    assert counts.all()
    assert 15 < ids.nbytes / ids.resident < 16
    counts, _ = ids.admit(hashes, tags, days, range(count, 2 * count))
    assert not counts.any()


def test_a_large_table_is_made_anew_bit_by_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dedup, "_MOVED", 10)
    ids = SeenIds(WINDOW, capacity=1_000)
    gone, stays = ids.enter(), ids.enter()
    assert all(fill(ids, stays, 880, TODAY) + fill(ids, gone, 3, TODAY))
    before = ids.nbytes
    ids.leave(gone)
    assert fill(ids, stays, 50, TODAY, first=1_000) == [True] * 50  # more than there is room for
    assert before < ids.nbytes < 5 * before  # both tables are there
    assert ids.resident == 933
    assert not any(fill(ids, stays, 880, TODAY))  # looked for in both
    other = [ids.enter() for _ in range(3)]
    assert gone not in other  # some of its ids may still be there
    for tag in other:
        ids.leave(tag)
    for _ in range(20):
        ids.compact()  # also when nothing comes
    assert ids.nbytes < 3 * before
    assert ids.enter() == gone
    assert ids.resident == 930
    assert not any(fill(ids, stays, 880, TODAY) + fill(ids, stays, 50, TODAY, first=1_000))


def scattered(ids: SeenIds, tag: int, count: int, day: int, first: int = 1) -> bool:
    """Whether all these ids, whose hashes lie anywhere, count; else none of them does."""
    hashes = np.arange(first, first + count, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    tags, days = np.full(count, tag, np.uint32), np.full(count, day, np.int64)
    counts, _ = ids.admit(hashes, tags, days, range(count))
    assert counts.all() or not counts.any()
    return bool(counts.all()) and count > 0


@pytest.mark.parametrize("stay", [0, 1, 5, 40, 100])  # in a hundred
@pytest.mark.parametrize("batch", [20, 100, 600])
@pytest.mark.parametrize("gone", ["expired", "let go of"])
def test_there_is_room_however_few_stay_and_however_many_come(
    stay: int, batch: int, gone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dedup, "_MOVED", 2)
    ids, count = SeenIds(WINDOW, capacity=2_000), 1_700
    stays, other, kept = ids.enter(), ids.enter(), count * stay // 100
    scattered(ids, stays, kept, TODAY)
    scattered(ids, other, count - kept, TODAY - (WINDOW + 1 if gone == "expired" else 0))
    if gone == "expired":
        ids.expire(TODAY)
    else:
        ids.leave(other)
    for first in range(3_000, 9_000, batch):
        assert scattered(ids, stays, batch, TODAY, first)
        ids.compact()
    assert ids._table.used <= 0.9 * ids._table.size
    assert not scattered(ids, stays, kept, TODAY)
    assert not scattered(ids, stays, 6_000, TODAY, 3_000)


def test_more_ids_than_slots_are_refused() -> None:
    table = IdTable(64)
    with pytest.raises(OverflowError, match="0 and 65 more ids are too many for 64 slots"):
        table.place(np.arange(1, 66, dtype=np.uint64), np.zeros(65, np.uint32))


def test_an_older_table_is_gone_before_the_next_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dedup, "_MOVED", 1)
    ids = SeenIds(WINDOW, capacity=1_000)
    tag = ids.enter()
    for first in range(1, 5_000, 3):
        assert scattered(ids, tag, 3, TODAY, first)
    assert ids.resident == 5_001
    assert not scattered(ids, tag, 5_001, TODAY)


def test_ids_of_relationships_that_were_let_go_of_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dedup, "MANY_LEFT", 2)
    ids = SeenIds(WINDOW, capacity=1)
    tags = [ids.enter() for _ in range(6)]
    for tag in tags:
        fill(ids, tag, 1_000, TODAY)
    large = ids.nbytes
    for tag in tags[:3]:
        ids.leave(tag)
    ids.compact()  # as many have left as are there
    assert (ids.resident, ids.nbytes) == (6_000, large)
    ids.leave(tags[3])
    ids.compact()
    assert ids.resident == 2_000
    assert ids.nbytes < large
    assert counted(ids, (tags[5], 2**64 // 10_007, TODAY, 9_999)) == [False]


def test_of_an_id_in_two_chunks_the_later_one_counts() -> None:
    ids = SeenIds(WINDOW)
    one, other = ids.enter(), ids.enter()
    hashes, positions = np.array([7], np.uint64), np.array([3])
    days = [(one, TODAY - WINDOW - 1), (other, TODAY), (one, TODAY), (other, TODAY - WINDOW - 1)]
    ids.load([])
    ids.load([Stored(tag, day * CHUNKS_A_DAY, hashes, positions, None) for tag, day in days])
    assert ids.resident == 2
    assert counted(ids, (one, 7, TODAY + 1, 9)) == [False]
    assert counted(ids, (other, 7, TODAY + 1, 9)) == [True]  # as of the day that was loaded last


def fill(ids: SeenIds, tag: int, count: int, day: int, first: int = 1) -> list[bool]:
    """Ids spread over the whole table."""
    spread = 2**64 // 10_007
    return counted(ids, *((tag, (first + number) * spread, day, number) for number in range(count)))


def test_what_is_older_than_the_window_goes_when_room_is_needed() -> None:
    ids = SeenIds(WINDOW, capacity=1)
    tag = ids.enter()
    fill(ids, tag, 50, TODAY)
    fill(ids, tag, 7, TODAY + 1, first=100)
    ids.expire(TODAY + WINDOW + 1)
    assert ids.resident == 57  # nothing is done before there is need
    fill(ids, tag, 1, TODAY + WINDOW + 1, first=200)
    assert ids.resident == 8
    assert fill(ids, tag, 7, TODAY + WINDOW + 1, first=100) == [False] * 7
    assert fill(ids, tag, 50, TODAY + WINDOW + 1) == [True] * 50


def test_the_ids_of_what_was_let_go_make_room_and_its_tag_is_used_again() -> None:
    ids = SeenIds(WINDOW, capacity=1)
    gone, stays = ids.enter(), ids.enter()
    fill(ids, gone, 50, TODAY)
    fill(ids, stays, 7, TODAY)
    ids.leave(gone)
    assert ids.enter() not in (gone, stays)  # its ids are still there
    fill(ids, stays, 1, TODAY, first=100)
    assert ids.resident == 8
    again = ids.enter()
    assert again == gone
    assert fill(ids, again, 50, TODAY) == [True] * 50
    assert fill(ids, stays, 7, TODAY) == [False] * 7


@pytest.mark.parametrize("moved", [1, 4_096])
def test_when_all_tags_are_given_away_those_that_left_are_used_again(
    moved: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dedup, "_TAGS", 3)
    monkeypatch.setattr(dedup, "_MOVED", moved)
    ids = SeenIds(WINDOW)
    tags = [ids.enter() for _ in range(3)]
    for tag in tags:
        fill(ids, tag, 3, TODAY)
    ids.leave(tags[1])
    again = ids.enter()
    assert again == tags[1]
    assert fill(ids, again, 3, TODAY) == [True] * 3
    assert fill(ids, tags[0], 3, TODAY) == [False] * 3


def test_more_relationships_than_there_are_tags_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dedup, "_TAGS", 2)
    ids = SeenIds(7)
    assert [ids.enter(), ids.enter()] == [0, 1]
    with pytest.raises(MemoryError, match="RAPPORT_MEMORY_MB"):
        ids.enter()


# --- loading and redelivery


def test_a_record_that_is_delivered_again_counts_where_it_did_and_is_not_new() -> None:
    ids = SeenIds(WINDOW)
    tag = ids.enter()
    load(ids, tag, TODAY, (1, 4), (2, 5), (3, 9), again=(0, 5))
    assert admitted(ids, (tag, 2, TODAY, 5)) == [(True, False)]
    assert admitted(ids, (tag, 2, TODAY, 6), (tag, 3, TODAY, 9), (tag, 3, TODAY, 10)) == [
        (False, False),
        (True, False),
        (False, False),
    ]
    assert admitted(ids, (tag, 1, TODAY, 4)) == [(False, False)]  # it was committed: it does not come again
    assert counted(ids, (tag, 1, TODAY + WINDOW, 11), (tag, 1, TODAY + WINDOW + 1, 12)) == [False, True]


def test_a_duplicate_between_two_that_counted_is_one_when_it_is_delivered_again() -> None:
    ids = SeenIds(WINDOW)
    tag = ids.enter()
    load(ids, tag, TODAY, (1, 5), again=(0, 0))
    load(ids, tag, TODAY + 8, (1, 7), again=(0, 0))
    batch = [(tag, 1, TODAY, 5), (tag, 1, TODAY + 1, 6), (tag, 1, TODAY + 8, 7), (tag, 1, TODAY + 15, 8)]
    assert admitted(ids, *batch) == [(True, False), (False, False), (True, False), (False, False)]
    assert counted(ids, (tag, 1, TODAY + 16, 9)) == [True]


def test_what_was_read_from_another_log_is_no_redelivery() -> None:
    ids = SeenIds(WINDOW)
    tag = ids.enter()
    load(ids, tag, TODAY, (1, 5), again=None)
    assert admitted(ids, (tag, 1, TODAY, 5)) == [(False, False)]


def test_what_has_passed_is_not_delivered_again() -> None:
    ids = SeenIds(WINDOW)
    ids.passed({0: 9})
    tags = [ids.enter() for _ in range(3)]
    for partition, tag in enumerate(tags):
        load(ids, tag, TODAY, (1, 5), (2, 6), again=(partition, 0))
    ids.passed({0: 6, 1: 5})
    batch = [(tag, hash, TODAY, 4 + hash) for tag in tags for hash in (1, 2)]
    counts = [counts for counts, _ in admitted(ids, *batch)]
    assert counts == [False, True, True, True, False, False]  # the third partition is no longer ours


# --- against a plain model


class Model:
    """One partition: every event's verdict from a dictionary, and the chunks a store would hold."""

    def __init__(self) -> None:
        self.last: dict[tuple[int, int], int] = {}  # (relationship, hash) → day it counted last
        self.verdicts: list[tuple[int, int, int, bool]] = []  # by position: relationship, hash, day, whether it counts
        self.documents: dict[int, dict[int, dict[str, Any]]] = {}  # relationship → number → chunk
        self.chunks: dict[int, list[IdChunk]] = {}
        self.unsaved: dict[int, list[IdBatch]] = {}
        self.committed = 0

    def say(self, name: int, hash: int, day: int) -> None:
        before = self.last.get((name, hash))
        counts = before is None or day - before > WINDOW
        if counts:
            self.last[name, hash] = day
        self.verdicts.append((name, hash, day, counts))

    def store(self, names: Sequence[int]) -> None:
        chunk_all([Unsaved(self.chunks.setdefault(name, []), self.unsaved.pop(name), LOG) for name in names])
        for name in names:
            chunks = self.chunks[name]
            for chunk in chunks:
                if chunk.new:
                    self.documents.setdefault(name, {}).setdefault(chunk.number, {}).update(chunk.fields())
                    chunk.new = {}
            self.chunks[name] = chunks[-1:]


class Table:
    """The same with `SeenIds`, whose relationships come and go."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.ids = SeenIds(WINDOW, capacity=1)
        self.tags: dict[int, int] = {}
        self.next = model.committed

    def tag(self, name: int) -> int:
        if name not in self.tags:
            self.tags[name] = self.ids.enter()
            self.model.chunks[name] = []
            for number, document in sorted(self.model.documents.get(name, {}).items()):
                for part in [key for key in document if key.startswith("parts.")]:
                    hashes, positions = unpack(part.removeprefix("parts."), document[part])
                    self.ids.load([Stored(self.tags[name], number, hashes, positions, (0, self.next))])
                last = IdChunk(number, 1, document["count"], document["newest"])
                last.fence = LOG
                self.model.chunks[name] = [last]
        return self.tags[name]

    def read(self, size: int) -> None:
        """Read the next events, and compare."""
        events = self.model.verdicts[self.next : self.next + size]
        tags = [self.tag(name) for name, *_ in events]
        batch = [
            (tag, hash, day, self.next + at)
            for at, (tag, (_, hash, day, _)) in enumerate(zip(tags, events, strict=True))
        ]
        found = admitted(self.ids, *batch)
        stored = self.stored()
        for (_, _, _, position), (name, hash, day, counts), answer in zip(batch, events, found, strict=True):
            new = counts and position not in stored
            assert answer == (counts, new)
            if new:
                self.model.unsaved.setdefault(name, []).append(seen([hash], [position], [day * DAY]))
        self.next += len(events)

    def stored(self) -> set[int]:
        documents = [document for chunks in self.model.documents.values() for document in chunks.values()]
        parts = [(key.removeprefix("parts."), document[key]) for document in documents for key in document]
        return {int(position) for part, packed in parts if part.startswith("o") for position in unpack(part, packed)[1]}

    def commit(self) -> None:
        self.model.store(list(self.model.unsaved))
        self.model.committed = self.next
        self.ids.passed({0: self.next})

    def let_go(self, name: int) -> None:
        if name in self.tags:
            self.ids.leave(self.tags.pop(name))


HASHES = [*((0xFFFFFFFF << 32) + number for number in range(5)), 1, 1 << 32]  # five of one home
said = st.lists(st.tuples(st.integers(0, 2), st.sampled_from(HASHES), st.sampled_from((0, 0, 0, 1, 3, 7, 8, 20))))
steps = st.lists(
    st.tuples(st.sampled_from(("say", "say", "fill", "commit", "let go", "crash")), said, st.integers(1, 9)),
    min_size=1,
    max_size=12,
)


@settings(max_examples=examples(60), deadline=None)
@given(steps, st.sampled_from((1, 3, 4_096)))
def test_it_remembers_like_a_plain_dictionary(
    published: list[tuple[str, list[tuple[int, int, int]], int]], moved: int
) -> None:
    """Batches of several relationships, growth (at once, or bit by bit), expiry, relationships that come and go,
    crashes amid a store."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(dedup, "_MOVED", moved)
        _remembers(published)


def _remembers(published: list[tuple[str, list[tuple[int, int, int]], int]]) -> None:
    model, today = Model(), TODAY
    table = Table(model)
    for what, events, size in published:
        if what == "fill":  # enough for the table to be made anew
            spread = 2**64 // (len(model.verdicts) + 60)
            for number in range(1, 60):
                model.say(size % 3, number * spread, today)
        for name, hash, later in events:
            today += later
            model.say(name, hash, today)
        if what == "crash":
            model.store(list(model.unsaved)[: size % 3])
            model.unsaved.clear()
            table = Table(model)
        while table.next < len(model.verdicts):
            table.ids.expire(model.verdicts[table.next][2])
            table.read(size * 7)
        if what in ("commit", "let go"):
            table.commit()
        if what == "let go":
            table.let_go(size % 3)


def test_the_same_ids_in_many_relationships_are_spread_over_the_table() -> None:
    """An upstream may number the events of each account from 1 on: looking one up must not pass all the others."""
    ids = SeenIds(WINDOW)
    tags = [ids.enter() for _ in range(2_000)]
    for number, hash in enumerate(id_hash("upstream", str(number)) for number in range(4)):
        batch = [(tag, hash, TODAY, number * 2_000 + tag) for tag in tags]
        assert counted(ids, *batch) == [True] * len(batch)
        assert admitted(ids, *[(tag, hash, TODAY, position + 8_000) for tag, hash, _, position in batch]) == [
            (False, False)
        ] * len(batch)
    full = (ids._table.hashes != 0).all(axis=1).tolist()
    longest = max(len(run) for run in "".join("x" if one else " " for one in full).split(" "))
    assert longest < 6
