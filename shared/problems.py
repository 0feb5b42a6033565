"""Problem documents (RFC 9457), in which every service tells of an error; `detail` says what to do."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 2


def problem_document(status: int, slug: str, detail: str, **members: Any) -> dict[str, Any]:
    """The document for an HTTP status. `slug` tells kinds of problems apart, in words with hyphens."""
    title = HTTPStatus(status).phrase
    return {"type": f"urn:rapport:problem:{slug}", "title": title, "status": status, "detail": detail, **members}
