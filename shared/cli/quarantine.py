"""`rapport quarantine`: see what could not be accepted, and send it again once the cause is gone."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypeVar

import httpx
import msgspec
import typer
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from shared.cli.failing import fail, or_fail
from shared.domain.contract.moments import rfc3339
from shared.domain.errors import Poison, Unavailable
from shared.printable import printable
from shared.settings import read_settings
from shared.stream.ports import LogReader
from shared.stream.quarantine import Entry, as_event, read_quarantine
from shared.stream.reader import KafkaReader

Result = TypeVar("Result")

quarantine_app = typer.Typer(no_args_is_help=True)

COLUMNS = ("offset", "received", "tenant", "source", "id", "reason", "detail")
SHORT = 16
"""Characters of a tenant on a terminal: it comes first, and an id takes what is left of the line."""

Tenant = Annotated[str, typer.Option(help="only this tenant's")]
Reason = Annotated[str, typer.Option(help="only with this reason, such as invalid_field")]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object a line")]
Kafka = Annotated[str, typer.Option(help="bootstrap servers [default: RAPPORT_KAFKA]")]


class Wanted(msgspec.Struct, frozen=True):
    """Which entries: empty means any."""

    tenant: str = ""
    reason: str = ""
    offsets: frozenset[int] = frozenset()

    def takes(self, entry: Entry) -> bool:
        return (
            self.tenant in ("", entry.item.tenant)
            and self.reason in ("", entry.item.reason)
            and (not self.offsets or entry.offset in self.offsets)
        )


class Outcome(msgspec.Struct, frozen=True):
    """What became of an entry that was sent again."""

    offset: int
    accepted: bool
    detail: str


@quarantine_app.command("list")
def list_entries(
    tenant: Tenant = "",
    reason: Reason = "",
    limit: Annotated[int, typer.Option(min=1, help="the newest so many")] = 50,
    as_json: AsJson = False,
    kafka: Kafka = "",
) -> None:
    """List what lies in quarantine, oldest first."""
    entries = _collect(kafka, Wanted(tenant, reason))
    shown = entries[-limit:]
    if as_json:
        for entry in shown:
            _echo_json(described(entry))
        return
    if sys.stdout.isatty():
        Console().print(table(shown))
    else:
        for line in lines(shown):
            typer.echo(line)
    typer.echo(f"{len(shown)} of {len(entries)} shown." if entries else "Nothing is in quarantine.")


@quarantine_app.command()
def show(offset: int, as_json: AsJson = False, kafka: Kafka = "") -> None:
    """Show one entry with the event as it came."""
    entries = _collect(kafka, Wanted(offsets=frozenset({offset})))
    if not entries:
        fail(f"There is no entry {offset}: see `rapport quarantine list`.")
    [entry] = entries
    whole = described(entry) | {"detail": entry.item.detail, "original": _text(entry.item.original)}
    if as_json:
        _echo_json(whole)
        return
    for name, value in whole.items():
        typer.echo(f"{name:<9} {printable(str(value))}")


@quarantine_app.command()
def replay(
    write_key: Annotated[str, typer.Option(envvar="RAPPORT_WRITE_KEY", help="write key of the entries' tenant")],
    offsets: Annotated[list[int] | None, typer.Argument(help="entries to send again")] = None,
    reason: Reason = "",
    tenant: Tenant = "",
    ingest: Annotated[str, typer.Option(help="address of ingest [default: from RAPPORT_INGEST_PORT]")] = "",
    kafka: Kafka = "",
) -> None:
    """Send entries to ingest again, where they are held to the contract as ever. An event that counted counts once."""
    if not offsets and not reason:
        fail("Say which: offsets as `rapport quarantine list` shows them, or --reason.")
    entries = _collect(kafka, Wanted(tenant, reason, frozenset(offsets or ())))
    missing = sorted(set(offsets or ()) - {entry.offset for entry in entries})
    if missing:
        fail(f"There are no such entries: {', '.join(map(str, missing))}. Nothing was sent.")
    address = ingest or f"http://127.0.0.1:{or_fail(read_settings).ingest_port}"
    outcomes = _run(_send(address, write_key, entries))
    for outcome in outcomes:
        became = "accepted" if outcome.accepted else "rejected"
        typer.echo(f"{outcome.offset:>8}  {became}  {printable(outcome.detail)}".rstrip())
    accepted = sum(outcome.accepted for outcome in outcomes)
    typer.echo(f"{accepted} of {len(outcomes)} accepted.")
    if accepted < len(outcomes):
        raise typer.Exit(1)


async def collect(reader: LogReader, wanted: Wanted) -> list[Entry]:
    """The entries that are wanted, oldest first. Raises Unavailable."""
    return [entry async for entry in read_quarantine(reader) if wanted.takes(entry)]


async def send_again(client: httpx.AsyncClient, write_key: str, entry: Entry) -> Outcome:
    """Post an entry's event to ingest. Raises Unavailable where ingest does not take events at the moment."""
    if not entry.item.whole:
        return Outcome(entry.offset, False, f"only the beginning of {entry.item.size:,} bytes was kept")
    try:
        body = as_event(entry.item)
    except Poison as poison:
        return Outcome(entry.offset, False, poison.detail)
    headers = {"Authorization": f"Bearer {write_key}", "Content-Type": "application/json"}
    if entry.item.tenant:
        headers["Rapport-Tenant"] = entry.item.tenant
    try:
        answer = await client.post("/v1/events", content=body, headers=headers)
    except httpx.TransportError as error:
        raise Unavailable(f"ingest at {client.base_url} does not answer ({type(error).__name__})") from error
    if answer.status_code == 503:
        raise Unavailable(str(answer.json()["detail"]))
    if answer.status_code == 202 and not answer.json()["rejected"]:
        return Outcome(entry.offset, True, "")
    return Outcome(entry.offset, False, _why(answer))


