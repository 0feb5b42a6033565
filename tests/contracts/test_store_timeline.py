"""The timeline in pages, newest first."""

from __future__ import annotations

import pytest

from shared.storage.store import Store
from tests.contracts.stored import entry


async def test_pages_are_newest_first_and_meet_each_entry_once(store: Store) -> None:
    times = [5, 1, 5, 9, 5, -3, 7]
    await store.add_touchpoints([entry(f"s#{n}", time=1_767_225_600_000 + time) for n, time in enumerate(times)])
    await store.add_touchpoints(
        [entry("s#0", relationship="r2", time=1_767_225_600_008), entry("s#0", tenant="other", time=1_767_225_600_008)]
    )
    expected = ["s#3", "s#6", "s#4", "s#2", "s#0", "s#1", "s#5"]
    for limit in (1, 2, 3, 7, 100):
        found: list[str] = []
        cursor: str | None = None
        while True:
            page = await store.timeline("acme", "r1", cursor, limit)
            found += [touch.event for touch in page.items]
            cursor = page.next
            if cursor is None:
                break
        assert found == expected


async def test_what_is_added_while_paging_moves_nothing(store: Store) -> None:
    await store.add_touchpoints([entry(f"s#{n}", time=n) for n in range(4)])
    first = await store.timeline("acme", "r1", None, 2)
    await store.add_touchpoints([entry("s#new", time=10)])
    second = await store.timeline("acme", "r1", first.next, 2)
    assert [touch.event for touch in first.items + second.items] == ["s#3", "s#2", "s#1", "s#0"]


async def test_nothing_of_others(store: Store) -> None:
    await store.add_touchpoints([entry("s#1", tenant="other"), entry("s#1", relationship="r1/sub")])
    assert (await store.timeline("acme", "r1", None, 10)).items == ()
    assert len((await store.timeline("acme", "r1/sub", None, 10)).items) == 1


async def test_a_foreign_cursor_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="cursor"):
        await store.timeline("acme", "r1", "bm8", 10)
    with pytest.raises(ValueError, match="limit"):
        await store.timeline("acme", "r1", None, 0)
