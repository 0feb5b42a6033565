"""The simulator as a process, and its steps with a clock of the test's own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import httpx
import pytest
from msgspec import json

from shared.clock import now_ms
from shared.domain.contract.events import DAY, SECOND
from shared.domain.errors import Misconfigured, Unavailable
from shared.load.publish import IngestClient
from shared.simulator.incidents import IDS
from shared.simulator.run import Options, Simulator, is_known, things_to_try
from shared.simulator.state import State, read_state
from tests.load.fake_ingest import KEY, FakeIngest, fake_ingest


def run_once(ingest: FakeIngest, state: Path) -> list[str]:
    """Starts the simulator, waits until live traffic flows, stops it by SIGTERM; what it said."""
    command = [sys.executable, "-m", "shared.simulator", "--accounts", "2", "--months", "4", "--state", str(state)]
    environment = {**os.environ, "RAPPORT_WRITE_KEY": KEY}
    with subprocess.Popen(
        [*command, "--ingest", ingest.url], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line.strip())
            if line.startswith("live traffic"):
                process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
    return said


def test_history_is_loaded_once_and_live_traffic_stops_on_sigterm(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    with fake_ingest() as ingest:
        said = run_once(ingest, state)
        assert any("events of history" in line for line in said)
        assert sum("curl -s" in line for line in said) == 2
        loaded = [event for event in ingest.accepted if event.backfill]
        live = [event for event in ingest.accepted if not event.backfill]
        assert set(IDS) < {event.relationship for event in loaded}
        assert ingest.accepted.index(loaded[-1]) < ingest.accepted.index(live[0]) if live else loaded
        assert {event.relationship for event in loaded[-1000:]} == set(IDS)  # the incidents come last
        known = read_state(state)
        assert known is not None
        assert known.sent_until > known.live_since
        ingest.accepted.clear()
        again = run_once(ingest, state)
        assert "the history is there already; live traffic goes on" in again
        assert not any(event.backfill for event in ingest.accepted)


async def simulate(ingest: FakeIngest, options: Options, state: State, client: httpx.AsyncClient) -> list[str]:
    said: list[str] = []
    stop = asyncio.Event()
    simulator = Simulator(options, IngestClient(client, ingest.url, KEY), now_ms, said.append, stop)
    after = await simulator.catch_up(state)
    assert after.sent_until >= state.sent_until
    stop.set()
    return said


async def test_after_days_it_catches_up_with_backfill() -> None:
    now = now_ms()
    state = State(seed=7, accounts=3, live_since=now - 20 * DAY, sent_until=now - 3 * DAY)
    with fake_ingest() as ingest:
        async with httpx.AsyncClient() as client:
            said = await simulate(ingest, Options(3, 4, 7), state, client)
        assert said[0].startswith("caught up with 72.0 hours")
        assert all(event.backfill for event in ingest.accepted)
        totals = [event for event in ingest.accepted if event.type == "usage.daily_total"]
        features = Counter((event.relationship, json.decode(event.data)["feature"]) for event in totals)
        assert ("halden-logistics", "api") not in features
        assert features["halden-logistics", "workflows"] in (3, 4)  # today's may still be nothing, just after midnight
        assert not [one for one in ingest.accepted if one.relationship == IDS[1] and one.type == "message.received"]


async def test_a_short_stop_needs_no_catching_up() -> None:
    now = now_ms()
    with fake_ingest() as ingest:
        async with httpx.AsyncClient() as client:
            state = State(7, 3, now - DAY, now - 20 * SECOND)
            assert await simulate(ingest, Options(3, 4, 7), state, client) == []
        assert ingest.accepted == []


@pytest.mark.parametrize(("status", "known"), [(200, True), (404, False)])
async def test_the_api_says_what_is_known(status: int, known: bool) -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(503 if len(asked) == 1 else status)

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        assert await is_known(client, "http://api/", "k") is known
    assert asked[-1].url.path == "/v1/relationships/corvid-analytics"
    assert asked[-1].headers["authorization"] == "Bearer k"


async def test_an_api_that_refuses_or_is_away_is_an_error() -> None:
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _request: httpx.Response(401))) as client:
        with pytest.raises(Misconfigured, match="--api-key"):
            await is_known(client, "http://api", "k")
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _request: httpx.Response(500))) as client:
        with pytest.raises(Unavailable, match="is it running"):
            await is_known(client, "http://api", "k", patience=0)


def test_a_strange_state_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("{}")
    with pytest.raises(Misconfigured, match="remove it"):
        read_state(tmp_path / "state")


def test_the_commands_to_try_are_accepted() -> None:
    with fake_ingest() as ingest:
        commands = [line for line in things_to_try(ingest.url, now_ms()) if line.startswith("curl")]
        for command in commands:
            # What curl would send, as the shell makes it.
            script = command.replace("curl -s", 'curl() { printf "%s" "${@: -1}"; }; curl -s')
            done = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
            status, _, answer = ingest.answer(f"Bearer {KEY}", b"[" + done.stdout + b"]")
            assert (status, json.decode(answer)["accepted"]) == (202, 1), answer
        assert [event.type for event in ingest.accepted] == ["survey.answered", "price.change_planned"]
