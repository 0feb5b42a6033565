"""ASGI layers around the routes: ids with slashes in paths, limits on bodies, security headers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.problems import MEDIA_TYPE, problem_document

MAX_BODY_BYTES = 64 * 1024
PREFIX = "/v1/"

_KEPT = re.compile(r"%(2f|25)", re.IGNORECASE)

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}
API_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "private, no-cache",
}


class EncodedSlashes:
    """Keeps `%2F` and `%25` of a /v1 path as they were sent, so that an encoded id is one segment of the path."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw = scope.get("raw_path")
        if scope["type"] == "http" and raw and scope["path"].startswith(PREFIX):
            path = raw.partition(b"?")[0].decode("ascii", "replace")
            scope = {**scope, "path": unquote(_KEPT.sub(r"%25\1", path))}
        await self.app(scope, receive, send)


def segment_id(part: str) -> str:
    """The id in a path parameter; slashes may have come encoded or as they are."""
    return unquote(part)


def fingerprint_id(part: str) -> str:
    """The alert id in a path parameter: encoded whole, or pasted into the path as it is."""
    # A fingerprint holds %2F and %25 of its own: pasted as it is, they are part of it.
    id = part if "/" in part else unquote(part)
    # An empty subject ends the fingerprint in a slash, which proxies and clients like to drop.
    return id + "/" if id.count("/") == 2 else id


class BodyLimit:
    """Answers 413 to a /v1 request whose body is larger than MAX_BODY_BYTES, before any of it is parsed."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX) or scope["method"] in ("GET", "HEAD"):
            await self.app(scope, receive, send)
            return
        chunks: list[bytes] = []
        size = 0
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > MAX_BODY_BYTES:
                await _too_large(scope, send)
                return
            more = message.get("more_body", False)
        whole: Iterable[Message] = iter([{"type": "http.request", "body": b"".join(chunks), "more_body": False}])

        async def replay() -> Message:
            for message in whole:
                return message
            return await receive()

        await self.app(scope, replay, send)


async def _too_large(scope: Scope, send: Send) -> None:
    detail = f"A request's body may have up to {MAX_BODY_BYTES} bytes: send less."
    body = problem_document(413, "too-large", detail, instance=scope["path"])
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})


class SecurityHeaders:
    """Adds the usual headers to every answer, and those of a machine interface to the ones under /v1."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        wanted = SECURITY_HEADERS | (API_HEADERS if scope["path"].startswith(PREFIX) else {})

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in wanted.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, with_headers)


_ETAG = {"ETag": {"description": "the version, for If-None-Match and If-Match", "schema": {"type": "string"}}}
TAGGED: dict[int | str, dict[str, Any]] = {200: {"headers": _ETAG}}
"""Describes an answer that carries its version."""

CONDITIONAL: dict[int | str, dict[str, Any]] = {
    **TAGGED,
    304: {"description": "still the version named in If-None-Match", "headers": _ETAG},
}


def etag(version: int) -> str:
    """The entity tag of a document's version."""
    return f'"{version}"'


def etag_matches(header: str, version: int) -> bool:
    """Whether an If-None-Match or If-Match header names this version."""
    return header.strip() == "*" or etag(version) in (tag.strip().removeprefix("W/") for tag in header.split(","))
