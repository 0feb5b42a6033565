"""Lists of relationships: every filter, every order, and a walk by cursor that loses and repeats nothing."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from shared.domain.relationship.state import Directory
from shared.storage.store import RelationshipQuery, Store
from tests.contracts.stored import head_write, listed, month_write, names

SORTS = ("name", "ri", "rv", "last_seen", "next_due_at", "first_seen")


async def asked(store: Store, tenant: str = "acme", **query: Any) -> list[str]:
    return names((await store.list_relationships(tenant, RelationshipQuery(**query))).items)


async def walked(store: Store, limit: int, **query: Any) -> list[str]:
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = await store.list_relationships("acme", RelationshipQuery(cursor=cursor, limit=limit, **query))
        assert len(page.items) == limit or page.next is None
        found += names(page.items)
        if page.next is None:
            return found
        cursor = page.next


@pytest.fixture
async def portfolio(store: Store) -> Store:
    """Names, scores and times with ties, with nothing at all, and with text that looks like dates and operators."""
    rows: list[dict[str, Any]] = [
        {"name": "2024-01-01 Ventures", "ri": 0.0, "last_seen": 100, "kind": "partner"},
        {"name": "2024-01-01 Ventures", "ri": 50.0, "last_seen": 100, "segment": "2024-01-01 cohort", "owner": "ann"},
        {"name": "acme", "ri": 50.0, "last_seen": 200, "segment": "smb", "stage": "pilot", "band": "red"},
        {"name": "Acme", "ri": 100 / 3, "next_due_at": 7, "owner": "ann", "band": "red"},
        {"name": "Zürich (ÉCOLE) 100% $x [a.b]", "ri": 33.333333333333329, "next_due_at": 7, "band": "green"},
        {"name": "", "first_seen": 5, "segment": "smb"},
        {"name": "beta", "first_seen": 5, "last_seen": 300, "kind": "supplier", "stage": "$gt"},
        {"name": "Beta\nGamma", "ri": 99.9, "first_seen": 6, "owner": "2024-01-01"},
    ]
    for row in rows:  # real times, beyond 32 bits
        row |= {
            name: row[name] + 1_767_225_600_000 for name in ("last_seen", "first_seen", "next_due_at") if name in row
        }
    await store.write([listed(f"r{n}", **row) for n, row in enumerate(rows)])
    await store.write([head_write("2025-06-01/bare"), head_write("bare")])
    await store.write([listed("r0", tenant="other", name="acme", ri=50.0, owner="ann", segment="smb", last_seen=200)])
    return store


async def test_orders_with_those_without_a_value_last(portfolio: Store) -> None:
    none = ["2025-06-01/bare", "bare"]
    assert await asked(portfolio, sort="ri") == ["r0", "r4", "r3", "r1", "r2", "r7", *none, "r5", "r6"]
    assert await asked(portfolio, sort="-ri") == ["r7", "r2", "r1", "r3", "r4", "r0", *none, "r5", "r6"]
    assert await asked(portfolio, sort="-rv") == ["r0", "r4", "r3", "r2", "r1", "r7", *none, "r5", "r6"]
    assert await asked(portfolio, sort="name") == ["r0", "r1", "r2", "r3", "r6", "r7", "r4", *none, "r5"]
    assert await asked(portfolio, sort="-name") == ["r4", "r7", "r6", "r3", "r2", "r1", "r0", *none, "r5"]
    assert await asked(portfolio, sort="last_seen") == ["r0", "r1", "r2", "r6", *none, "r3", "r4", "r5", "r7"]
    assert await asked(portfolio, sort="-first_seen") == ["r7", "r6", "r5", *none, "r0", "r1", "r2", "r3", "r4"]
    assert await asked(portfolio, sort="next_due_at") == ["r3", "r4", *none, "r0", "r1", "r2", "r5", "r6", "r7"]


@pytest.mark.parametrize("sort", [sign + name for name in SORTS for sign in ("", "-")])
@pytest.mark.parametrize("limit", [1, 3])
async def test_a_walk_by_cursor_meets_each_once(portfolio: Store, sort: str, limit: int) -> None:
    whole = await asked(portfolio, sort=sort)
    assert len(set(whole)) == 10
    assert await walked(portfolio, limit, sort=sort) == whole


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"kind": "partner"}, {"r0"}),
        ({"kind": "customer"}, {"r1", "r2", "r3", "r4", "r5", "r7", "bare", "2025-06-01/bare"}),
        ({"segment": "smb"}, {"r2", "r5"}),
        ({"segment": "2024-01-01 cohort"}, {"r1"}),
        ({"segment": ""}, {"r0", "r3", "r4", "r6", "r7", "bare", "2025-06-01/bare"}),
        ({"owner": "ann"}, {"r1", "r3"}),
        ({"owner": "2024-01-01"}, {"r7"}),
        ({"owner": "nobody"}, set()),
        ({"stage": "pilot"}, {"r2"}),
        ({"stage": "$gt"}, {"r6"}),
        ({"band": "red"}, {"r2", "r3"}),
        ({"band": "unknown"}, {"r0", "r1", "r5", "r6", "r7", "bare", "2025-06-01/bare"}),
        ({"owner": "ann", "band": "red"}, {"r3"}),
        ({"text": "ACME"}, {"r2", "r3"}),
        ({"text": "école"}, {"r4"}),
        ({"text": "(É"}, {"r4"}),
        ({"text": "100%"}, {"r4"}),
        ({"text": "[a.b]"}, {"r4"}),
        ({"text": "2024-01-01"}, {"r0", "r1"}),
        ({"text": ".*"}, set()),
        ({"text": "bare"}, {"bare", "2025-06-01/bare"}),
        ({"text": "2025-06-01/B"}, {"2025-06-01/bare"}),
        ({"text": "R5"}, {"r5"}),
        ({"text": "  \x00 "}, {f"r{n}" for n in range(8)} | {"bare", "2025-06-01/bare"}),
        ({"text": "acme", "owner": "ann", "sort": "-name"}, {"r3"}),
    ],
)
async def test_filters(portfolio: Store, query: dict[str, Any], expected: set[str]) -> None:
    assert set(await asked(portfolio, **query)) == expected
    assert set(await walked(portfolio, 2, **query)) == expected


async def test_another_tenant_sees_only_its_own(portfolio: Store) -> None:
    assert await asked(portfolio, tenant="other") == ["r0"]
    assert await asked(portfolio, tenant="nobody") == []
    page = await portfolio.list_relationships("acme", RelationshipQuery(sort="-last_seen", limit=1))
    assert await asked(portfolio, tenant="other", sort="-last_seen", cursor=page.next) == ["r0"]
    found = await portfolio.relationship("other", "r0")
    assert found is not None
    assert found.tenant == "other"
    assert await portfolio.relationship("other", "r1") is None
    assert (await portfolio.relationship("acme", "2025-06-01/bare")) is not None


async def test_a_changed_directory_is_found_anew(store: Store) -> None:
    await store.write([listed("r1", name="Old", owner="ann", segment="smb")])
    await store.write([head_write("r1", base=1, **{"directory.name": "New", "directory.owner": "bob"})])
    assert await asked(store, owner="ann") == []
    assert await asked(store, owner="bob", segment="smb", text="new") == ["r1"]
    assert await asked(store, text="old") == []
    await store.write([head_write("r1", base=2, directory=Directory(name="Newer"))])
    assert await asked(store, segment="smb") == []
    assert await asked(store, segment="", owner="", kind="customer", text="newer") == ["r1"]


HOSTILE = [
    "",
    "!!",
    "é",
    "AAAA",
    *(
        base64.urlsafe_b64encode(raw).decode()
        for raw in (
            b"\xff\xfe",
            b"null",
            b"{}",
            b'["ri"]',
            b'["name","a","=acme/r1"]',
            b'["ri",{"$gt":0},"=acme/r1"]',
            b'["ri","text","=acme/r1"]',
            b'["ri",1,{"$ne":1}]',
            b'["ri",1,"acme/r1"]',
            b'["ri",100000000000000000000,"=acme/r1"]',
        )
    ),
]


@pytest.mark.parametrize("cursor", HOSTILE)
async def test_a_cursor_that_is_not_ours_is_refused_in_words(store: Store, cursor: str) -> None:
    with pytest.raises(ValueError, match="cursor: take it unchanged from `next`"):
        await store.list_relationships("acme", RelationshipQuery(sort="ri", cursor=cursor))


async def test_a_cursor_belongs_to_its_order(portfolio: Store) -> None:
    page = await portfolio.list_relationships("acme", RelationshipQuery(sort="ri", limit=2))
    with pytest.raises(ValueError, match="cursor"):
        await portfolio.list_relationships("acme", RelationshipQuery(sort="-ri", cursor=page.next))


async def test_unknown_orders_and_sizes_are_refused_in_words(store: Store) -> None:
    with pytest.raises(ValueError, match="sort: 'colour' is not known; choose one of name, ri"):
        await store.list_relationships("acme", RelationshipQuery(sort="colour"))
    for limit in (0, -1, 1001):
        with pytest.raises(ValueError, match=f"limit: {limit} is not between 1 and 1000"):
            await store.list_relationships("acme", RelationshipQuery(limit=limit))


async def test_months_in_a_range(store: Store) -> None:
    await store.write([month_write("2026-01-01", m) for m in ("2025-10", "2025-11", "2025-12", "2026-01")])
    await store.write([month_write("2026-01-01", "2025-11", tenant="other"), month_write("r2", "2025-11")])
    found = await store.month_range("acme", "2026-01-01", "2025-11", "2025-12")
    assert [month.id for month in found] == ["acme/2026-01-01/2025-11", "acme/2026-01-01/2025-12"]
    assert await store.month_range("acme", "2026-01-01", "2025-12", "2025-11") == []
