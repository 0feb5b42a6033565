"""`POST /v1/events`: from a request to its answer."""

from __future__ import annotations

import asyncio

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from services.ingest.access import Access, Refused
from services.ingest.intake import Delivery, Intake, Item, Receipt
from services.ingest.problems import problem, try_later
from services.ingest.sources.cloudevents import (
    BATCH,
    JSON,
    STRUCTURED,
    binary_event,
    events_of,
    http_attribute,
    media_type,
)
from shared.domain.errors import Poison, Unavailable
from shared.stream.quarantine import HTTP
from shared.telemetry import logger

ATTRIBUTE = "ce-"  # prefix of the headers that carry attributes in binary mode
BODY_SECONDS = 30.0  # a sender that trickles would keep up to 4 MB of memory for ever
MAX_ITEMS = 50_000  # more events do not fit into 4 MB; two million items that are none take gigabytes to refuse
TENANT_HEADER = "rapport-tenant"
MEDIA_TYPES = (
    f"{BATCH} (an array of events), {STRUCTURED} (one event), or {JSON} (either; or data alone, with ce- headers)"
)


class Events:
    """The endpoint; `post` is what the route calls."""

    def __init__(self, intake: Intake, access: Access, max_batch_bytes: int) -> None:
        self._intake = intake
        self._access = access
        self._max_batch_bytes = max_batch_bytes

    async def post(self, request: Request) -> Response:
        """202 when an item was accepted (or none was sent), else a problem; answered once all is in the log."""
        try:
            tenant = await self._tenant(request)
            media = _media(request)
            body = await self._body(request)
            return _answer(await self._take(request, tenant, media, body))
        except Refused as refused:
            headers = {"WWW-Authenticate": 'Bearer realm="rapport"'} if refused.status == 401 else {}
            return problem(refused.status, refused.reason, refused.detail, headers=headers)
        except Declined as declined:
            return problem(declined.status, declined.slug, declined.detail)
        except Unavailable as error:
            logger().warning("events not taken", error=str(error))
            return try_later(str(error))
        except ClientDisconnect:
            return problem(400, "disconnected", "The body ended before it was complete.")

    async def _tenant(self, request: Request) -> str:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise Refused(401, "no_key", "Send the header `Authorization: Bearer rk_write_...` with your write key.")
        tenant = await self._access.tenant(key.strip())
        # For tools that handle several tenants' events: a mistaken key must not mix them.
        if request.headers.get(TENANT_HEADER, tenant) != tenant:
            raise Refused(403, "other_tenant", f"The key is not one of the tenant that `{TENANT_HEADER}` names.")
        return tenant

    async def _body(self, request: Request) -> bytes:
        """The whole body; given up as soon as it is too long, or takes too long."""
        limit = self._max_batch_bytes
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > limit:
            raise _too_large(limit)
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > limit:
                        raise _too_large(limit)
        except TimeoutError as error:
            detail = f"The body did not arrive within {BODY_SECONDS:g} s: send smaller batches."
            raise Declined(408, "too_slow", detail) from error
        return bytes(body)

    async def _take(self, request: Request, tenant: str, media: str, body: bytes) -> Receipt:
        if "ce-specversion" in request.headers:
            named = [
                (name[len(ATTRIBUTE) :], http_attribute(value))
                for name, value in request.headers.items()
                if name.startswith(ATTRIBUTE)
            ]
            return await self._intake.take(Delivery(tenant, HTTP, [Item(binary_event(named, media, body))]))
        try:
            items = [Item(raw) for raw in events_of(media, body)]
        except Poison as poison:
            return await self._intake.refuse(Delivery(tenant, HTTP, [Item(body)]), poison.reason, poison.detail)
        if len(items) > MAX_ITEMS:
            raise Declined(413, "too_large", f"A batch may have {MAX_ITEMS:,} events: send smaller ones.")
        return await self._intake.take(Delivery(tenant, HTTP, items))


class Declined(Exception):
    """The request as a whole cannot be read: HTTP status, slug, and what to do."""

    def __init__(self, status: int, slug: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.slug = slug
        self.detail = detail


def _too_large(limit: int) -> Declined:
    return Declined(413, "too_large", f"A body may have {limit:,} bytes: send the events in smaller batches.")


def _media(request: Request) -> str:
    """The media type. Raises Declined for one that is not taken; in binary mode only JSON data is."""
    media, charset = media_type(request.headers.get("content-type", ""))
    known = (JSON,) if "ce-specversion" in request.headers else (JSON, STRUCTURED, BATCH)
    if media not in known:
        raise Declined(415, "unsupported_media_type", f"Set Content-Type to {MEDIA_TYPES}.")
    if charset not in ("utf-8", "utf8", "us-ascii"):
        raise Declined(415, "unsupported_media_type", "Send UTF-8: leave out charset or set it to utf-8.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Declined(415, "unsupported_media_type", "Send the body uncompressed: leave out Content-Encoding.")
    return media


def _answer(receipt: Receipt) -> Response:
    rejected = receipt.rejected
    if receipt.accepted or not rejected:
        return Response(msgspec.json.encode(receipt), 202, media_type=JSON)
    broken = all(rejection.reason in ("malformed_json", "not_a_batch") for rejection in rejected)
    detail = "No event was accepted; see `rejected` for each one's reason. They are kept in quarantine."
    return problem(400 if broken else 422, "rejected", detail, rejected)
