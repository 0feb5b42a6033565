"""Errors as problem documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from starlette.responses import Response

from shared.domain.contract.accepting import Rejection
from shared.problems import MEDIA_TYPE, RETRY_AFTER_SECONDS, problem_document


def problem(
    status: int, slug: str, detail: str, rejected: Sequence[Rejection] = (), headers: Mapping[str, str] | None = None
) -> Response:
    """The answer that tells of a problem; it lists items where some were rejected."""
    members = {"rejected": rejected} if rejected else {}
    document = problem_document(status, slug, detail, **members)
    return Response(msgspec.json.encode(document), status, dict(headers or {}), MEDIA_TYPE)


def try_later(detail: str) -> Response:
    """503: nothing is wrong with the request, send it again."""
    text = f"{detail.rstrip('.')}. Nothing was acknowledged: send the same events again, they count once."
    return problem(503, "unavailable", text, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
