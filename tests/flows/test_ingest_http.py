"""Events over HTTP: what is accepted is in the log before it is answered, and nothing else of a batch is lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from services.ingest import endpoint
from shared.domain.contract.events import MINUTE, relationship_key
from shared.domain.keys import format_key
from shared.stream.frames import EVENTS, RECORD_HEADER, interactions, read_frame
from shared.stream.topics import INCARNATION_HEADER, INTERACTIONS, partition_of
from tests.flows.ingest_stage import BATCH, NOW, PARTITIONS, SECRET, WRITE_KEY, Stage, event


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with Stage() as stage:
        yield stage


async def test_a_batch_is_in_the_log_of_its_partitions_when_it_is_answered(stage: Stage) -> None:
    answer = await stage.post([event(number) for number in range(20)])
    assert (answer.status_code, answer.json()) == (202, {"accepted": 20, "rejected": []})
    seen = set[str]()
    for partition in range(PARTITIONS):
        for record in stage.log.records(INTERACTIONS, partition):
            keys = [relationship_key(one.tenant, one.relationship) for one in interactions(read_frame(record.value))]
            assert {partition_of(key.encode(), PARTITIONS) for key in keys} == {partition}
            assert record.timestamp == NOW
            assert record.headers == ((RECORD_HEADER, EVENTS), (INCARNATION_HEADER, b"log-1"))
            seen |= set(keys)
    assert seen == {relationship_key("acme", f"acct-{number}") for number in range(20)}
    assert stage.quarantine() == []


BAD: list[tuple[Any, str]] = [
    ("not an event", "not_an_object"),
    ({"id": "half"}, "missing_attribute"),
    (event(id="big", data={"feature": "x" * 33_000}), "too_large"),
    (event(id="typed", data={"feature": 5}), "invalid_field"),
    (event(id="future", time="2026-09-23T00:00:00Z"), "future_time"),
    (event(id="nan", data={"feature": "a", "quantity": float("nan")}), "malformed_json"),
    (event(id="old", specversion="0.3"), "unsupported_specversion"),
]


@pytest.mark.parametrize(("bad", "reason"), BAD)
async def test_one_bad_item_takes_nothing_else_with_it(stage: Stage, bad: Any, reason: str) -> None:
    answer = await stage.post([event(1), bad, event(2)])
    assert answer.status_code == 202
    told = answer.json()
    assert told["accepted"] == 2
    assert [(item["index"], item["reason"]) for item in told["rejected"]] == [(1, reason)]
    assert sorted(found.id for found in stage.published()) == ["e-1", "e-2"]
    [kept] = stage.quarantine()
    assert (kept.tenant, kept.source, kept.reason, kept.received) == ("acme", "http", reason, NOW)
    assert kept.id == told["rejected"][0]["id"]
    assert kept.whole
    assert kept.original == json.dumps(bad).encode()
    assert stage.metric("rapport_events_quarantined_total", reason=reason) == 1
    assert stage.metric("rapport_events_in_total", source="http") == 3
    assert stage.metric("rapport_events_out_total", target=INTERACTIONS) == 2


async def test_when_nothing_was_accepted_the_answer_is_a_problem_with_the_same_list(stage: Stage) -> None:
    answer = await stage.post([bad for bad, _ in BAD])
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert [item["reason"] for item in answer.json()["rejected"]] == [reason for _, reason in BAD]
    assert len(stage.quarantine()) == len(BAD)
    assert (await stage.post([])).json() == {"accepted": 0, "rejected": []}


@pytest.mark.parametrize("body", [b"", b"nonsense", b'[{"id":1}', b"[1] 2", b"[1 2]", b'["\xff', b"[" * 50_000, b"[1,"])
async def test_a_body_that_cannot_be_told_apart_is_kept_as_one(stage: Stage, body: bytes) -> None:
    answer = await stage.post(body)
    assert (answer.status_code, answer.json()["rejected"][0]["reason"]) == (400, "malformed_json")
    [kept] = stage.quarantine()
    assert (kept.original, kept.size) == (body[: 64 * 1024], len(body))


async def test_a_batch_is_an_array(stage: Stage) -> None:
    answer = await stage.post(event())
    assert (answer.status_code, answer.json()["rejected"][0]["reason"]) == (400, "not_a_batch")


async def test_a_repeated_and_an_older_event_are_accepted_in_their_order(stage: Stage) -> None:
    """Counting an id once, and putting a late event where it belongs, is scoring's work."""
    events = [event(1, id="b"), event(1, id="a", time="2020-01-01T00:00:00Z"), event(1, id="b")]
    assert (await stage.post(events)).json()["accepted"] == 3
    assert [found.id for found in stage.published()] == ["b", "a", "b"]


