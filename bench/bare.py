"""The least that an HTTP server in Python can do with an event: read the body and answer. `python -m bench.bare PORT`.

uvicorn as ingest runs it (uvloop, httptools, no access log), around an ASGI function. What ingest costs is held
against this.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
import uvloop

from shared.embedded.ports import LOOPBACK

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

ANSWER = b'{"accepted":1,"rejected":[]}'
START = {
    "type": "http.response.start",
    "status": 202,
    "headers": [(b"content-length", str(len(ANSWER)).encode()), (b"content-type", b"application/json")],
}
BODY = {"type": "http.response.body", "body": ANSWER}


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Any request: 202, as soon as its body is there."""
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    await send(START)
    await send(BODY)


def main() -> None:
    """Serve on this loopback port until a signal ends it."""
    config = uvicorn.Config(
        app,
        host=LOOPBACK,
        port=int(sys.argv[1]),
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
        server_header=False,
    )
    uvloop.run(uvicorn.Server(config).serve())


if __name__ == "__main__":
    main()