def _why(answer: httpx.Response) -> str:
    told: dict[str, Any] = answer.json()
    rejected = told.get("rejected") or ()
    return "; ".join(f"{item['reason']}: {item['detail']}" for item in rejected) or str(told["detail"])


def described(entry: Entry) -> dict[str, Any]:
    """An entry in short, for people and programs; times RFC 3339."""
    item = entry.item
    return {
        "offset": entry.offset,
        "received": rfc3339(item.received),
        "tenant": item.tenant,
        "source": item.source,
        "origin": item.origin,
        "id": item.id,
        "reason": item.reason,
        "detail": item.detail,
        "bytes": item.size,
    }


def lines(entries: Iterable[Entry]) -> Iterator[str]:
    """A header and a line an entry, whole and separated by tabs: for other programs."""
    yield "\t".join(COLUMNS)
    for entry in entries:
        yield "\t".join(_shown(entry).values())


def table(entries: Iterable[Entry]) -> Table:
    """A table of entries for a terminal: what is short on one line, why it is there below."""
    made = Table(box=None, pad_edge=False)
    made.add_column("offset", justify="right", no_wrap=True)
    made.add_column("received, tenant, source, id; below it reason and detail")
    for entry in entries:
        row = _shown(entry)
        tenant = row["tenant"] if len(row["tenant"]) <= SHORT else f"{row['tenant'][: SHORT - 1]}…"
        line = "  ".join((row["received"], tenant or "-", row["source"], row["id"] or "-"))
        why = f"{row['reason']}: {row['detail']}"
        made.add_row(row["offset"], Group(Text(line, no_wrap=True, overflow="ellipsis"), Text(why)))
    return made


def _shown(entry: Entry) -> dict[str, str]:
    known = described(entry)
    return {name: printable(str(known[name])) for name in COLUMNS}


def _echo_json(value: dict[str, Any]) -> None:
    typer.echo(printable(json.dumps(value, ensure_ascii=False)))


def _collect(kafka: str, wanted: Wanted) -> list[Entry]:
    async def work() -> list[Entry]:
        async with _reader(kafka or or_fail(read_settings).kafka) as reader:
            return await collect(reader, wanted)

    return _run(work())


async def _send(address: str, write_key: str, entries: Iterable[Entry]) -> list[Outcome]:
    async with httpx.AsyncClient(base_url=address, timeout=30.0) as client:
        return [await send_again(client, write_key, entry) for entry in entries]


@asynccontextmanager
async def _reader(bootstrap: str) -> AsyncIterator[LogReader]:
    reader = KafkaReader(bootstrap)
    try:
        yield reader
    finally:
        await reader.close()


def _run(work: Coroutine[Any, Any, Result]) -> Result:
    try:
        return asyncio.run(work)
    except Unavailable as error:
        fail(f"{printable(str(error))}. Try again when it does; `rapport doctor` says what runs.")


def _text(original: bytes) -> str:
    return original.decode("utf-8", "backslashreplace")
