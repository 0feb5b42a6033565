"""/v1/relationships: the portfolio, one relationship, its timeline and its daily series."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query, Response
from pydantic import StringConstraints

from services.api import series, shown
from services.api.auth import Caller
from services.api.deps import Deps, Wired
from services.api.edges import CONDITIONAL, etag, etag_matches, segment_id
from services.api.problems import Problem, refused_by_store
from services.api.schemas import (
    BandName,
    MetricsOut,
    PageOf,
    RelationshipOut,
    RelationshipShort,
    ScoreHistory,
    TouchpointOut,
)
from shared.domain.contract.days import day_of, month_of
from shared.domain.engine.display import FEATURE_DAYS, features
from shared.domain.relationship.state import RelationshipState
from shared.storage.store import RelationshipQuery

router = APIRouter(prefix="/v1/relationships", tags=["relationships"])

Limit = Annotated[int, Query(ge=1, le=500, description="at most this many")]
Cursor = Annotated[str | None, Query(max_length=2000, description="`next` of the page before")]
Filter = Annotated[str | None, Query(max_length=512)]
From = Annotated[str | None, Query(alias="from", description="first day, YYYY-MM-DD; 90 days before `to` by default")]
To = Annotated[str | None, Query(description="last day, YYYY-MM-DD; today by default")]
Metric = Annotated[str, StringConstraints(pattern=r"^(use|in|out|both):.")]
Sort = Literal[
    "name", "-name", "ri", "-ri", "rv", "-rv", "last_seen", "-last_seen",
    "next_due_at", "-next_due_at", "first_seen", "-first_seen",
]  # fmt: skip


@router.get("")
async def list_relationships(
    deps: Wired,
    caller: Caller,
    kind: Filter = None,
    segment: Filter = None,
    owner: Filter = None,
    band: Annotated[BandName | None, Query(description="band of the RI")] = None,
    stage: Filter = None,
    q: Annotated[str | None, Query(max_length=200, description="text in the name or the id")] = None,
    sort: Annotated[Sort, Query(description="`-` first for descending; without a value last")] = "ri",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> PageOf[RelationshipShort]:
    """The portfolio, page by page. Keep filters and sort the same while walking through pages."""
    query = RelationshipQuery(
        kind=kind, segment=segment, owner=owner, band=band, stage=stage, text=q, sort=sort, cursor=cursor, limit=limit
    )
    with refused_by_store():
        page = await deps.store.list_relationships(caller.tenant, query)
    return PageOf(items=[shown.relationship_short(state) for state in page.items], next=page.next)


@router.get("/{id:path}/timeline")
async def read_timeline(
    deps: Wired, caller: Caller, id: str, cursor: Cursor = None, limit: Limit = 50
) -> PageOf[TouchpointOut]:
    """Touchpoints, newest first by event time. Usage is counted per day instead: see metrics."""
    state = await _head(deps, caller, id)
    with refused_by_store():
        page = await deps.store.timeline(caller.tenant, state.relationship, cursor, limit)
    # An entry without type is a retraction whose event has not come yet: there is nothing to show.
    return PageOf(items=[shown.touchpoint_out(entry) for entry in page.items if entry.type], next=page.next)


@router.get("/{id:path}/metrics")
async def read_metrics(
    deps: Wired,
    caller: Caller,
    id: str,
    metric: Annotated[
        list[Metric] | None,
        Query(description="`use:FEATURE`, `in:CHANNEL`, `out:CHANNEL`, `both:CHANNEL`; `use:*` for all of a family"),
    ] = None,
    first: From = None,
    to: To = None,
    by: Annotated[Literal["person"] | None, Query(description="a series for each person")] = None,
) -> MetricsOut:
    """Counts per day, zero-filled, at most 400 days."""
    state = await _head(deps, caller, id)
    days = series.days_between(first, to, deps.clock())
    months = await deps.store.month_range(caller.tenant, state.relationship, *series.months_of(days))
    return series.daily_counts(months, days, tuple(metric or ("use:*",)), by_person=by == "person")


@router.get("/{id:path}/scores")
async def read_scores(deps: Wired, caller: Caller, id: str, first: From = None, to: To = None) -> ScoreHistory:
    """RI and RV by day, as of the last canonical evaluation of each day on which there was one."""
    state = await _head(deps, caller, id)
    days = series.days_between(first, to, deps.clock())
    months = await deps.store.month_range(caller.tenant, state.relationship, *series.months_of(days))
    return series.score_history(months, days)


@router.get("/{id:path}", responses=CONDITIONAL)
async def read_relationship(
    deps: Wired,
    response: Response,
    caller: Caller,
    id: str,
    if_none_match: Annotated[str | None, Header(alias="If-None-Match", max_length=500)] = None,
) -> RelationshipOut:
    """A relationship: scores with their factors and reasons, flags with numbers and evidence, people, promises."""
    state = await _head(deps, caller, id)
    if if_none_match and etag_matches(if_none_match, state.rev):
        return Response(status_code=304, headers={"ETag": etag(state.rev)})  # type: ignore[return-value]
    response.headers["ETag"] = etag(state.rev)
    today = day_of(state.clock)
    first, last = month_of(today - FEATURE_DAYS), month_of(today)
    months = await deps.store.month_range(caller.tenant, state.relationship, first, last)
    found = await asyncio.to_thread(features, state, months)  # loads the compiled loops, the first time
    return shown.relationship_out(state, found)


async def _head(deps: Deps, caller: Caller, part: str) -> RelationshipState:
    id = segment_id(part)
    state = await deps.store.relationship(caller.tenant, id)
    if state is None:
        raise Problem(
            404,
            "not-found",
            f"There is no relationship {id!r}: find its id with GET /v1/relationships?q=…, and percent-encode it "
            "in the path.",
        )
    return state
