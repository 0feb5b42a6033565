"""Errors as RFC 9457 `application/problem+json`; `detail` says what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus

import msgspec
from starlette.responses import Response

from shared.domain.contract import Rejection

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 2


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """The problem document; `rejected` lists items where there were any."""

    type: str
    title: str
    status: int
    detail: str
    rejected: Sequence[Rejection] = ()


def problem(
    status: int, slug: str, detail: str, rejected: Sequence[Rejection] = (), headers: Mapping[str, str] | None = None
) -> Response:
    """The answer that tells of a problem."""
    document = Problem(f"urn:rapport:problem:{slug}", HTTPStatus(status).phrase, status, detail, tuple(rejected))
    return Response(msgspec.json.encode(document), status, dict(headers or {}), MEDIA_TYPE)


def try_later(detail: str) -> Response:
    """503: nothing is wrong with the request, send it again."""
    text = f"{detail.rstrip('.')}. Nothing was acknowledged: send the same events again, they count once."
    return problem(503, "unavailable", text, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
