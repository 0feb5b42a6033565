"""An HTTP client that saturates a server: so many kept-alive connections, on each the next request after the answer.

Closed loop: it finds how much a server can do, and says nothing about latency.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import cycle
from typing import cast
from urllib.parse import urlsplit

import httptools


class Load:
    """What all connections share: requests to send in turn, and the answers so far."""

    def __init__(self, requests: Sequence[bytes], status: int, answer: bytes) -> None:
        """`requests` are whole, states and bodies; any other answer than this one fails the bench."""
        self.requests: Iterator[bytes] = cycle(requests)
        self.status = status
        self.answer = answer
        self.answered = 0
        self.stopping = False
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def fail(self, why: str) -> None:
        if not self.failed.done():
            self.failed.set_exception(RuntimeError(why))

    async def over(self, seconds: float) -> int:
        """Answers within the next `seconds`. Raises RuntimeError as soon as one is not what it must be."""
        before = self.answered
        await asyncio.wait({self.failed}, timeout=seconds)
        if self.failed.done():
            self.failed.result()
        return self.answered - before


class _Connection(asyncio.Protocol):
    """One connection, with one request under way at a time."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._parser = httptools.HttpResponseParser(self)
        self._body = b""
        self._transport: asyncio.Transport | None = None
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self._next()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, error: Exception | None) -> None:
        if not self._load.stopping:
            self._load.fail(f"the server closed a connection: {error}")
        if not self.closed.done():
            self.closed.set_result(None)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status != self._load.status or self._body != self._load.answer:
            self._load.fail(f"the server answered {status}: {self._body[:500]!r}")
            return
        self._load.answered += 1
        self._body = b""
        self._next()

    def _next(self) -> None:
        assert self._transport is not None
        if self._load.stopping:
            self._transport.close()
        else:
            self._transport.write(next(self._load.requests))


def http_request(url: str, headers: dict[str, str], body: bytes) -> bytes:
    """A whole POST as bytes."""
    parts = urlsplit(url)
    fields = {"Host": parts.netloc, **headers, "Content-Length": str(len(body))}
    state = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST {parts.path} HTTP/1.1\r\n{state}\r\n".encode() + body


@asynccontextmanager
async def closed_loop(url: str, load: Load, connections: int) -> AsyncIterator[None]:
    """Under load while the block runs; every request under way is answered before it ends."""
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    made = []
    for _ in range(connections):
        _, connection = await loop.create_connection(lambda: _Connection(load), parts.hostname or "", parts.port or 80)
        made.append(connection)
    try:
        yield
    finally:
        load.stopping = True
        await asyncio.wait({connection.closed for connection in made}, timeout=30)
