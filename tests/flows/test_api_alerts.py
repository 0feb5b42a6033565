"""Alerts over HTTP: lists, detail, and what people do to them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from msgspec.structs import replace

from shared.domain.alerts import lifecycle
from shared.domain.alerts.alert import Alert, AlertState
from shared.domain.alerts.feed import FeedItem
from shared.domain.errors import Conflict, Unavailable
from shared.domain.relationship.flags import Severity
from shared.stream.topics import FEED
from tests.flows.api_world import ACME, GLOBEX, NOW, World, a_world, an_alert, put_alert, raise_alert


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as found:
        yield found


def at(alert: Alert, action: str = "") -> str:
    path = f"/v1/alerts/{quote(alert.id, safe='')}"
    return f"{path}/{action}" if action else path


async def ids(world: World, **params: Any) -> list[str]:
    answer = await world.acme.get("/v1/alerts", params=params)
    assert answer.status_code == 200, answer.text
    return [item["id"].split("/")[1] for item in answer.json()["items"]]


async def test_filters_newest_first(world: World) -> None:
    resolved = {"state": AlertState.RESOLVED, "resolved_at": NOW, "resolved_by": "rapport"}
    await put_alert(world, an_alert(ACME, "a", opened_at=NOW - 2, owner="bob"))
    await put_alert(world, an_alert(ACME, "b", opened_at=NOW, rule="usage_drop", severity=Severity.CRITICAL))
    await put_alert(world, an_alert(ACME, "c", opened_at=NOW - 1, state=AlertState.ACKNOWLEDGED))
    await put_alert(world, an_alert(ACME, "d", opened_at=NOW - 3, **resolved))
    assert await ids(world) == ["b", "c", "a", "d"]
    assert await ids(world, state=["open", "acknowledged"]) == ["b", "c", "a"]
    assert await ids(world, state="resolved") == ["d"]
    assert await ids(world, severity="critical") == ["b"]
    assert await ids(world, rule="usage_drop") == ["b"]
    assert await ids(world, relationship="c") == ["c"]
    assert await ids(world, owner="bob") == ["a"]


async def test_a_walk_through_the_pages_meets_each_alert_once(world: World) -> None:
    for number in range(7):
        await put_alert(world, an_alert(ACME, f"r{number}", opened_at=NOW - number // 2))
    seen, params = [], {"limit": 2}
    while True:
        body = (await world.acme.get("/v1/alerts", params=params)).json()
        seen += [item["relationship"] for item in body["items"]]
        if body["next"] is None:
            break
        params = {"limit": 2, "cursor": body["next"]}
    assert sorted(seen) == [f"r{number}" for number in range(7)]


async def test_the_detail_shows_evidence_timeline_and_closed_episodes(world: World) -> None:
    closed = an_alert(ACME, "a", state=AlertState.RESOLVED, resolved_at=NOW, resolved_by="ann")
    current = await put_alert(world, an_alert(ACME, "a"))
    await world.store.archive_episode(closed)
    answer = await world.acme.get(at(current))
    body = answer.json()
    assert body["evidence"] == {
        "events": ["crm#1"],
        "counters": [{"feature": "export", "day": "2025-12-31", "count": 3.0, "share": 1.0}],
    }
    assert body["timeline"] == [
        {"at": "2026-01-01T00:00:00.000Z", "what": "opened", "who": "rapport", "why": None, "text": "silent"}
    ]
    assert [(one["episode"], one["state"]) for one in body["episodes"]] == [(1, "resolved")]
    assert answer.headers["ETag"] == '"1"'
    known = await world.acme.get(at(current), headers={"If-None-Match": 'W/"1"'})
    assert (known.status_code, known.content) == (304, b"")


@pytest.mark.parametrize("relationship", ["acct-42", "ac/me", "100%2F?#ü ", "a%25/b"])
@pytest.mark.parametrize("subject", ["", "export/csv"])
async def test_an_alert_is_found_by_its_id_encoded_or_pasted(world: World, relationship: str, subject: str) -> None:
    alert = await put_alert(world, an_alert(ACME, relationship, subject=subject))
    encoded = await world.acme.get(at(alert))
    pasted = await world.acme.get("/v1/alerts/" + quote(alert.id, safe="/%"))
    assert encoded.json()["id"] == pasted.json()["id"] == alert.id
    taken = await world.acme.post(f"/v1/alerts/{quote(alert.id, safe='/%')}/acknowledge")
    assert taken.json()["state"] == "acknowledged"


async def test_an_empty_subject_may_lose_its_slash_on_the_way(world: World) -> None:
    alert = await put_alert(world, an_alert(ACME, "a"))
    assert alert.id.endswith("/silence/")
    assert (await world.acme.get("/v1/alerts/acme/a/silence")).json()["id"] == alert.id
    assert (await world.acme.post("/v1/alerts/acme/a/silence/resolve")).json()["state"] == "resolved"


async def test_acknowledge_comment_resolve_as_one_story(world: World) -> None:
    alert = await put_alert(world, an_alert(ACME, "a"))
    world.now = NOW + 1000
    taken = await world.acme.post(at(alert, "acknowledge"), json={"text": "calling them", "who": "ann"})
    assert taken.json()["state"] == "acknowledged"
    assert taken.json()["acknowledged_by"] == "ann"
    assert taken.json()["acknowledged_at"] == "2026-01-01T00:00:01.000Z"
    assert taken.headers["ETag"] == '"2"'
    again = await world.acme.post(at(alert, "acknowledge"), json={"who": "bob"})
    assert (again.json()["acknowledged_by"], again.headers["ETag"]) == ("ann", '"2"')
    await world.acme.post(at(alert, "comment"), json={"text": "they call back"})
    done = await world.acme.post(at(alert, "resolve"))
    told = [(line["what"], line["who"], line["text"]) for line in done.json()["timeline"]]
    assert told[1:] == [
        ("acknowledged", "ann", "calling them"),
        ("commented", "acme robot", "they call back"),
        ("resolved", "acme robot", None),
    ]
    refused = await world.acme.post(at(alert, "acknowledge"))
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:rapport:problem:refused")


async def test_every_change_is_published_on_the_feed(world: World) -> None:
    alert = await put_alert(world, an_alert(ACME, "a"))
    for action in ("acknowledge", "resolve"):
        await world.acme.post(at(alert, action))
    items = [msgspec.json.decode(record.value, type=FeedItem) for record in world.log.records(FEED)]
    assert [(item.id, item.version) for item in items] == [(alert.id, 2), (alert.id, 3)]
    stored = await world.store.alert(ACME, alert.id)
    assert stored is not None
    assert stored.published_version == 3


async def test_a_silent_broker_does_not_undo_what_is_stored(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(*arguments: object) -> int:
        raise Unavailable("no broker")

    alert = await put_alert(world, an_alert(ACME, "a"))
    monkeypatch.setattr(world.deps.publisher, "publish", silent)
    assert (await world.acme.post(at(alert, "acknowledge"))).json()["state"] == "acknowledged"
    assert [one.version for one in await world.store.unpublished(10)] == [2]


async def test_if_match_refuses_to_change_what_has_changed(world: World) -> None:
    alert = await put_alert(world, an_alert(ACME, "a"))
    seen = {"If-Match": '"1"'}
    assert (await world.acme.post(at(alert, "acknowledge"), headers=seen)).status_code == 200
    stale = await world.acme.post(at(alert, "resolve"), headers=seen)
    assert (stale.status_code, stale.headers["ETag"]) == (412, '"2"')
    assert stale.json()["type"] == "urn:rapport:problem:changed"
    assert (await world.acme.post(at(alert, "resolve"), headers={"If-Match": '"7", "2"'})).status_code == 200
    assert (
        await world.acme.post(at(alert, "comment"), json={"text": "x"}, headers={"If-Match": "*"})
    ).status_code == 200


async def test_a_change_that_lost_a_race_is_decided_anew(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    alert = await put_alert(world, an_alert(ACME, "a"))
    put = world.store.put_alert

    async def overtaken(changed: Alert, expected: int) -> None:
        monkeypatch.setattr(world.store, "put_alert", put)
        await put(lifecycle.comment(alert, "cy", NOW, "first"), 1)
        await put(changed, expected)

    monkeypatch.setattr(world.store, "put_alert", overtaken)
    body = (await world.acme.post(at(alert, "acknowledge"))).json()
    assert [line["what"] for line in body["timeline"]] == ["opened", "commented", "acknowledged"]
    assert body["version"] == 3


async def test_with_if_match_a_lost_race_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    alert = await put_alert(world, an_alert(ACME, "a"))
    put = world.store.put_alert

    async def overtaken(changed: Alert, expected: int) -> None:
        monkeypatch.setattr(world.store, "put_alert", put)
        await put(lifecycle.comment(alert, "cy", NOW, "first"), 1)
        await put(changed, expected)

    monkeypatch.setattr(world.store, "put_alert", overtaken)
    answer = await world.acme.post(at(alert, "acknowledge"), headers={"If-Match": '"1"'})
    assert (answer.status_code, answer.headers["ETag"]) == (412, '"2"')


async def test_losing_every_race_is_a_conflict(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def lost(changed: Alert, expected: int) -> None:
        raise Conflict("again")

    alert = await put_alert(world, an_alert(ACME, "a"))
    monkeypatch.setattr(world.store, "put_alert", lost)
    answer = await world.acme.post(at(alert, "acknowledge"))
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:rapport:problem:conflict")


async def test_the_same_idempotency_key_makes_one_comment(world: World) -> None:
    alert = await put_alert(world, an_alert(ACME, "a"))
    key, said = {"Idempotency-Key": "k1"}, {"text": "called them"}
    answers = await asyncio.gather(*(world.acme.post(at(alert, "comment"), json=said, headers=key) for _ in range(4)))
    assert {answer.status_code for answer in answers} == {200}
    late = await world.acme.post(at(alert, "comment"), json=said, headers={**key, "If-Match": '"1"'})
    assert [line["what"] for line in late.json()["timeline"]] == ["opened", "commented"]
    other = await world.acme.post(at(alert, "comment"), json={"text": "else"}, headers=key)
    assert (other.status_code, other.json()["type"]) == (422, "urn:rapport:problem:idempotency-key-reused")
    await world.acme.post(at(alert, "comment"), json=said, headers={"Idempotency-Key": "k2"})
    stored = await world.store.alert(ACME, alert.id)
    assert stored is not None
    assert len(stored.timeline) == 3


@pytest.mark.parametrize("said", [None, {}, {"text": ""}, {"text": "   "}, {"text": "x" * 4001}, {"words": "x"}])
async def test_a_comment_needs_words(world: World, said: dict[str, str] | None) -> None:
    alert = await put_alert(world, an_alert(ACME, "a"))
    answer = await world.acme.post(at(alert, "comment"), json=said)
    assert answer.status_code == 422
    stored = await world.store.alert(ACME, alert.id)
    assert stored == alert


async def test_another_tenants_alerts_are_not_there(world: World) -> None:
    theirs = await raise_alert(world, an_alert(GLOBEX, "a"))
    ours = await raise_alert(world, an_alert(ACME, "a"))
    assert [item["id"] for item in (await world.acme.get("/v1/alerts")).json()["items"]] == [ours.id]
    assert (await world.acme.get(at(theirs))).status_code == 404
    for action in ("acknowledge", "resolve", "comment"):
        answer = await world.acme.post(at(theirs, action), json={"text": "mine?"})
        assert (action, answer.status_code) == (action, 404)
    stored = await world.store.alert(GLOBEX, theirs.id)
    assert stored == replace(theirs, published_version=1)