# --- modes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("media", "count"),
    [
        ("application/cloudevents+json", 1),
        ("application/cloudevents+json; charset=utf-8", 1),
        ("Application/CloudEvents+JSON;charset=UTF-8", 1),
        ("application/json", 1),
        ("application/json", 2),
        ("application/cloudevents-batch+json; charset=utf-8", 2),
    ],
)
async def test_the_official_media_types_and_plain_json_are_taken(stage: Stage, media: str, count: int) -> None:
    events = [event(number) for number in range(count)]
    answer = await stage.post(events if count > 1 else events[0], media)
    assert (answer.status_code, answer.json()["accepted"]) == (202, count)


def binary_headers(**attributes: str) -> dict[str, str]:
    whole = {
        "specversion": "1.0",
        "id": "e-1",
        "source": "/app",
        "type": "usage.feature_used",
        "time": "2026-09-21T12:00:00Z",
        "subject": "caf%C3%A9%20%E2%82%AC",
        **attributes,
    }
    return {f"ce-{name}": value for name, value in whole.items()}


async def test_binary_mode_has_its_attributes_in_headers(stage: Stage) -> None:
    headers = binary_headers(rapportbackfill="true", source='"/a \\"quoted\\" one"')
    answer = await stage.post({"feature": "export"}, "application/json; charset=utf-8", headers=headers)
    assert answer.status_code == 202, answer.text
    [found] = stage.published()
    assert (found.relationship, found.source, found.backfill) == ("café €", '/a "quoted" one', True)
    assert bytes(found.data) == b'{"feature":"export"}'


async def test_binary_mode_is_held_to_the_same_contract(stage: Stage) -> None:
    not_json = await stage.post(b"{oops", "application/json", headers=binary_headers())
    assert (not_json.status_code, not_json.json()["rejected"][0]["reason"]) == (422, "unsupported_data")
    assert stage.quarantine()[0].id == "e-1"
    no_data = await stage.post(b"", "application/json", headers=binary_headers(type="usage.login"))
    assert no_data.status_code == 202
    assert (await stage.post(b"x", "text/plain", headers=binary_headers())).status_code == 415


@pytest.mark.parametrize(
    ("media", "headers"),
    [
        ("text/plain", {}),
        ("", {}),
        ("application/xml", {}),
        (BATCH + "; charset=latin-1", {}),
        (BATCH, {"Content-Encoding": "gzip"}),
    ],
)
async def test_other_content_is_declined_naming_what_is_taken(
    stage: Stage, media: str, headers: dict[str, str]
) -> None:
    answer = await stage.post([event()], media, headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (415, "urn:rapport:problem:unsupported-media-type")
    assert stage.published() == []


# --- keys --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "status", "slug"),
    [
        ("", 401, "invalid-key"),
        ("secret", 401, "invalid-key"),
        (format_key("write", "nobody", SECRET), 401, "unknown-key"),
        (format_key("write", "app", SECRET + "x"), 401, "unknown-key"),
        (format_key("write", "reader", SECRET), 401, "unknown-key"),
        (format_key("api", "reader", SECRET), 403, "wrong-key"),
    ],
)
async def test_without_a_valid_write_key_nothing_is_taken(stage: Stage, key: str, status: int, slug: str) -> None:
    answer = await stage.post([event()], key=key)
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:rapport:problem:{slug}")
    assert SECRET not in answer.text
    assert ("www-authenticate" in answer.headers) == (status == 401)
    assert (stage.published(), stage.quarantine()) == ([], [])


async def test_no_key_at_all_says_which_header_to_send(stage: Stage) -> None:
    answer = await stage.client.post("/v1/events", json=[event()])
    assert answer.status_code == 401
    assert "Authorization: Bearer" in answer.json()["detail"]


async def test_a_revoked_key_is_refused_a_minute_later_at_the_latest(stage: Stage) -> None:
    assert (await stage.post([event()])).status_code == 202
    await stage.store.revoke_key("acme", "app", NOW)
    assert (await stage.post([event()])).status_code == 202  # still remembered
    stage.now += MINUTE
    answer = await stage.post([event()])
    assert (answer.status_code, answer.json()["type"]) == (401, "urn:rapport:problem:revoked-key")


async def test_a_key_that_was_tried_too_early_works_soon_after_it_is_made(stage: Stage) -> None:
    key = format_key("write", "late", SECRET)
    assert (await stage.post([event()], key=key)).status_code == 401
    await stage.add_key("late", "write", "acme")
    stage.now += 5_000
    assert (await stage.post([event()], key=key)).status_code == 202


async def test_a_tool_may_say_whose_events_it_means_to_send(stage: Stage) -> None:
    assert (await stage.post([event()], headers={"rapport-tenant": "acme"})).status_code == 202
    answer = await stage.post([event()], headers={"rapport-tenant": "globex"})
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:rapport:problem:other-tenant")
    assert len(stage.published()) == 1


# --- limits, broker and store ------------------------------------------------------------------------------------


