from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.dedup import CHUNK_IDS, CHUNKS_A_DAY, SeenIds, id_hash
from shared.domain.events import DAY, HOUR
from shared.domain.fence import Fence
from tests.domain.builders import chunk_again

WEEK = 7 * DAY
START = 20_605 * DAY  # 2026-06-01


def place(offset: int, incarnation: str = "one") -> Fence:
    return Fence(incarnation, 0, offset)


def again(ids: SeenIds) -> SeenIds:
    """The same from its stored chunks."""
    loaded = SeenIds()
    loaded.load(chunk_again(chunk) for chunk in reversed(ids._chunks))
    return loaded


def test_a_hash_is_of_64_signed_bits() -> None:
    assert id_hash("test#e1") != id_hash("test#e2")
    assert all(-(2**63) <= id_hash(f"test#{number}") < 2**63 for number in range(100))


def test_a_duplicate_is_the_same_id_at_a_smaller_offset_within_the_window() -> None:
    ids = SeenIds()
    assert not ids.is_duplicate(1, place(5), START, WEEK)
    ids.add(1, place(5), START)
    assert not ids.is_duplicate(2, place(6), START, WEEK)
    assert not ids.is_duplicate(1, place(5), START, WEEK)  # a redelivery of the same record
    assert ids.is_duplicate(1, place(6), START, WEEK)
    assert ids.is_duplicate(1, place(6), START + WEEK, WEEK)
    assert not ids.is_duplicate(1, place(6), START + WEEK + 1, WEEK)
    assert ids.is_duplicate(1, place(0, "two"), START, WEEK)  # a log that was made anew


def test_a_redelivery_changes_nothing() -> None:
    ids = SeenIds()
    ids.add(1, place(5), START)
    ids.add(1, place(9), START + WEEK + 1)  # counted again after the window
    before = [chunk.fields() for chunk in ids._chunks]
    assert len(before) == 2
    for redelivered in ((5, START), (9, START + WEEK + 1)):
        ids.add(1, place(redelivered[0]), redelivered[1])
    assert [chunk.fields() for chunk in ids._chunks] == before
    assert ids.is_duplicate(1, place(10), START + WEEK + 2, WEEK)


def test_a_chunk_is_sealed_when_full_and_at_midnight() -> None:
    ids = SeenIds()
    for number in range(CHUNK_IDS + 1):
        ids.add(number, place(number), START)
    ids.add(-1, place(5_000), START + DAY)
    ids.add(-2, place(5_001), START)  # received earlier, read later: the newest chunk takes it
    ids.add(-3, place(0, "two"), START + DAY)  # offsets of two logs do not compare
    first = 20_605 * CHUNKS_A_DAY
    assert [(chunk.number, len(chunk.entries)) for chunk in ids.changed()] == [
        (first, CHUNK_IDS),
        (first + 1, 1),
        (first + CHUNKS_A_DAY, 2),
        (first + CHUNKS_A_DAY + 1, 1),
    ]
    assert ids.changed()[2].fields() == {
        "number": first + CHUNKS_A_DAY,
        "hashes": [-1, -2],
        "offsets": [5_000, 5_001],
        "received": [START + DAY, START],
        "newest": START + DAY,
    }
    assert ids.changed()[2].fence == place(5_001)


def test_what_is_older_than_the_window_is_forgotten_but_not_before_it_is_stored() -> None:
    ids = SeenIds()
    for day in range(4):
        ids.add(day, place(day), START + day * DAY)
        ids.add(99, place(100 + day), START + day * DAY)
    ids.expire(START + 2 * DAY)
    assert len(ids._chunks) == 4
    for chunk in ids.changed():
        chunk.changed = False
    ids.expire(START + 2 * DAY)
    assert [chunk.number // CHUNKS_A_DAY for chunk in ids._chunks] == [20_607, 20_608]
    assert not ids.is_duplicate(1, place(200), START + 3 * DAY, WEEK)
    assert ids.is_duplicate(2, place(200), START + 3 * DAY, WEEK)
    assert ids.is_duplicate(99, place(200), START + 3 * DAY, WEEK)
    ids.expire(START + 9 * DAY)  # the last chunk is not sealed: it stays
    assert len(ids._chunks) == 1


Seen = tuple[int, int, str]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 60), st.sampled_from(("read", "read", "store", "load")))),
)
def test_it_remembers_like_a_plain_list(steps: list[Seen]) -> None:
    """Ids, hours that pass, storing with expiry and loading again: the same answers as from all that was ever read."""
    ids, read, now = SeenIds(), [], START
    for offset, (key, hours, what) in enumerate(steps):
        now += hours * HOUR
        if what == "store":
            for chunk in ids.changed():
                chunk.changed = False
            ids.expire(now - WEEK - DAY)
        elif what == "load":
            ids = again(ids)
        times = [at for known, at in read if known == key]
        wanted = bool(times) and now - times[-1] <= WEEK
        assert ids.is_duplicate(key, place(offset), now, WEEK) == wanted
        if not wanted:
            ids.add(key, place(offset), now)
            read.append((key, now))
