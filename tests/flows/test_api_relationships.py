"""Relationships over HTTP: lists, filters, pages, detail, timeline, series."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest

from shared.domain.contract.events import DAY
from shared.domain.relationship.facts import Facts, Person, Promise, Survey
from shared.domain.scores.declaration import Formula
from shared.domain.scores.factors import factors_of
from tests.flows.api_world import (
    ACME,
    GLOBEX,
    NOW,
    Counts,
    World,
    a_head,
    a_month,
    a_touchpoint,
    a_world,
    put_head,
    put_month,
)

ODD = "ac/me 100%/ü?#..%2F/timeline"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as found:
        yield found


async def ids(world: World, **params: Any) -> list[str]:
    answer = await world.acme.get("/v1/relationships", params=params)
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["items"]]


async def test_a_walk_through_the_pages_meets_each_relationship_once_in_order(world: World) -> None:
    for number in range(11):
        await put_head(world.store, a_head(ACME, f"r{number:02}", index=None if number == 5 else 90.0 - number))
    seen, params = [], {"limit": 3}
    while True:
        body = (await world.acme.get("/v1/relationships", params=params)).json()
        seen += [item["id"] for item in body["items"]]
        if body["next"] is None:
            break
        params = {"limit": 3, "cursor": body["next"]}
    assert seen == [f"r{number:02}" for number in (10, 9, 8, 7, 6, 4, 3, 2, 1, 0, 5)]


async def test_filters_and_sort(world: World) -> None:
    await put_head(
        world.store, a_head(ACME, "a", index=40.0, kind="partner", segment="smb", owner="ann", stage="pilot")
    )
    await put_head(world.store, a_head(ACME, "b", index=60.0, segment="enterprise", owner="bob", stage="build"))
    await put_head(world.store, a_head(ACME, "c", index=90.0, name="Zebra Works"))
    assert await ids(world) == ["a", "b", "c"]
    assert await ids(world, sort="-ri") == ["c", "b", "a"]
    assert await ids(world, kind="partner") == ["a"]
    assert await ids(world, segment="enterprise") == ["b"]
    assert await ids(world, owner="bob") == ["b"]
    assert await ids(world, stage="pilot") == ["a"]
    assert await ids(world, band="green") == ["c"]
    assert await ids(world, q="zebra") == ["c"]
    assert await ids(world, kind="customer", band="yellow") == ["b"]


async def test_an_item_of_the_list(world: World) -> None:
    await put_head(world.store, a_head(ACME, "acct-42", owner="ann", tier="gold"))
    (item,) = (await world.acme.get("/v1/relationships")).json()["items"]
    assert item == {
        "id": "acct-42",
        "name": "Acct-42",
        "kind": "customer",
        "segment": "",
        "tier": "gold",
        "owner": "ann",
        "stage": "",
        "status": "",
        "ri": {"index": 80.0, "raw": 0.4, "band": "green", "confidence": 0.5},
        "rv": {"index": None, "raw": None, "band": "unknown", "confidence": None},
        "first_seen": "2025-12-02T00:00:00.000Z",
        "last_seen": "2025-12-31T00:00:00.000Z",
        "next_due_at": None,
        "events": 12,
        "flag_count": 1,
        "flags": [
            {
                "rule": "silence",
                "subject": "",
                "severity": "warning",
                "reason": "silent 21 business days, usual 6",
                "since": "2025-12-31T00:00:00.000Z",
            }
        ],
        "spark": [0.0, 2.0],
        "windows": {
            "days": [7, 30, 90, 365],
            "usage": [0.0] * 4,
            "inbound": [0.0] * 4,
            "outbound": [0.0] * 4,
            "people": [0] * 4,
        },
    }


async def test_the_detail_takes_scores_apart_and_shows_the_numbers_of_flags(world: World) -> None:
    await put_head(world.store, a_head(ACME, "acct-42", seats=10))
    body = (await world.acme.get("/v1/relationships/acct-42")).json()
    unknown = {"value": None, "confidence": 0.0, "reason": "no evidence yet", "inputs": {}}
    assert body["scores"]["ri"]["index"] == 80.0
    assert (body["scores"]["ri"]["confidence"], body["scores"]["rv"]["confidence"]) == (0.5, None)
    assert body["scores"]["ri"]["factors"] == {
        **dict.fromkeys(factors_of(Formula.RI, Formula.NETWORK), unknown),
        "quality": {
            "value": 0.9,
            "confidence": 0.5,
            "reason": "surveys and sentiment at 95%, 1 ticket open",
            "inputs": {"said": 0.95, "open_tickets": 1.0},
        },
    }
    assert body["scores"]["rv"]["factors"] == dict.fromkeys(factors_of(Formula.RV), unknown)
    assert body["flags"][0]["numbers"] == {"days": 21.0}
    assert body["directory"]["seats"] == 10


async def test_the_detail_shows_the_use_of_features_now_and_usually(world: World) -> None:
    await put_head(world.store, a_head(ACME, "acct-42"))
    assert (await world.acme.get("/v1/relationships/acct-42")).json()["features"] == []
    # As of 2026-01-01, 00:00: the window is the seven days before, the baseline the eight weeks up to 2025-12-24, in
    # which there were ten a day of export, and one of old on the first day: 1/8 on that weekday
    november: Counts = {day: {("use:export", "ann"): 4.0, ("use:export", ""): 6.0} for day in range(1, 31)}
    december: Counts = {day: {("use:export", "ann"): 10.0} for day in range(1, 25)}
    december |= {30: {("use:login", ""): 3.0, ("in:email", "ann"): 1.0}, 31: {("use:export", "ann"): 5.0}}
    for month, counts in (("2025-10", {30: {("use:old", ""): 1.0}}), ("2025-11", november), ("2025-12", december)):
        await put_month(world.store, a_month(ACME, "acct-42", month, counts))
    await put_month(world.store, a_month(GLOBEX, "acct-42", "2026-01", {1: {("use:theirs", ""): 9.0}}))
    assert (await world.acme.get("/v1/relationships/acct-42")).json()["features"] == [
        {"feature": "export", "last_7_days": 5.0, "usual_7_days": 70.0},
        {"feature": "login", "last_7_days": 3.0, "usual_7_days": 0.0},
        {"feature": "old", "last_7_days": 0.0, "usual_7_days": 0.12},
    ]


async def test_the_detail_shows_people_promises_surveys_and_tickets(world: World) -> None:
    state = a_head(ACME, "acct-42")
    state.facts = Facts(
        first_touch=NOW - DAY,
        people={"eve": Person("champion", last_in=NOW), "old": Person("admin", last_in=NOW - DAY, left_at=NOW)},
        promises={
            "p2": Promise(NOW + DAY, "us", NOW, "crm#2", "export fixed"),
            "p1": Promise(NOW, "them", NOW, "crm#1"),
        },
        promises_kept=3,
        surveys={"nps": Survey(3, NOW, "crm#3", "eve")},
        tickets={"t2": NOW, "t1": NOW - DAY},
        sentiment_sum=-1.0,
        sentiment_count=4,
    )
    await put_head(world.store, state)
    facts = (await world.acme.get("/v1/relationships/acct-42")).json()["facts"]
    today = "2026-01-01T00:00:00.000Z"
    assert facts["people"] == [
        {"person": "eve", "role": "champion", "last_in": today, "left_at": None},
        {"person": "old", "role": "admin", "last_in": "2025-12-31T00:00:00.000Z", "left_at": today},
    ]
    assert [promise["promise"] for promise in facts["promises"]] == ["p1", "p2"]
    assert facts["promises"][1] == {
        "promise": "p2",
        "text": "export fixed",
        "by": "us",
        "due": "2026-01-02T00:00:00.000Z",
        "made_at": today,
        "broken_at": None,
        "event": "crm#2",
    }
    assert facts["surveys"] == [{"instrument": "nps", "score": 3.0, "at": today, "person": "eve", "event": "crm#3"}]
    assert [ticket["ticket"] for ticket in facts["tickets"]] == ["t1", "t2"]
    assert (facts["promises_kept"], facts["sentiment"], facts["last_out"]) == (3, -0.25, None)


async def test_the_detail_has_an_etag_that_changes_with_the_relationship(world: World) -> None:
    await put_head(world.store, a_head(ACME, "a"))
    first = await world.acme.get("/v1/relationships/a")
    known = {"If-None-Match": first.headers["ETag"]}
    again = await world.acme.get("/v1/relationships/a", headers=known)
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", first.headers["ETag"])
    await put_head(world.store, a_head(ACME, "a", index=10.0))
    changed = await world.acme.get("/v1/relationships/a", headers=known)
    assert changed.status_code == 200
    assert changed.headers["ETag"] != first.headers["ETag"]


@pytest.mark.parametrize("id", [ODD, "a/b", "x%2Fy", "ends/", "a b", "timeline"])
async def test_an_id_may_hold_anything_when_it_is_percent_encoded(world: World, id: str) -> None:
    await put_head(world.store, a_head(ACME, id))
    await world.store.add_touchpoints([a_touchpoint(ACME, id, "crm#1", NOW)])
    path = f"/v1/relationships/{quote(id, safe='')}"
    assert (await world.acme.get(path)).json()["id"] == id
    timeline = await world.acme.get(f"{path}/timeline")
    assert [entry["id"] for entry in timeline.json()["items"]] == ["crm#1"]
    assert (await world.acme.get(f"{path}/metrics")).status_code == 200
    assert (await world.acme.get(f"{path}/scores")).status_code == 200


async def test_an_id_with_plain_slashes_is_found_as_well(world: World) -> None:
    await put_head(world.store, a_head(ACME, "emea/acct"))
    assert (await world.acme.get("/v1/relationships/emea/acct")).json()["id"] == "emea/acct"
    assert (await world.acme.get("/v1/relationships/emea/acct/timeline")).json() == {"items": [], "next": None}


async def test_the_timeline_is_newest_first_page_by_page_without_tombstones(world: World) -> None:
    await put_head(world.store, a_head(ACME, "a"))
    entries = [a_touchpoint(ACME, "a", f"crm#{number}", NOW + number) for number in range(4)]
    entries.append(a_touchpoint(ACME, "a", "crm#gone", NOW - DAY, type=""))
    entries.append(a_touchpoint(ACME, "ab", "crm#other", NOW))
    await world.store.add_touchpoints(entries)
    first = (await world.acme.get("/v1/relationships/a/timeline", params={"limit": 3})).json()
    rest = (await world.acme.get("/v1/relationships/a/timeline", params={"limit": 3, "cursor": first["next"]})).json()
    assert [entry["id"] for entry in first["items"] + rest["items"]] == ["crm#3", "crm#2", "crm#1", "crm#0"]
    assert rest["next"] is None
    assert first["items"][0] == {
        "id": "crm#3",
        "type": "message.received",
        "time": "2026-01-01T00:00:00.003Z",
        "received": "2026-01-01T00:00:00.003Z",
        "direction": "in",
        "channel": "email",
        "person": "",
        "data": {"text": "hello"},
        "backfill": False,
        "retracted": False,
        "retracted_by": None,
        "corrected_by": None,
    }


async def with_usage(world: World) -> None:
    await put_head(world.store, a_head(ACME, "a"))
    december: Counts = {
        30: {("use:export", ""): 5, ("use:export", "eve"): 2},
        31: {("use:login", ""): 7, ("in:email", ""): 1},
    }
    await put_month(world.store, a_month(ACME, "a", "2025-12", december, scores={"d31": [61.5, None]}))
    january: Counts = {1: {("use:export", ""): 9}}
    await put_month(world.store, a_month(ACME, "a", "2026-01", january, scores={"d1": [50.0, 40.0]}))


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, {("use:export", None): [0, 7, 0, 9], ("use:login", None): [0, 0, 7, 0]}),
        ({"metric": "use:export"}, {("use:export", None): [0, 7, 0, 9]}),
        ({"metric": "use:never"}, {("use:never", None): [0, 0, 0, 0]}),
        ({"metric": ["use:login", "in:*"]}, {("use:login", None): [0, 0, 7, 0], ("in:email", None): [0, 0, 1, 0]}),
        (
            {"metric": "use:export", "by": "person"},
            {("use:export", ""): [0, 5, 0, 9], ("use:export", "eve"): [0, 2, 0, 0]},
        ),
    ],
)
async def test_daily_series_are_zero_filled(world: World, params: dict[str, Any], expected: dict[Any, Any]) -> None:
    await with_usage(world)
    span = {"from": "2025-12-29", "to": "2026-01-01"}
    body = (await world.acme.get("/v1/relationships/a/metrics", params={**span, **params})).json()
    assert body["days"] == ["2025-12-29", "2025-12-30", "2025-12-31", "2026-01-01"]
    assert {(item["metric"], item["person"]): item["values"] for item in body["items"]} == expected


async def test_without_dates_the_last_90_days_are_answered(world: World) -> None:
    await with_usage(world)
    body = (await world.acme.get("/v1/relationships/a/metrics")).json()
    assert (len(body["days"]), body["days"][-1]) == (90, "2026-01-01")


async def test_score_history(world: World) -> None:
    await with_usage(world)
    body = (await world.acme.get("/v1/relationships/a/scores", params={"from": "2025-12-31"})).json()
    assert body == {
        "items": [{"day": "2025-12-31", "ri": 61.5, "rv": None}, {"day": "2026-01-01", "ri": 50.0, "rv": 40.0}]
    }


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"from": "yesterday"}, "from"),
        ({"to": "2026-13-01"}, "to"),
        ({"from": "2026-01-02", "to": "2026-01-01"}, "from"),
        ({"from": "2020-01-01", "to": "2026-01-01"}, "from"),
    ],
)
async def test_days_that_make_no_sense_are_named(world: World, params: dict[str, str], field: str) -> None:
    await put_head(world.store, a_head(ACME, "a"))
    answer = await world.acme.get("/v1/relationships/a/metrics", params=params)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


@pytest.mark.parametrize("rest", ["", "/timeline", "/metrics", "/scores"])
async def test_another_tenants_relationship_is_not_there(world: World, rest: str) -> None:
    await put_head(world.store, a_head(GLOBEX, "theirs"))
    await put_head(world.store, a_head(GLOBEX, "both", name="Theirs"))
    await put_head(world.store, a_head(ACME, "both", name="Ours"))
    await world.store.add_touchpoints([a_touchpoint(GLOBEX, "both", "crm#theirs", NOW)])
    await put_month(world.store, a_month(GLOBEX, "both", "2026-01", {1: {("use:x", ""): 9}}))
    assert (await world.acme.get(f"/v1/relationships/theirs{rest}")).status_code == 404
    assert (await world.globex.get(f"/v1/relationships/theirs{rest}")).status_code == 200
    assert "heirs" not in (await world.acme.get(f"/v1/relationships/both{rest}")).text
    assert await ids(world) == ["both"]
    metrics = await world.acme.get("/v1/relationships/both/metrics")
    assert metrics.json()["items"] == []