async def test_a_body_over_4_mb_is_given_up_while_it_is_read(stage: Stage) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b" " * 1024 * 1024

    headers = {"Content-Type": BATCH, "Authorization": f"Bearer {format_key('write', 'app', SECRET)}"}
    answer = await stage.client.post("/v1/events", content=endless(), headers=headers)
    assert (answer.status_code, answer.json()["type"], sent) == (413, "urn:rapport:problem:too-large", 5)
    declared = await stage.post(b" " * (4 * 1024 * 1024 + 1))
    assert declared.status_code == 413


async def test_a_silent_broker_is_503_and_sending_again_works(stage: Stage) -> None:
    stage.broker.after = 1  # one partition gets its part, the others do not
    events = [event(number) for number in range(20)]
    answer = await stage.post(events)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert "send the same events again" in answer.json()["detail"]
    stage.broker.after = None
    assert (await stage.post(events)).status_code == 503  # the log may be another one: not before it is known again
    await stage.identity.refresh()
    assert (await stage.post(events)).status_code == 202
    assert {found.id for found in stage.published()} == {f"e-{number}" for number in range(20)}


async def test_nothing_is_acknowledged_whose_rejection_could_not_be_kept(stage: Stage) -> None:
    stage.broker.after = 1
    answer = await stage.post([event(1), {"id": "bad"}])
    assert (answer.status_code, stage.quarantine()) == (503, [])


async def test_too_much_waiting_for_the_broker_is_503(stage: Stage) -> None:
    gate = asyncio.Event()
    publish = stage.broker.publish

    async def slowly(*parts: Any) -> int:
        await gate.wait()
        return await publish(*parts)

    stage.broker.publish = slowly  # type: ignore[method-assign]
    stage.outbound._max_bytes = 100
    first = asyncio.create_task(stage.post([event(number) for number in range(10)]))
    while not stage.outbound.waiting_bytes:
        await asyncio.sleep(0)
    await stage.add_key("other", "write", "globex")  # the same tenant's would wait for its first ones
    other = format_key("write", "other", SECRET)
    refused = await stage.post([event(99)], key=other)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
    gate.set()
    assert (await first).status_code == 202
    assert (await stage.post([event(99)], key=other)).status_code == 202  # and nothing is doubted
    assert stage.outbound.waiting_bytes == 0


async def test_a_broker_that_never_answers_is_given_up() -> None:
    async with Stage(deadline=0.01) as stage:

        async def never(*_: Any) -> int:
            await asyncio.Event().wait()
            raise AssertionError

        stage.broker.publish = never  # type: ignore[method-assign]
        assert (await stage.post([event()])).status_code == 503


async def test_ready_means_that_the_log_and_the_store_are_there(stage: Stage) -> None:
    assert (await stage.client.get("/healthz")).status_code == 200
    assert (await stage.client.get("/readyz")).status_code == 200
    stage.identity.doubt()
    answer = await stage.client.get("/readyz")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert (await stage.client.get("/healthz")).status_code == 200


async def test_metrics_schema_and_wrong_paths_answer(stage: Stage) -> None:
    await stage.post([event()])
    assert 'rapport_events_in_total{source="http"} 1.0' in (await stage.client.get("/metrics")).text
    assert (await stage.client.get("/v1/events/schema")).json()["title"].startswith("An event")
    assert "/v1/events" in (await stage.client.get("/v1/openapi.json")).json()["paths"]
    for path, status, slug in (("/v1/nothing", 404, "not-found"), ("/v1/events", 405, "method-not-allowed")):
        answer = await stage.client.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        assert answer.json()["type"] == f"urn:rapport:problem:{slug}"


async def test_mounted_under_a_path_the_route_is_the_same(stage: Stage) -> None:
    outer = FastAPI()
    outer.mount("/ingest", stage.app)
    headers = {"Content-Type": BATCH, "Authorization": f"Bearer {WRITE_KEY}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=outer), base_url="http://outer") as client:
        answer = await client.post("/ingest/v1/events", json=[event(1), {"id": "bad"}], headers=headers)
        assert (answer.status_code, answer.json()["accepted"]) == (202, 1)
        refused = await client.post("/ingest/v1/events", json=[event(1)])
    assert (refused.status_code, refused.json()["type"]) == (401, "urn:rapport:problem:no-key")


async def test_a_batch_of_a_great_many_items_is_refused_whole() -> None:
    async with Stage() as stage:
        answer = await stage.post(b"[" + b"1," * 50_000 + b"1]")
        assert answer.status_code == 413
        assert answer.json()["detail"] == "A batch may have 50,000 events: send smaller ones."
        assert stage.entries() == []


async def test_a_body_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "BODY_SECONDS", 0.05)

    async def trickle() -> AsyncIterator[bytes]:
        yield b"["
        await asyncio.Event().wait()

    async with Stage() as stage:
        headers = {"Content-Type": BATCH, "Authorization": f"Bearer {WRITE_KEY}"}
        answer = await stage.client.post("/v1/events", content=trickle(), headers=headers)
        assert (answer.status_code, answer.json()["type"]) == (408, "urn:rapport:problem:too-slow")
