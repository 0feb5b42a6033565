"""The metric text of the alerts service after a scripted minute, compared whole."""

from __future__ import annotations

import asyncio
from pathlib import Path

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from services.alerts.channels import Answer
from shared.domain.relationship.flags import Severity
from shared.stream.ports import Message
from shared.stream.topics import UPDATES
from tests.flows.alerts.desk import NOW, Desk, Recorder

EXPECTED = Path(__file__).with_name("metrics.txt")


async def test_the_whole_text() -> None:
    desk = Desk()
    worker = desk.worker({"webhook": Recorder(Answer.DELIVERED, Answer.RETRY)})
    await desk.log.append(UPDATES, 0, [Message(b"not json")])
    await desk.publish(desk.update(desk.change()), received=NOW - 300)
    await desk.publish(desk.update(desk.change(rule="silence", severity=Severity.CRITICAL)), received=NOW - 40)
    await worker.drain()
    async with asyncio.TaskGroup() as group:
        assert await worker.outbox.turn(group) == 2
    desk.now += 2_500
    await worker.sweep.turn()
    text = generate_latest(worker.metrics.registry).decode()
    shown = [line for line in text.splitlines() if "_created" not in line]  # those hold the time of the test
    assert shown == EXPECTED.read_text().splitlines()


def test_names_and_units_follow_the_conventions() -> None:
    for family in text_string_to_metric_families(EXPECTED.read_text()):
        assert family.name.startswith("rapport_")
        assert family.documentation.endswith(".")
        if family.type == "histogram":
            assert family.name.endswith(("_seconds", "_events"))
