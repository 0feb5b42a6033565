"""The metric text of the scoring service after a scripted minute, compared whole."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import generate_latest

from shared.domain.contract.events import SECOND
from shared.stream.ports import Message
from shared.stream.topics import INTERACTIONS
from tests.scoring.stage import Stage

EXPECTED = Path(__file__).with_name("metrics.txt")


async def test_the_whole_text() -> None:
    stage = Stage()
    worker = await stage.worker()
    await stage.say("usage.login", id="same")
    await stage.say("usage.login", id="same")
    await stage.say("survey.answered", "acct-2", instrument="nps", score=9)
    await stage.log.append(INTERACTIONS, 0, [Message(b"not json", b"acme/acct-1", (), stage.now)])
    stage.now += 2 * SECOND
    await worker.drain()
    text = generate_latest(stage.metrics.registry).decode()
    shown = [line for line in text.splitlines() if "_created" not in line]  # those hold the time of the test
    assert shown == EXPECTED.read_text().splitlines()
