"""A small ingest on loopback that holds events to the real contract and keeps what it accepted."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec

from shared.clock import now_ms
from shared.domain.contract.accepting import Acceptance, Rejection, accept_all
from shared.domain.contract.events import Interaction, event_key

KEY = "rk_write_test_" + "s" * 32


class FakeIngest:
    """Answers batches as ingest does. `troubles` are answers (status, headers) given first, one a request."""

    def __init__(self) -> None:
        self.accepted: list[Interaction] = []
        self.troubles: list[tuple[int, dict[str, str]]] = []
        self.batches: list[int] = []
        self.url = ""
        self.stop_after = 0  # answer 503 for ever once so many events were accepted; 0 = never
        self._lock = threading.Lock()

    def ids(self) -> set[str]:
        return {event_key(event.source, event.id) for event in self.accepted}

    def answer(self, authorization: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if authorization != f"Bearer {KEY}":
            return 401, {}, b'{"title": "the write key is not known"}'
        with self._lock:
            if self.troubles:
                status, headers = self.troubles.pop(0)
                return status, headers, b"busy"
            if self.stop_after and len(self.accepted) >= self.stop_after:
                return 503, {"Retry-After": "0.01"}, b"the broker does not answer"
            raws = msgspec.json.decode(body, type=list[msgspec.Raw])
            answers = accept_all(raws, Acceptance("test", now_ms(), lambda _tenant, subject: subject))
            taken = [answer for answer in answers if isinstance(answer, Interaction)]
            self.accepted += taken
            self.batches.append(len(raws))
        rejected = [answer for answer in answers if isinstance(answer, Rejection)]
        return 202, {}, msgspec.json.encode({"accepted": len(taken), "rejected": rejected})


@contextmanager
def fake_ingest() -> Iterator[FakeIngest]:
    """Runs one on a free port of loopback."""
    ingest = FakeIngest()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status, headers, answer = ingest.answer(self.headers.get("authorization", ""), body)
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(answer))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *arguments: Any) -> None:
            """Nothing on standard error."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    ingest.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield ingest
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
