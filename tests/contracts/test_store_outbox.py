"""The outbox and the keys."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from shared.domain.errors import Conflict
from shared.storage.store import ApiKey, Store
from tests.contracts.stored import delivery


async def test_a_delivery_is_made_once(store: Store) -> None:
    await store.add_deliveries([delivery("a", body='{"n": 1}')])
    await store.add_deliveries([delivery("a", body="other"), delivery("b", next_attempt_at=50)])
    assert await store.due_deliveries(200, 10) == [delivery("b", next_attempt_at=50), delivery("a", body='{"n": 1}')]
    assert [one.id for one in await store.due_deliveries(199, 10)] == ["b"]
    assert [one.id for one in await store.due_deliveries(200, 1)] == ["b"]
    assert await store.due_deliveries(49, 10) == []


async def test_one_attempt_is_recorded_once(store: Store) -> None:
    one = delivery("a")
    await store.add_deliveries([one])
    tried = replace(one, attempts=1, last_error="HTTP 500", next_attempt_at=300)
    answers = await asyncio.gather(*(store.update_delivery(tried, 0) for _ in range(3)), return_exceptions=True)
    assert [type(answer) for answer in answers].count(Conflict) == 2
    with pytest.raises(Conflict, match="delivery none has not had 0 attempts"):
        await store.update_delivery(delivery("none"), 0)
    await store.update_delivery(replace(tried, attempts=2, state="delivered", last_error="", delivered_at=310), 1)
    assert await store.due_deliveries(1_000, 10) == []
    assert await store.deliveries("acme", one.alert) == [
        delivery("a", attempts=2, state="delivered", delivered_at=310, next_attempt_at=300)
    ]


async def test_deliveries_of_an_alert_belong_to_its_tenant(store: Store) -> None:
    await store.add_deliveries(
        [delivery("b", created_at=2), delivery("a", created_at=3), delivery("c", alert="acme/r2//")]
    )
    await store.add_deliveries([delivery("d", tenant="other")])
    assert [one.id for one in await store.deliveries("acme", "acme/r1/silence/")] == ["b", "a"]
    assert [one.id for one in await store.deliveries("other", "acme/r1/silence/")] == ["d"]


async def test_the_age_of_the_outbox(store: Store) -> None:
    assert await store.outbox_age(500) == (0, 0)
    await store.add_deliveries([delivery("a", created_at=100), delivery("b", created_at=50, state="failed")])
    await store.add_deliveries([delivery("c", created_at=300, tenant="other")])
    assert await store.outbox_age(500) == (2, 400)
    assert await store.outbox_age(50) == (2, 0)


def api_key(id: str, tenant: str = "acme", created_at: int = 1) -> ApiKey:
    return ApiKey(id=id, tenant=tenant, kind="api", hash="ab" * 32, name="demo", created_at=created_at)


async def test_keys_are_found_by_id_and_listed_by_tenant(store: Store) -> None:
    await store.add_key(api_key("b", created_at=1))
    await store.add_key(api_key("a", created_at=2))
    await store.add_key(api_key("c", tenant="other"))
    assert await store.key("a") == api_key("a", created_at=2)
    assert await store.key("none") is None
    assert [key.id for key in await store.list_keys("acme")] == ["b", "a"]
    assert [key.id for key in await store.list_keys("other")] == ["c"]


async def test_an_id_is_given_once(store: Store) -> None:
    await store.add_key(api_key("a"))
    with pytest.raises(Conflict, match="key a exists already"):
        await store.add_key(api_key("a", tenant="other"))
    assert await store.key("a") == api_key("a")


async def test_a_key_is_revoked_by_its_tenant(store: Store) -> None:
    await store.add_key(api_key("a"))
    assert await store.revoke_key("other", "a", 9) is False
    assert await store.revoke_key("acme", "none", 9) is False
    assert await store.revoke_key("acme", "a", 10) is True
    assert await store.revoke_key("acme", "a", 11) is True
    assert await store.key("a") == replace(api_key("a"), revoked_at=10)
