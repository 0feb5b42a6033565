"""What was set aside can be listed, shown and sent again, to be held to the same contract."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator

import httpx
import pytest
from rich.console import Console

from shared import wire
from shared.cli.quarantine import Wanted, collect, described, send_again, table
from shared.domain.contract.events import DAY, Interaction
from shared.domain.errors import Poison, Unavailable
from shared.stream.quarantine import SCORING, Entry, Quarantined, Reason, as_event, quarantine_message, read_quarantine
from shared.stream.topics import QUARANTINE
from tests.flows.ingest_stage import NOW, WRITE_KEY, Stage, event


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with Stage() as stage:
        yield stage


FUTURE = event(1, time="2026-09-23T00:00:00Z")


async def test_entries_are_found_by_tenant_reason_and_offset(stage: Stage) -> None:
    await stage.add_key("other", "write", "globex")
    await stage.post([FUTURE, {"id": "bad"}])
    await stage.post([{"id": "theirs"}], key=WRITE_KEY.replace("_app_", "_other_"))
    reader = stage.log.reader()

    async def offsets(wanted: Wanted) -> list[int]:
        return [entry.offset for entry in await collect(reader, wanted)]

    assert await offsets(Wanted()) == [0, 1, 2]
    assert await offsets(Wanted(tenant="globex")) == [2]
    assert await offsets(Wanted(reason="missing_attribute")) == [1, 2]
    assert await offsets(Wanted(offsets=frozenset({0, 7}))) == [0]
    assert [entry async for entry in read_quarantine(stage.log.reader())] == stage.entries()


async def test_an_empty_quarantine_is_empty(stage: Stage) -> None:
    assert await collect(stage.log.reader(), Wanted()) == []


async def test_an_entry_tells_what_came_when_and_why(stage: Stage) -> None:
    await stage.post([FUTURE])
    [entry] = stage.entries()
    assert described(entry) == {
        "offset": 0,
        "received": "2026-09-21T14:13:20.000Z",
        "tenant": "acme",
        "source": "http",
        "origin": "",
        "id": "e-1",
        "reason": "future_time",
        "detail": entry.item.detail,
        "bytes": len(json.dumps(FUTURE)),
    }
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(table([entry]))
    shown = console.export_text()
    assert all(part in shown for part in ("offset", "acme", "http", "e-1", "future_time", "more than 24 hours ahead"))


async def test_what_is_sent_again_is_accepted_once_its_cause_is_gone(stage: Stage) -> None:
    await stage.post([FUTURE, {"id": "bad"}])
    first, second = stage.entries()
    early = await send_again(stage.client, WRITE_KEY, first)
    assert (early.accepted, early.detail.split(":")[0]) == (False, "future_time")
    stage.now += DAY
    assert (await send_again(stage.client, WRITE_KEY, first)).accepted
    assert not (await send_again(stage.client, WRITE_KEY, second)).accepted
    assert [found.id for found in stage.published()] == ["e-1"]


async def test_a_key_of_another_tenant_does_not_take_it_over(stage: Stage) -> None:
    await stage.add_key("other", "write", "globex")
    await stage.post([FUTURE])
    stage.now += DAY
    outcome = await send_again(stage.client, WRITE_KEY.replace("_app_", "_other_"), stage.entries()[0])
    assert (outcome.accepted, "Rapport-Tenant".lower() in outcome.detail) == (False, True)
    assert stage.published() == []


async def test_of_a_very_long_one_only_the_beginning_is_kept(stage: Stage) -> None:
    await stage.post([event(1, data={"feature": "x" * 100_000})])
    [entry] = stage.entries()
    assert (entry.item.reason, len(entry.item.original)) == ("too_large", 64 * 1024)
    outcome = await send_again(stage.client, WRITE_KEY, entry)
    assert outcome.detail == f"only the beginning of {entry.item.size:,} bytes was kept"


async def test_what_scoring_could_not_apply_becomes_an_event_again(stage: Stage) -> None:
    await stage.post([event(1, rapportbackfill=True)])
    [interaction] = stage.published()
    reason = Reason("undecodable", "no such day", interaction.id)
    message = quarantine_message("acme", SCORING, reason, NOW, wire.encode(interaction), "rapport.interactions/3/0")
    await stage.log.publisher().publish(QUARANTINE, 0, [message])
    assert (await send_again(stage.client, WRITE_KEY, stage.entries()[0])).accepted
    [once, again] = stage.published()
    assert json.loads(wire.encode(once)) == json.loads(wire.encode(again))


def test_what_is_no_event_stays_where_it_is() -> None:
    broken = Quarantined("acme", SCORING, "undecodable", "", NOW, b"\xff", 1)
    with pytest.raises(Poison):
        as_event(broken)
    with pytest.raises(Poison, match="what alerts set aside is no event"):
        as_event(Quarantined("", "alerts", "undecodable", "", NOW, b"{}", 2))
    assert json.loads(as_event(Quarantined("acme", SCORING, "undecodable", "", NOW, b"{}", 2))) == {
        "specversion": "1.0",
        "subject": None,
    }


async def test_a_broken_interaction_is_told_of_without_being_sent(stage: Stage) -> None:
    entry = Entry(3, Quarantined("acme", SCORING, "undecodable", "", NOW, b"\xff", 1))
    outcome = await send_again(stage.client, WRITE_KEY, entry)
    assert (outcome.offset, outcome.accepted, "not a dict" in outcome.detail) == (3, False, True)


async def test_an_ingest_that_is_busy_or_gone_is_unavailable(stage: Stage) -> None:
    await stage.post([FUTURE])
    stage.broker.after = 0
    with pytest.raises(Unavailable, match="send the same events again"):
        await send_again(stage.client, WRITE_KEY, stage.entries()[0])

    def gone(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    async with httpx.AsyncClient(transport=httpx.MockTransport(gone), base_url="http://gone") as client:
        with pytest.raises(Unavailable, match="http://gone"):
            await send_again(client, WRITE_KEY, stage.entries()[0])


def test_an_interaction_survives_the_way_through_quarantine_whole() -> None:
    event = Interaction("acme", "acct-1", "e-1", "/app", "note.added", NOW)
    message = quarantine_message("acme", SCORING, Reason("x", "y"), NOW, wire.encode(event))
    kept = wire.decode(message.value, Quarantined)
    assert (kept.whole, wire.decode(kept.original, Interaction).id) == (True, "e-1")
