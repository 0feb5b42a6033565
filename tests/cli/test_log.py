"""`rapport log show`: a line an event, wherever one begins."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from click.testing import Result
from typer.testing import CliRunner

from shared.cli import log as log_command
from shared.cli.app import app
from shared.domain.contract.events import Interaction
from shared.domain.relationship.fence import position_of
from shared.stream.frames import RECORD_HEADER, clock_message, events_messages
from shared.stream.memory import MemoryLog
from shared.stream.ports import Message
from shared.stream.topics import INTERACTIONS

NOW = 1_790_000_000_000
ANA = "ana@acct-1.example"
USE = Interaction("acme", "acct-1", "u1", "/app", "usage.login", NOW, msgspec.Raw(b'{"person":"ana"}'))
MAIL = Interaction("acme", "acct-1", "m1", "/crm", "message.received", NOW, msgspec.Raw(b"{}"), True, ANA)

Run = Callable[..., Result]


@pytest.fixture
def log() -> MemoryLog:
    log = MemoryLog()
    log.create(INTERACTIONS, 2)
    return log


@pytest.fixture
def run(log: MemoryLog, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(log_command, "KafkaReader", lambda bootstrap: log.reader())
    return lambda *arguments: CliRunner().invoke(app, ["log", "show", *arguments])


def put(log: MemoryLog, *messages: Message, partition: int = 1) -> None:
    asyncio.run(log.publisher().publish(INTERACTIONS, partition, messages))


def lines(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_events_and_clock_records_are_lines(log: MemoryLog, run: Run) -> None:
    put(log, *events_messages([USE, MAIL], "one", NOW), clock_message(NOW, "one"))
    at = "2026-09-21T14:13:20.000Z"
    assert lines(run("--partition", "1")) == [
        {
            "partition": 1,
            "offset": 0,
            "place": 0,
            "position": 0,
            "kind": "event",
            "received": at,
            "tenant": "acme",
            "relationship": "acct-1",
            "id": "u1",
            "source": "/app",
            "type": "usage.login",
            "time": at,
            "data": {"feature": "login", "person": "ana"},
        },
        {
            "partition": 1,
            "offset": 0,
            "place": 1,
            "position": 1,
            "kind": "event",
            "received": at,
            "tenant": "acme",
            "relationship": "acct-1",
            "id": "m1",
            "source": "/crm",
            "type": "message.received",
            "subject": ANA,
            "time": at,
            "data": {},
            "backfill": True,
        },
        {"partition": 1, "offset": 1, "position": position_of(1), "kind": "clock", "now": at},
    ]
    assert lines(run("--partition", "0")) == []


@pytest.mark.parametrize(
    ("begin", "shown"),
    [
        ("0", ["a", "b", "c", "d"]),
        ("1", ["b", "c", "d"]),
        ("0/1", ["b", "c", "d"]),
        (str(position_of(1)), ["c", "d"]),
        ("1/1", ["d"]),
        ("2/0", []),
    ],
)
def test_it_begins_at_a_position_or_at_a_place_of_a_record(
    log: MemoryLog, run: Run, begin: str, shown: list[str]
) -> None:
    a, b, c, d = (msgspec.structs.replace(USE, id=id) for id in "abcd")
    put(log, *events_messages([a, b], "one", NOW), *events_messages([c, d], "one", NOW))
    assert [line["id"] for line in lines(run("--partition", "1", "--from", begin))] == shown


def test_it_ends_after_so_many_lines(log: MemoryLog, run: Run) -> None:
    put(log, *events_messages([USE, USE], "one", NOW), *events_messages([USE, USE], "one", NOW))
    assert len(lines(run("--partition", "1", "--limit", "3"))) == 3


@pytest.mark.parametrize("begin", ["x", "1/", "/1", "1/x", "-1", "1/2/3", " 1", "17/70000", "9" * 5_000])
def test_what_is_no_position_is_said_so(run: Run, begin: str) -> None:
    result = run("--partition", "1", f"--from={begin}")
    assert (result.exit_code, "--from is a position such as 1114116" in result.output) == (1, True)


def test_a_position_beyond_the_log_is_said_so(log: MemoryLog, run: Run) -> None:
    put(log, *events_messages([USE], "one", NOW))
    result = run("--partition", "1", "--from", "5/0")
    assert (result.exit_code, "Offset 5" in result.output) == (1, True)


def test_what_cannot_be_read_is_a_line_of_its_own_and_harmless(log: MemoryLog, run: Run) -> None:
    bad = msgspec.structs.replace(MAIL, source="\x1b[31m", time=2**60, data=msgspec.Raw(b"\xff\x1b"))
    put(log, Message(b"{}", b"acme/acct-1"), *events_messages([bad], "one", NOW))
    unknown, odd = lines(run("--partition", "1"))
    assert (unknown["kind"], unknown["reason"]) == ("unreadable", "undecodable")
    assert (odd["source"], odd["time"], odd["data"]) == ("\x1b[31m", 2**60, "\\xff\x1b")
    assert "\x1b" not in run("--partition", "1").stdout


def test_a_record_of_a_newer_version_is_not_passed_over(log: MemoryLog, run: Run) -> None:
    put(log, Message(b"{}", None, ((RECORD_HEADER, b"merge/1"),)))
    result = run("--partition", "1")
    assert (result.exit_code, "a newer one wrote it" in result.output) == (1, True)
