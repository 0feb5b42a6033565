"""/v1/alerts: the inbox, one alert, and what people do to it."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response

from services.api.actions import KeyReused, Precondition, Stale
from services.api.auth import Caller
from services.api.deps import Wired
from services.api.edges import CONDITIONAL, TAGGED, etag, etag_matches, fingerprint_id
from services.api.problems import Problem, refused_by_store
from services.api.schemas import AlertDetail, AlertOut, Comment, Note, PageOf, SeverityName, StateName
from shared.domain.alerts.alert import Alert
from shared.domain.alerts.lifecycle import Refused
from shared.domain.alerts.present import alert_json
from shared.storage.store import AlertQuery

router = APIRouter(prefix="/v1/alerts", tags=["alerts"])

Limit = Annotated[int, Query(ge=1, le=500, description="at most this many")]
Cursor = Annotated[str | None, Query(max_length=2000, description="`next` of the page before")]
Filter = Annotated[str | None, Query(max_length=512)]
IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", max_length=500, description="the ETag that you have seen: 412 if it has changed since"),
]
IdempotencyKey = Annotated[
    str | None,
    Header(alias="Idempotency-Key", max_length=200, description="the same key twice on an alert makes one comment"),
]


@router.get("", response_model_exclude_unset=True)
async def list_alerts(
    deps: Wired,
    caller: Caller,
    state: Annotated[list[StateName] | None, Query(description="may be given several times")] = None,
    severity: SeverityName | None = None,
    rule: Filter = None,
    relationship: Filter = None,
    owner: Filter = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> PageOf[AlertOut]:
    """Alerts in their latest episode, newest first by `opened_at`."""
    query = AlertQuery(
        states=tuple(state) if state else None,
        severity=severity,
        rule=rule,
        relationship=relationship,
        owner=owner,
        cursor=cursor,
        limit=limit,
    )
    with refused_by_store():
        page = await deps.store.list_alerts(caller.tenant, query)
    return PageOf(items=[_shown(alert) for alert in page.items], next=page.next)


@router.get(
    "/{id:path}",
    response_model_exclude_unset=True,
    responses=CONDITIONAL,
)
async def read_alert(
    deps: Wired,
    response: Response,
    caller: Caller,
    id: str,
    if_none_match: Annotated[str | None, Header(alias="If-None-Match", max_length=500)] = None,
) -> AlertDetail:
    """An alert with its timeline and closed episodes. The id goes percent-encoded into the path."""
    fingerprint = fingerprint_id(id)
    alert = await deps.store.alert(caller.tenant, fingerprint)
    if alert is None:
        raise _unknown(fingerprint)
    tag = etag(alert.version)
    if if_none_match and etag_matches(if_none_match, alert.version):
        return Response(status_code=304, headers={"ETag": tag})  # type: ignore[return-value]
    response.headers["ETag"] = tag
    episodes = await deps.store.episodes(caller.tenant, alert.id)
    return AlertDetail.model_validate({**alert_json(alert), "episodes": [alert_json(one) for one in episodes]})


@router.post("/{id:path}/acknowledge", response_model_exclude_unset=True, responses=TAGGED)
async def acknowledge(
    deps: Wired, response: Response, caller: Caller, id: str, note: Note | None = None, if_match: IfMatch = None
) -> AlertOut:
    """Somebody takes it on. Doing it again changes nothing; a resolved alert answers 409."""
    note, fingerprint = note or Note(), fingerprint_id(id)
    who = note.who or caller.name
    action = deps.actions.acknowledge(caller.tenant, fingerprint, who, note.text, when=_precondition(if_match))
    return await _answer(action, fingerprint, response)


@router.post("/{id:path}/resolve", response_model_exclude_unset=True, responses=TAGGED)
async def resolve(
    deps: Wired, response: Response, caller: Caller, id: str, note: Note | None = None, if_match: IfMatch = None
) -> AlertOut:
    """Somebody closes it by hand. Doing it again changes nothing. It opens again if its rule fires once more."""
    note, fingerprint = note or Note(), fingerprint_id(id)
    who = note.who or caller.name
    action = deps.actions.resolve(caller.tenant, fingerprint, who, note.text, when=_precondition(if_match))
    return await _answer(action, fingerprint, response)


@router.post("/{id:path}/comment", response_model_exclude_unset=True, responses=TAGGED)
async def comment(
    deps: Wired,
    response: Response,
    caller: Caller,
    id: str,
    said: Comment,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> AlertOut:
    """A remark on the alert's timeline, in any state."""
    fingerprint = fingerprint_id(id)
    action = deps.actions.comment(
        caller.tenant,
        fingerprint,
        said.who or caller.name,
        said.text,
        key=f"{caller.key}:{idempotency_key}" if idempotency_key else "",
        when=_precondition(if_match),
    )
    return await _answer(action, fingerprint, response)


async def _answer(action: Awaitable[Alert | None], id: str, response: Response) -> AlertOut:
    try:
        alert = await action
    except Refused as error:
        raise Problem(409, "refused", str(error)) from error
    except Stale as error:
        detail = f"The alert is at version {error.version} by now: read it again, and repeat what is still wanted."
        raise Problem(412, "changed", detail, headers={"ETag": etag(error.version)}) from error
    except KeyReused as error:
        detail = "This Idempotency-Key was used for another comment on this alert: use a new key for a new comment."
        raise Problem(422, "idempotency-key-reused", detail) from error
    if alert is None:
        raise _unknown(id)
    response.headers["ETag"] = etag(alert.version)
    return _shown(alert)


def _shown(alert: Alert) -> AlertOut:
    return AlertOut.model_validate(alert_json(alert))


def _precondition(if_match: str | None) -> Precondition | None:
    return (lambda alert: etag_matches(if_match, alert.version)) if if_match else None


def _unknown(id: str) -> Problem:
    return Problem(
        404,
        "not-found",
        f"There is no alert {id!r}: take the id from GET /v1/alerts and percent-encode it in the path.",
    )
