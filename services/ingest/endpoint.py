"""`POST /v1/events`: from a request to its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from time import monotonic

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services.ingest.access import Access, AccessDenied
from services.ingest.deadline import Deadline
from services.ingest.gathering import Gathering
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

Headers = Mapping[bytes, bytes]
"""Header fields of a request by name in lower case."""

ATTRIBUTE = b"ce-"  # prefix of the headers that carry attributes in binary mode
SPECVERSION = ATTRIBUTE + b"specversion"  # says that it is binary mode
BODY_SECONDS = 30.0  # a sender that trickles would keep up to 4 MB of memory for ever
MAX_ITEMS = 50_000  # more events do not fit into 4 MB; two million items that are none take gigabytes to refuse
TENANT_HEADER = b"rapport-tenant"
MEDIA_TYPES = (
    f"{BATCH} (an array of events), {STRUCTURED} (one event), or {JSON} (either; or data alone, with ce- headers)"
)


class Events:
    """The endpoint; `post` is what the route calls."""

    def __init__(
        self, intake: Intake, access: Access, max_batch_bytes: int, clock: Callable[[], float] = monotonic
    ) -> None:
        self._intake = intake
        self._access = access
        self._max_batch_bytes = max_batch_bytes
        self._deadline = Deadline(BODY_SECONDS)
        self._gathering = Gathering(intake, clock=clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The endpoint as an ASGI application."""
        response = await self.post(scope, receive)
        await response(scope, receive, send)

    async def post(self, scope: Scope, receive: Receive) -> Response:
        """202 when an item was accepted (or none was sent), else a problem; answered once all is in the log."""
        headers: Headers = dict(reversed(scope["headers"]))  # of several of a name, the first
        try:
            tenant = await self._tenant(headers)
            media = _media(headers)
            body = await self._body(headers, receive)
            return _answer(await self._take(headers, tenant, media, body))
        except AccessDenied as refused:
            challenge = {"WWW-Authenticate": 'Bearer realm="rapport"'} if refused.status == 401 else {}
            return problem(refused.status, refused.reason.replace("_", "-"), refused.detail, headers=challenge)
        except Declined as declined:
            return problem(declined.status, declined.slug, declined.detail)
        except Unavailable as error:
            logger().warning("events not taken", error=str(error))
            return try_later(str(error))

    async def _tenant(self, headers: Headers) -> str:
        scheme, _, key = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer":
            raise AccessDenied(
                401, "no_key", "Send the header `Authorization: Bearer rk_write_...` with your write key."
            )
        tenant = await self._access.tenant(key.strip().decode("latin-1"))
        # For tools that handle several tenants' events: a mistaken key must not mix them.
        if TENANT_HEADER in headers and headers[TENANT_HEADER] != tenant.encode():
            raise AccessDenied(403, "other_tenant", "The key is not one of the tenant that `rapport-tenant` names.")
        return tenant

    async def _body(self, headers: Headers, receive: Receive) -> bytes:
        """The whole body; given up as soon as it is too long, or takes too long."""
        declared = headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared) > self._max_batch_bytes:
            raise _too_large(self._max_batch_bytes)
        try:
            return await self._deadline.within(_read(receive, self._max_batch_bytes))
        except TimeoutError as error:
            detail = f"The body did not arrive within {self._deadline.seconds:g} s: send smaller batches."
            raise Declined(408, "too-slow", detail) from error

    async def _take(self, headers: Headers, tenant: str, media: str, body: bytes) -> Receipt:
        if SPECVERSION in headers:
            named = [
                (name[len(ATTRIBUTE) :].decode("latin-1"), http_attribute(value.decode("latin-1")))
                for name, value in headers.items()
                if name.startswith(ATTRIBUTE)
            ]
            return await self._gathering.take(tenant, [Item(binary_event(named, media, body))], len(body))
        try:
            items = [Item(raw) for raw in events_of(media, body)]
        except Poison as poison:
            return await self._intake.refuse(Delivery(tenant, HTTP, [Item(body)]), poison.reason, poison.detail)
        if len(items) > MAX_ITEMS:
            raise Declined(413, "too-large", f"A batch may have {MAX_ITEMS:,} events: send smaller ones.")
        return await self._gathering.take(tenant, items, len(body))


class Declined(Exception):
    """The request as a whole cannot be read: HTTP status, slug, and what to do."""

    def __init__(self, status: int, slug: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.slug = slug
        self.detail = detail


def _too_large(limit: int) -> Declined:
    return Declined(413, "too-large", f"A body may have {limit:,} bytes: send the events in smaller batches.")


async def _read(receive: Receive, limit: int) -> bytes:
    """The body, in one piece as a rule. Raises Declined when it is longer than `limit`, or ends too early."""
    chunks, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Declined(400, "disconnected", "The body ended before it was complete.")
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > limit:
            raise _too_large(limit)
        if not message.get("more_body", False):
            return b"".join(chunks)


def _media(headers: Headers) -> str:
    """The media type. Raises Declined for one that is not taken; in binary mode only JSON data is."""
    media, charset = media_type(headers.get(b"content-type", b"").decode("latin-1"))
    known = (JSON,) if SPECVERSION in headers else (JSON, STRUCTURED, BATCH)
    if media not in known:
        raise Declined(415, "unsupported-media-type", f"Set Content-Type to {MEDIA_TYPES}.")
    if charset not in ("utf-8", "utf8", "us-ascii"):
        raise Declined(415, "unsupported-media-type", "Send UTF-8: leave out charset or set it to utf-8.")
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise Declined(415, "unsupported-media-type", "Send the body uncompressed: leave out Content-Encoding.")
    return media


def _answer(receipt: Receipt) -> Response:
    rejected = receipt.rejected
    if not rejected:
        return _accepted(receipt.accepted)
    if receipt.accepted:
        return Response(msgspec.json.encode(receipt), 202, media_type=JSON)
    broken = all(rejection.reason in ("malformed_json", "not_a_batch") for rejection in rejected)
    detail = "No event was accepted; see `rejected` for each one's reason. They are kept in quarantine."
    return problem(400 if broken else 422, "rejected", detail, rejected)


@lru_cache(maxsize=256)
def _accepted(count: int) -> Response:
    return Response(msgspec.json.encode(Receipt(count)), 202, media_type=JSON)
