"""/v1/stream: alerts and score changes as they happen (server-sent events)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from sse_starlette import EventSourceResponse, ServerSentEvent

from services.api.auth import Caller
from services.api.deps import Deps, Wired
from services.api.hub import TYPES, SlowConsumer, Stopped
from services.api.problems import Problem, unavailable
from shared.domain.errors import Unavailable

router = APIRouter(tags=["stream"])

HEARTBEAT_SECONDS = 15
SEND_TIMEOUT_SECONDS = 30.0  # a client that does not read for so long is gone
RETRY_MILLISECONDS = 2_000

DESCRIPTION = """\
Events `alert` (an alert as GET /v1/alerts shows it) and `score` (relationship, ri, rv, band, at), as they happen.

Each has an id. Reconnect with `Last-Event-ID` to any replica, and nothing in between is lost. `reset` means that events
may be missing: read the lists again and go on. Apply an alert only if its `version` is higher than the one you have,
and a score only if its `at` is later. A comment comes every 15 s when nothing happens. A client that reads too slowly
is disconnected, with a comment that says so."""


@router.get(
    "/v1/stream",
    response_class=Response,
    description=DESCRIPTION,
    responses={
        200: {"description": "events for ever", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
    },
)
async def stream(
    deps: Wired,
    caller: Caller,
    types: Annotated[str, Query(description="which events, comma separated", max_length=100)] = "alert,score",
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID", max_length=200)] = None,
) -> EventSourceResponse:
    """Answer with the tenant's events from now on, or from the one after Last-Event-ID on."""
    wanted = frozenset(name.strip() for name in types.split(","))
    if not wanted or wanted - TYPES:
        raise Problem(422, "invalid", f"`types` is a comma-separated list out of: {', '.join(sorted(TYPES))}.")
    if not deps.feed.ready:
        raise unavailable("The feed is not readable at the moment: reconnect with the same Last-Event-ID.")
    return EventSourceResponse(
        _events(deps, caller.tenant, wanted, last_event_id or None),
        ping=HEARTBEAT_SECONDS,
        ping_message_factory=lambda: ServerSentEvent(comment="heartbeat"),
        send_timeout=SEND_TIMEOUT_SECONDS,
    )


async def _events(deps: Deps, tenant: str, types: frozenset[str], after: str | None) -> AsyncIterator[ServerSentEvent]:
    sent = deps.metrics.events_out.labels("sse")
    with deps.feed.subscribe(tenant, types=types, after=after) as events:
        # An id without data: the client knows from where to resume before its first event.
        yield ServerSentEvent(comment="connected", id=events.start_id, retry=RETRY_MILLISECONDS)
        try:
            async for event in events:
                yield ServerSentEvent(event.data, event=event.type, id=event.id)
                sent.inc()
        except SlowConsumer:
            yield ServerSentEvent(comment="disconnected: you read too slowly; reconnect with Last-Event-ID")
        except Unavailable:
            yield ServerSentEvent(comment="disconnected: the feed is not readable; reconnect with Last-Event-ID")
        except Stopped:
            yield ServerSentEvent(comment="disconnected: this replica stops; reconnect with Last-Event-ID")
