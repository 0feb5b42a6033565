"""What senders wrote, shown to an operator: whole where it is piped, legible on a terminal, and harmless to it."""

from __future__ import annotations

import asyncio
import io
import json
import unicodedata
from collections.abc import Callable

import httpx
import pytest
from click.testing import Result
from rich.console import Console
from typer.testing import CliRunner

from shared.cli import quarantine
from shared.cli.quarantine import quarantine_app, table
from shared.stream.memory import MemoryLog
from shared.stream.quarantine import HTTP, Entry, Quarantined, Reason, quarantine_message
from shared.stream.topics import QUARANTINE

HOSTILE = "\x1b]0;pwn\x07\x1b[31mRED\x7f\x9b1m\u202egpj\u2066\n[/] :smile:"
HARMLESS = "\\u001b]0;pwn\\u0007\\u001b[31mRED\\u007f\\u009b1m\\u202egpj\\u2066\\u000a[/] :smile:"
NOW = 1_790_000_000_000
DETAIL = (
    "`time` is more than 24 hours ahead of the receipt; set the sender's clock, and send what is planned as a type."
)

Run = Callable[..., Result]


@pytest.fixture
def log() -> MemoryLog:
    log = MemoryLog()
    log.create(QUARANTINE, 1)
    return log


@pytest.fixture
def run(log: MemoryLog, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(quarantine, "KafkaReader", lambda bootstrap: log.reader())
    return lambda *arguments: CliRunner().invoke(quarantine_app, arguments)


def put(log: MemoryLog, id: str, tenant: str = "acme", detail: str = DETAIL) -> None:
    message = quarantine_message(tenant, HTTP, Reason("future_time", detail, id), NOW, id.encode())
    asyncio.run(log.publisher().publish(QUARANTINE, 0, [message]))


def entry(offset: int, id: str, tenant: str = "acme") -> Entry:
    return Entry(offset, Quarantined(tenant, HTTP, "unsupported_specversion", DETAIL, NOW, b"{}", 2, id))


def on_terminal(width: int, *entries: Entry) -> str:
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(table(entries))
    return console.export_text()


def is_harmless(text: str) -> bool:
    """Nothing in it moves a cursor or turns a line, save the ends of lines and cells that are ours."""
    return not any(unicodedata.category(each) in ("Cc", "Cf") for each in text if each not in "\n\t")


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("arguments", [("list",), ("show", "0")])
def test_control_characters_of_a_sender_are_shown_and_not_obeyed(
    log: MemoryLog, run: Run, arguments: tuple[str, ...]
) -> None:
    put(log, HOSTILE, HOSTILE, HOSTILE)
    done = run(*arguments)
    assert done.exit_code == 0, done.output
    assert is_harmless(done.stdout)
    assert done.stdout.count(HARMLESS) == (3 if arguments == ("list",) else 4)


@pytest.mark.parametrize("arguments", [("list",), ("show", "0")])
def test_json_is_the_same_without_them(log: MemoryLog, run: Run, arguments: tuple[str, ...]) -> None:
    put(log, f"Zoë {HOSTILE}")
    done = run(*arguments, "--json")
    assert is_harmless(done.stdout)
    assert "Zoë" in done.stdout
    assert json.loads(done.stdout)["id"] == f"Zoë {HOSTILE}"


def test_a_terminal_gets_them_no_more_than_a_pipe() -> None:
    shown = on_terminal(200, entry(3, HOSTILE, HOSTILE))
    assert is_harmless(shown)
    assert HARMLESS in shown


@pytest.mark.parametrize("width", [80, 160])
@pytest.mark.parametrize(("id", "tenant"), [("e" * 14, "acme"), ("e" * 513, "acme"), ("長" * 513, "t" * 513)])
def test_a_terminal_shows_what_replay_needs_however_long_an_id_is(width: int, id: str, tenant: str) -> None:
    shown = on_terminal(width, entry(1_234_567, id, tenant))
    assert all(part in shown for part in ("1234567", "2026-09-21T14:13:20.000Z", tenant[:14], "http", id[:5]))
    assert "unsupported_specversion" in shown
    assert words(DETAIL) in words(shown)
    assert "…" in shown or len(id) < 20
    assert len(shown.splitlines()) <= 5


def test_a_pipe_gets_everything_whole_one_entry_a_line(log: MemoryLog, run: Run) -> None:
    put(log, "e" * 512)
    header, line, end = run("list").stdout.splitlines()
    assert dict(zip(header.split("\t"), line.split("\t"), strict=True)) == {
        "offset": "0",
        "received": "2026-09-21T14:13:20.000Z",
        "tenant": "acme",
        "source": "http",
        "id": "e" * 512,
        "reason": "future_time",
        "detail": DETAIL,
    }
    assert end == "1 of 1 shown."


def test_what_ingest_says_of_a_replay_is_harmless_too(
    log: MemoryLog, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(status: int) -> Callable[[httpx.Request], httpx.Response]:
        return lambda request: httpx.Response(status, json={"detail": HOSTILE})

    put(log, "e-1")
    client = httpx.AsyncClient
    for status in (422, 503):
        transport = httpx.MockTransport(answer(status))
        monkeypatch.setattr(
            httpx, "AsyncClient", lambda transport=transport, **known: client(transport=transport, **known)
        )
        done = run("replay", "0", "--write-key", "k")
        assert HARMLESS in done.output
        assert done.exit_code == 1
