"""Who may ask, and how errors are told: problem documents that say what to do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.api.app import build_api
from services.api.edges import MAX_BODY_BYTES
from shared import wire
from shared.domain.errors import Unavailable
from shared.domain.keys import format_key
from tests.flows.api_world import ACME, NOW, SECRET, World, a_head, a_world, an_alert, key_of, put_alert, put_head

SNAPSHOT = Path(__file__).parents[2] / "docs" / "openapi.json"

GUARDED = [
    ("GET", "/v1/relationships"),
    ("GET", "/v1/relationships/a"),
    ("GET", "/v1/relationships/a/timeline"),
    ("GET", "/v1/relationships/a/metrics"),
    ("GET", "/v1/relationships/a/scores"),
    ("GET", "/v1/alerts"),
    ("GET", "/v1/alerts/acme/a/silence/"),
    ("POST", "/v1/alerts/acme/a/silence/acknowledge"),
    ("POST", "/v1/alerts/acme/a/silence/resolve"),
    ("POST", "/v1/alerts/acme/a/silence/comment"),
    ("GET", "/v1/stream"),
    ("GET", "/v1/me"),
]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as found:
        yield found


def problem(answer: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail", "instance"} <= set(body)
    assert (answer.status_code, body["status"], body["type"]) == (status, status, f"urn:rapport:problem:{slug}")
    assert len(body["detail"]) > 20
    return body


# --- keys --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), GUARDED)
async def test_every_route_asks_for_a_key(world: World, method: str, path: str) -> None:
    await put_head(world.store, a_head(ACME, "a"))
    before = await put_alert(world, an_alert(ACME, "a"))
    answer = await world.client().request(method, path)
    problem(answer, 401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="rapport"'
    wrong = await world.client(format_key("api", "acme-api", "x" * 43)).request(method, path)
    problem(wrong, 401, "unauthorized")
    assert 'error="invalid_token"' in wrong.headers["WWW-Authenticate"]
    assert await world.store.alert(ACME, before.id) == before


def test_the_table_of_guarded_routes_is_complete() -> None:
    documented = {
        (method.upper(), path)
        for path, operations in build_api(None).openapi()["paths"].items()
        for method in operations
        if path.startswith("/v1")
    }
    assert len(documented) == len(GUARDED)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer nonsense",
        f"Basic {key_of(ACME)}",
        f"Bearer {key_of(ACME, 'write')}",
        f"Bearer {format_key('api', 'nobody', SECRET)}",
        f"Bearer {format_key('api', 'acme-write', SECRET)}",
        f"Bearer {format_key('api', 'globex-api', SECRET[:-1] + 't')}",
        f"Bearer {key_of(ACME)}x",
        f"Bearer {key_of(ACME)} {key_of(ACME)}",
    ],
)
async def test_what_is_no_api_key_is_refused(world: World, header: str) -> None:
    answer = await world.client().get("/v1/me", headers={"Authorization": header})
    problem(answer, 401, "unauthorized")
    assert SECRET not in answer.text


async def test_the_tenant_comes_from_the_key(world: World) -> None:
    assert (await world.acme.get("/v1/me")).json() == {"tenant": "acme", "key": "acme-api", "name": "acme robot"}
    assert (await world.globex.get("/v1/me")).json()["tenant"] == "globex"


async def test_a_revoked_key_is_refused_after_a_minute_at_the_latest(world: World) -> None:
    client = world.acme
    assert (await client.get("/v1/me")).status_code == 200
    assert await world.store.revoke_key(ACME, "acme-api", NOW)
    world.now = NOW + 59_999
    assert (await client.get("/v1/me")).status_code == 200
    world.now = NOW + 60_000
    assert (await client.get("/v1/me")).status_code == 401


async def test_a_key_is_read_from_the_store_once_a_minute(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    reads, read = [], world.store.key

    async def counted(id: str) -> Any:
        reads.append(id)
        return await read(id)

    monkeypatch.setattr(world.store, "key", counted)
    client = world.acme
    for _ in range(3):
        await client.get("/v1/me")
    assert reads == ["acme-api"]


# --- problems ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/relationships?limit=0", "limit"),
        ("/v1/relationships?limit=501", "limit"),
        ("/v1/relationships?limit=many", "limit"),
        ("/v1/relationships?sort=colour", "sort"),
        ("/v1/relationships?band=blue", "band"),
        ("/v1/relationships?cursor=nonsense", "cursor"),
        ("/v1/relationships/a/timeline?cursor=nonsense", "cursor"),
        ("/v1/relationships/a/metrics?by=day", "by"),
        ("/v1/relationships/a/metrics?metric=foo", "metric.0"),
        ("/v1/alerts?state=closed", "state.0"),
        ("/v1/alerts?severity=bad", "severity"),
        ("/v1/alerts?cursor=nonsense", "cursor"),
    ],
)
async def test_a_wrong_parameter_is_named(world: World, path: str, field: str) -> None:
    await put_head(world.store, a_head(ACME, "a"))
    body = problem(await world.acme.get(path), 422, "invalid")
    assert [(error["in"], error["field"]) for error in body["errors"]] == [("query", field)]
    assert field.partition(".")[0] in body["detail"]


async def test_days_at_the_beginning_of_the_calendar(world: World) -> None:
    await put_head(world.store, a_head(ACME, "a"))
    answer = await world.acme.get("/v1/relationships/a/metrics?to=0001-01-02")
    assert (answer.status_code, answer.json()["days"]) == (200, ["0001-01-01", "0001-01-02"])


async def test_unknown_types_of_events_are_named(world: World) -> None:
    assert "alert, score" in problem(await world.acme.get("/v1/stream?types=alert,mood"), 422, "invalid")["detail"]


@pytest.mark.parametrize(
    ("content", "field"),
    [(b"{", "1"), (b"[]", ""), (b'{"text": 5}', "text"), (b'{"text": "x", "whom": "y"}', "whom")],
)
async def test_a_wrong_body_is_named(world: World, content: bytes, field: str) -> None:
    await put_alert(world, an_alert(ACME, "a"))
    headers = {"Content-Type": "application/json"}
    answer = await world.acme.post("/v1/alerts/acme/a/silence/comment", content=content, headers=headers)
    body = problem(answer, 422, "invalid")
    assert [(error["in"], error["field"]) for error in body["errors"]] == [("body", field)]


async def test_a_body_that_cannot_be_read(world: World) -> None:
    await put_alert(world, an_alert(ACME, "a"))
    headers = {"Content-Type": "application/json"}
    path = "/v1/alerts/acme/a/silence/comment"
    problem(await world.acme.post(path, content=b'{"text": "\xff"}', headers=headers), 400, "malformed")


@pytest.mark.parametrize(
    "path", ["/v1/nothing", "/v1/", "/v1/relationships/", "/nothing", "/v1/alerts/acme/x/silence/"]
)
async def test_nothing_there(world: World, path: str) -> None:
    problem(await world.acme.get(path), 404, "not-found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("DELETE", "/v1/relationships", "GET"), ("PUT", "/v1/relationships/a", "GET"), ("POST", "/healthz", "GET")],
)
async def test_a_method_that_is_not_there(world: World, method: str, path: str, allowed: str) -> None:
    answer = await world.acme.request(method, path)
    problem(answer, 405, "method-not-allowed")
    assert allowed in answer.headers["Allow"]


async def test_a_body_that_is_too_large_is_refused_unread(world: World) -> None:
    fits = {"text": "x" * (MAX_BODY_BYTES + 1)}
    answer = await world.acme.post("/v1/alerts/acme/a/silence/comment", json=fits)
    problem(answer, 413, "too-large")


async def test_an_unavailable_store_asks_to_come_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def down(*arguments: object) -> None:
        raise Unavailable("MongoDB at 127.0.0.1:1 does not answer")

    monkeypatch.setattr(world.store, "list_alerts", down)
    answer = await world.acme.get("/v1/alerts")
    problem(answer, 503, "unavailable")
    assert answer.headers["Retry-After"] == "2"
    monkeypatch.setattr(world.store, "key", down)
    problem(await world.globex.get("/v1/me"), 503, "unavailable")


async def test_a_defect_tells_nothing_of_its_inside(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*arguments: object) -> None:
        raise RuntimeError("secret inside")

    monkeypatch.setattr(world.store, "list_alerts", broken)
    answer = await world.acme.get("/v1/alerts")
    problem(answer, 500, "defect")
    assert "secret inside" not in answer.text


# --- around it ---------------------------------------------------------------------------------------------------


async def test_answers_carry_security_headers_and_no_cors(world: World) -> None:
    for path in ("/v1/me", "/v1/nothing", "/healthz"):
        answer = await world.acme.get(path, headers={"Origin": "https://elsewhere.example"})
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert "Access-Control-Allow-Origin" not in answer.headers
    assert (await world.acme.get("/v1/me")).headers["Cache-Control"] == "private, no-cache"


async def test_health_and_readiness(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await world.client().get("/healthz")).json() == {"status": "ok", "checks": {}}
    ready = await world.client().get("/readyz")
    assert ready.json() == {"status": "ok", "checks": {"store": "ok", "feed": "ok"}}

    async def down() -> None:
        raise Unavailable("MongoDB does not answer")

    monkeypatch.setattr(world.store, "ping", down)
    monkeypatch.setattr(world.deps.feed, "ready", False)
    body = problem(await world.client().get("/readyz"), 503, "unavailable")
    assert body["checks"]["store"] == "MongoDB does not answer"
    assert body["checks"]["feed"].startswith("not being read")
    assert (await world.client().get("/healthz")).status_code == 200
    problem(await world.acme.get("/v1/stream"), 503, "unavailable")


async def test_metrics_are_in_prometheus_text(world: World) -> None:
    answer = await world.client().get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "# TYPE rapport_events_in_total counter" in answer.text


async def test_the_openapi_document_in_docs_is_current(world: World) -> None:
    served = (await world.client().get("/openapi.json")).json()
    assert served["openapi"].startswith("3.1")
    stored = SNAPSHOT.read_text() if SNAPSHOT.exists() else "{}"
    hint = "write it anew: python -m services.api.openapi > docs/openapi.json"
    assert wire.decode(stored.encode(), dict) == served, hint
