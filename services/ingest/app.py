"""The HTTP application of ingest."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from services.ingest.endpoint import Events
from services.ingest.problems import problem
from services.ingest.sources.cloudevents import BATCH, JSON, STRUCTURED
from shared.domain.contract.schema import event_schema
from shared.domain.errors import Unavailable
from shared.telemetry import Metrics

Check = Callable[[], Awaitable[None]]
"""Raises Unavailable while what it looks at does not work."""


EVENTS = "/v1/events"


class Application(FastAPI):
    """FastAPI, before whose routing `POST /v1/events` is answered: half of a single event's CPU time went into
    middleware and dependencies that this route has no use for."""

    def __init__(self, events: Events, **options: Any) -> None:
        super().__init__(**options)
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == EVENTS and scope["method"] == "POST":
            await self._events(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def create_app(events: Events, ready: Check, metrics: Metrics) -> FastAPI:
    """POST /v1/events, its JSON Schema, liveness, readiness and metrics."""
    app = Application(
        events, title="Rapport ingest", version="1", openapi_url="/v1/openapi.json", docs_url=None, redoc_url=None
    )

    @app.post(EVENTS, status_code=202, openapi_extra=_described(), summary="Send events (CloudEvents 1.0)")
    async def post_events(request: Request) -> Response:
        return await events.post(request.scope, request.receive)

    @app.get("/v1/events/schema", summary="JSON Schema of an event")
    async def schema() -> dict[str, Any]:
        return event_schema()

    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> PlainTextResponse:
        return PlainTextResponse("ok\n")

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> Response:
        try:
            await ready()
        except Unavailable as error:
            return problem(503, "not-ready", str(error), headers={"Retry-After": "1"})
        return PlainTextResponse("ok\n")

    @app.get("/metrics", include_in_schema=False)
    async def exposed() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    app.add_exception_handler(HTTPException, _elsewhere)
    return app


async def _elsewhere(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = "Events go to POST /v1/events; what else there is says GET /v1/openapi.json."
    slug = "method-not-allowed" if error.status_code == 405 else "not-found"
    return problem(error.status_code, slug, detail, headers=error.headers)


def _described() -> dict[str, Any]:
    event = {"$ref": "/v1/events/schema"}
    several = {"type": "array", "items": event}
    bodies = {STRUCTURED: event, BATCH: several, JSON: {"anyOf": [event, several]}}
    answers = {
        "202": "Accepted, but for the items in `rejected`",
        "400": "Not JSON",
        "401": "No valid key",
        "403": "Not a write key",
        "408": "The body took too long",
        "413": "Too large",
        "415": "Not a media type that is taken",
        "422": "No item was accepted",
        "503": "Broker or store silent: send again",
    }
    return {
        "requestBody": {"required": True, "content": {media: {"schema": schema} for media, schema in bodies.items()}},
        "responses": {status: {"description": text} for status, text in answers.items()},
        "security": [{"bearer": []}],
    }
