"""What the ingest bench makes of its measurements, and that its requests are what ingest takes."""

from __future__ import annotations

import json
import os

import httptools
import pytest

from bench.closed_loop import http_request
from bench.ingest import KINDS, Kind, Measured, prepared, summary, table
from bench.process_cpu import cpu_seconds
from services.ingest.sources.cloudevents import events_of
from shared.domain.contract.accepting import Acceptance, accept_all
from shared.domain.contract.events import Interaction
from shared.domain.keys import format_key

KEY = format_key("write", "bench", "c2VjcmV0LXNlY3JldC1zZWNyZXQ")


class Heard:
    """A request as a server hears it."""

    def __init__(self, request: bytes) -> None:
        self.headers: dict[str, str] = {}
        self.body = b""
        self.complete = False
        parser = httptools.HttpRequestParser(self)
        parser.feed_data(request)
        self.method = parser.get_method()

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode().lower()] = value.decode()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True


@pytest.mark.parametrize("events", [1, 100])
def test_requests_are_whole_and_every_event_in_them_is_accepted(events: int) -> None:
    requests = prepared("http://127.0.0.1:1/v1/events", Kind(events, 1, 3), KEY)
    assert len(requests) == 3
    ids = set()
    for request in requests:
        heard = Heard(request)
        assert (heard.method, heard.complete) == (b"POST", True)
        raws = events_of(heard.headers["content-type"], heard.body)
        answers = accept_all(raws, Acceptance("bench", 1_790_000_000_000 * 2, lambda _, subject: subject))
        ids |= {answer.id for answer in answers if isinstance(answer, Interaction)}
        assert all(230 <= len(memoryview(raw)) <= 290 for raw in raws)
    assert len(ids) == 3 * events


def test_a_body_keeps_its_length() -> None:
    heard = Heard(http_request("http://127.0.0.1:8081/v1/events", {"X": "y"}, b"{}"))
    assert heard.headers == {"host": "127.0.0.1:8081", "x": "y", "content-length": "2"}


def rounds(*ingest: tuple[float, float]) -> list[dict[str, dict[str, Measured]]]:
    """Rounds in which the bare app makes 9,000 events a CPU second, and ingest this much in events and batches."""
    found = []
    for single, batch in ingest:
        by_kind = {"single": single, "batch_100": batch, "batch_1000": batch}
        found.append(
            {
                kind: {"bare": Measured(5_000, 9_000, 0.5), "ingest": Measured(rate, rate, 1.0)}
                for kind, rate in by_kind.items()
            }
        )
    return found


def test_ratios_are_taken_within_a_round_and_targets_from_the_median() -> None:
    figures = summary(rounds((6_000, 50_000), (4_500, 39_000), (9_000, 41_000)))
    assert figures["rows"]["single"]["cost_ratio"] == {"min": 1.0, "median": 1.5, "max": 2.0}
    assert figures["rows"]["batch_100"]["ingest"]["events_per_cpu_s"] == {
        "min": 39_000,
        "median": 41_000,
        "max": 50_000,
    }
    assert {kind: target["met"] for kind, target in figures["targets"].items()} == dict.fromkeys(KINDS, True)
    missed = summary(rounds((5_999, 39_999)))
    assert not any(target["met"] for target in missed["targets"].values())
    shown = table({"partitions": 8, "load": 1.0, **json.loads(json.dumps(missed))})
    assert shown.count("MISSED") == 3


def test_cpu_time_grows_with_work() -> None:
    before = cpu_seconds(os.getpid())
    while cpu_seconds(os.getpid()) < before + 0.05:
        sum(range(10_000))
    assert cpu_seconds(os.getpid()) <= sum(os.times()[:2]) + 0.01
