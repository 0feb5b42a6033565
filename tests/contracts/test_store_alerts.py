"""Alerts: compared and set on their version, listed, published, and their closed episodes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from shared.domain.alerts.alert import Alert, AlertEntry, AlertState
from shared.domain.errors import Conflict
from shared.domain.relationship.flags import Counter, Evidence, Severity
from shared.storage.store import AlertQuery, Store
from tests.contracts.stored import alert


async def put(store: Store, *alerts: Alert) -> None:
    for one in alerts:
        await store.put_alert(one, 0)


async def test_an_alert_comes_back_as_it_was(store: Store) -> None:
    one = alert(
        subject="a.b/c$d",
        numbers={"seen.now": 1 / 3, "": 2.0},
        evidence=Evidence(("s#1",), (Counter("f", "2026-01-05", 3.5, "ann"),)),
        timeline=(AlertEntry(1_000, "opened"),),
        advice=("call them",),
    )
    await store.put_alert(one, 0)
    assert await store.alert("acme", one.id) == one
    assert await store.alerts([one.id, "acme/none/x/"]) == {one.id: one}
    assert await store.alert("acme", "acme/none/x/") is None


async def test_of_two_that_open_an_alert_one_is_told_it_lost(store: Store) -> None:
    one, two = alert(reason="one"), alert(reason="two")
    answers = await asyncio.gather(store.put_alert(one, 0), store.put_alert(two, 0), return_exceptions=True)
    assert sorted(type(answer) for answer in answers if answer is not None) == [Conflict]
    assert await store.alert("acme", one.id) == (one if answers[0] is None else two)


async def test_a_change_needs_the_version_it_was_made_from(store: Store) -> None:
    one = alert()
    await store.put_alert(one, 0)
    seen = replace(one, state=AlertState.ACKNOWLEDGED, acknowledged_by="bob", acknowledged_at=5, version=2)
    await store.put_alert(seen, 1)
    with pytest.raises(Conflict, match=r"alert acme/r1/silence/ is not at version 1"):
        await store.put_alert(replace(one, state=AlertState.RESOLVED, version=2), 1)
    with pytest.raises(Conflict):
        await store.put_alert(one, 0)
    with pytest.raises(Conflict):
        await store.put_alert(alert("nobody"), 3)
    assert await store.alert("acme", one.id) == seen


async def test_what_goes_back_to_its_default_is_forgotten(store: Store) -> None:
    one = alert(acknowledged_by="bob", acknowledged_at=5, numbers={"a": 1.0}, timeline=(AlertEntry(1, "opened"),))
    await store.put_alert(one, 0)
    again = replace(one, acknowledged_by="", acknowledged_at=0, numbers={}, timeline=(), episode=2, version=2)
    await store.put_alert(again, 1)
    assert await store.alert("acme", one.id) == again


async def test_of_changes_made_at_once_one_wins(store: Store) -> None:
    one = alert()
    await store.put_alert(one, 0)
    changes = [replace(one, owner=f"owner {n}", version=2) for n in range(5)]
    answers = await asyncio.gather(*(store.put_alert(change, 1) for change in changes), return_exceptions=True)
    assert [type(answer) for answer in answers].count(Conflict) == 4
    assert await store.alert("acme", one.id) == changes[answers.index(None)]


async def listed(store: Store, tenant: str = "acme", **query: Any) -> list[str]:
    found = await store.list_alerts(tenant, AlertQuery(**query))
    return [one.reason for one in found.items]


@pytest.fixture
async def inbox(store: Store) -> Store:
    day = 1_767_225_600_000
    await put(
        store,
        alert("r1", "silence", reason="a", opened_at=day + 10, owner="ann"),
        alert(
            "r1", "usage_drop", reason="b", opened_at=day + 30, severity=Severity.CRITICAL, state=AlertState.RESOLVED
        ),
        alert(
            "2024-01-01 x",
            "silence",
            reason="c",
            opened_at=day + 20,
            owner="2024-01-01 x",
            state=AlertState.ACKNOWLEDGED,
        ),
        alert("r2", "silence", reason="d", opened_at=day + 20, owner=""),
        alert("r1", "silence", reason="foreign", tenant="other", opened_at=day + 99, severity=Severity.CRITICAL),
    )
    return store


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["b", "d", "c", "a"]),
        ({"states": ("open",)}, ["d", "a"]),
        ({"states": ("open", "acknowledged")}, ["d", "c", "a"]),
        ({"states": ()}, []),
        ({"severity": "critical"}, ["b"]),
        ({"rule": "silence"}, ["d", "c", "a"]),
        ({"relationship": "r1"}, ["b", "a"]),
        ({"relationship": "2024-01-01 x"}, ["c"]),
        ({"owner": "2024-01-01 x"}, ["c"]),
        ({"owner": ""}, ["d"]),
        ({"relationship": "r1", "rule": "silence", "states": ("open",)}, ["a"]),
    ],
)
async def test_lists_are_newest_first_and_filtered(inbox: Store, query: dict[str, Any], expected: list[str]) -> None:
    assert await listed(inbox, **query) == expected
    for limit in (1, 2):
        found: list[str] = []
        cursor: str | None = None
        while True:
            page = await inbox.list_alerts("acme", AlertQuery(cursor=cursor, limit=limit, **query))
            found += [one.reason for one in page.items]
            cursor = page.next
            if cursor is None:
                break
        assert found == expected


async def test_nothing_of_another_tenant(inbox: Store) -> None:
    assert await listed(inbox, tenant="other") == ["foreign"]
    assert await listed(inbox, tenant="nobody") == []
    assert await inbox.alert("acme", "other/r1/silence/") is None
    assert await inbox.alert("other", "acme/r1/silence/") is None


async def test_a_hostile_cursor_is_refused(inbox: Store) -> None:
    with pytest.raises(ValueError, match="cursor"):
        await inbox.list_alerts("acme", AlertQuery(cursor="e30"))
    with pytest.raises(ValueError, match="limit"):
        await inbox.list_alerts("acme", AlertQuery(limit=0))


async def test_closed_episodes_are_kept_beside_the_alert(store: Store) -> None:
    one = alert("r1", subject="x")
    near = alert("r1", subject="x/1")
    await put(store, one, near)
    for episode in (10, 2, 1, 2):
        await store.archive_episode(
            replace(one, episode=episode, reason=f"episode {episode}", state=AlertState.RESOLVED)
        )
    await store.archive_episode(replace(one, episode=2, reason="again"))
    await store.archive_episode(near)
    found = await store.episodes("acme", one.id)
    assert [(closed.episode, closed.reason, closed.id) for closed in found] == [
        (n, f"episode {n}", one.id) for n in (1, 2, 10)
    ]
    assert await store.episodes("other", one.id) == []
    assert len((await store.list_alerts("acme", AlertQuery())).items) == 2


async def test_what_lags_behind_is_published_by_the_sweep(store: Store) -> None:
    late, early = alert("late", updated_at=20), alert("early", updated_at=10, tenant="other")
    done = alert("done", published_version=1)
    await put(store, late, early, done)
    assert [one.id for one in await store.unpublished(10)] == [early.id, late.id]
    assert [one.id for one in await store.unpublished(1)] == [early.id]
    await store.mark_published(early.id, 1)
    await store.mark_published("acme/none/x/", 1)
    assert [one.id for one in await store.unpublished(10)] == [late.id]
    assert (await store.alerts([early.id]))[early.id].published_version == 1


async def test_publishing_an_older_version_leaves_it_lagging(store: Store) -> None:
    one = alert(version=1)
    await store.put_alert(one, 0)
    await store.put_alert(replace(one, version=3), 1)
    await store.mark_published(one.id, 2)
    assert [found.published_version for found in await store.unpublished(10)] == [2]
    await store.mark_published(one.id, 1)
    assert [found.published_version for found in await store.unpublished(10)] == [2]
    await store.mark_published(one.id, 3)
    await store.mark_published(one.id, 2)
    assert await store.unpublished(10) == []
    assert (await store.alerts([one.id]))[one.id].published_version == 3


async def test_open_alerts_are_counted_by_severity(inbox: Store) -> None:
    assert await inbox.open_counts() == {"info": 0, "warning": 3, "critical": 1}
