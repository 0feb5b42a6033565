"""The order in which the stack starts and stops, and what happens when a part of it dies."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from shared.domain.errors import Misconfigured, Unavailable
from shared.embedded.keeper import Patience
from shared.embedded.supervisor import Plan, Supervisor
from tests.embedded.children import (
    FAILING,
    MISCONFIGURED,
    ONCE_MISCONFIGURED,
    STUBBORN,
    child,
    order,
    pid_file,
    pid_of,
    sink_to,
)
from tests.eventually import eventually

QUICK = Patience(first_pause=0.05, longest_pause=0.2, healthy_after=60.0, ready_within=10.0, stop_within=2.0)


class Stage:
    """A supervisor at work in a directory, with what it said."""

    def __init__(self, here: Path) -> None:
        self.here = here
        self.said: list[str] = []
        self.ready = 0
        self.established = 0
        self.refusals: list[Exception] = []

    async def establish(self) -> None:
        if self.refusals:
            raise self.refusals.pop(0)
        self.established += 1
        with (self.here / "order").open("a") as file:
            file.write("topics\n")

    def on_ready(self) -> None:
        self.ready += 1

    def plan(self, **changes: object) -> Plan:
        values = {
            "store": child("mongo", self.here),
            "broker": child("kafka", self.here),
            "establish": self.establish,
            "services": [child("ingest", self.here), child("api", self.here)],
            "followers": [child("simulator", self.here)],
        }
        return Plan(**{**values, **changes})  # type: ignore[arg-type]

    @asynccontextmanager
    async def run(self, plan: Plan, patience: Patience = QUICK) -> AsyncIterator[Supervisor]:
        supervisor = Supervisor(plan, sink_to([]), self.said.append, self.on_ready, patience)
        task = asyncio.create_task(supervisor.run())
        try:
            yield supervisor
        finally:
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled(), task.exception()


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


async def test_starts_from_the_bottom_and_stops_from_the_top(stage: Stage) -> None:
    async with stage.run(stage.plan()):
        await eventually(lambda: pid_file(stage.here, "simulator").exists())
    happened = order(stage.here)
    assert happened[:3] == ["mongo started", "kafka started", "topics"]
    assert sorted(happened[3:5]) == ["api started", "ingest started"]
    assert happened[5:7] == ["simulator started", "simulator stopped"]
    assert sorted(happened[7:9]) == ["api stopped", "ingest stopped"]
    assert happened[9:] == ["kafka stopped", "mongo stopped"]
    assert stage.ready == 1


async def test_a_killed_service_is_started_again_and_nothing_else_is(stage: Stage) -> None:
    async with stage.run(stage.plan()) as supervisor:
        await eventually(lambda: stage.ready)
        first = pid_of(stage.here, "ingest")
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: pid_of(stage.here, "ingest") != first)
        await eventually(supervisor.keepers["ingest"].ready.is_set)
        assert supervisor.keepers["ingest"].restarts == 1
        assert order(stage.here).count("kafka started") == 1
        assert order(stage.here).count("api started") == 1
    assert any("ingest ended with signal 9; starting it again in 0.05 s" in text for text in stage.said)


async def test_the_pause_before_a_restart_doubles_up_to_a_limit(stage: Stage) -> None:
    async with stage.run(stage.plan(services=[child("ingest", stage.here, FAILING)], followers=[])):
        await eventually(lambda: len(stage.said) >= 5)
    pauses = [text.rpartition(" in ")[2] for text in stage.said[:5]]
    assert pauses == ["0.05 s", "0.1 s", "0.2 s", "0.2 s", "0.2 s"]
    assert "ingest did not start: ingest ended with status 3 before it was ready" in stage.said[0]
    assert stage.ready == 0


async def test_after_a_run_that_was_healthy_the_pause_is_short_again(stage: Stage) -> None:
    patience = Patience(first_pause=0.05, longest_pause=5.0, healthy_after=0.0, ready_within=10.0, stop_within=2.0)
    async with stage.run(stage.plan(services=[child("ingest", stage.here, FAILING)], followers=[]), patience):
        await eventually(lambda: len(stage.said) >= 3)
    assert all(text.endswith("in 0.05 s") for text in stage.said[:3])


async def test_services_stop_before_a_dead_broker_comes_back_with_new_topics(stage: Stage) -> None:
    async with stage.run(stage.plan(followers=[])):
        await eventually(lambda: stage.ready)
        before = len(order(stage.here))
        os.kill(pid_of(stage.here, "kafka"), signal.SIGKILL)
        await eventually(lambda: stage.ready == 2)
        happened = order(stage.here)[before:]
    assert sorted(happened[:2]) == ["api stopped", "ingest stopped"]
    assert happened[2:4] == ["kafka started", "topics"]
    assert sorted(happened[4:]) == ["api started", "ingest started"]
    assert "mongo started" not in happened
    assert any("events that were accepted but not yet scored are lost" in text for text in stage.said)


async def test_a_killed_store_is_started_again_under_running_services(stage: Stage) -> None:
    async with stage.run(stage.plan()):
        await eventually(lambda: stage.ready)
        first = pid_of(stage.here, "mongo")
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: pid_of(stage.here, "mongo") != first)
        assert not [line for line in order(stage.here) if line in ("ingest stopped", "kafka stopped")]


async def test_servers_that_exist_already_are_left_alone(stage: Stage) -> None:
    async with stage.run(stage.plan(store=None, broker=None, followers=[])):
        await eventually(lambda: stage.ready)
    assert order(stage.here)[0] == "topics"
    assert not [line for line in order(stage.here) if line.startswith(("kafka", "mongo"))]


async def test_waits_for_a_kafka_that_does_not_answer_yet(stage: Stage) -> None:
    stage.refusals = [Unavailable("Kafka does not answer"), Unavailable("Kafka does not answer")]
    async with stage.run(stage.plan(broker=None, followers=[])):
        await eventually(lambda: stage.ready)
    assert stage.said[:2] == [
        "Kafka does not answer; trying again in 0.05 s",
        "Kafka does not answer; trying again in 0.1 s",
    ]


async def test_a_contradiction_stops_everything_and_is_raised(stage: Stage) -> None:
    stage.refusals = [Misconfigured("8 partitions, but 16 are configured")]
    with pytest.RaisesGroup(Misconfigured):
        await Supervisor(stage.plan(), sink_to([]), stage.said.append, stage.on_ready, QUICK).run()
    assert order(stage.here) == ["mongo started", "kafka started", "kafka stopped", "mongo stopped"]


async def test_a_service_that_does_not_stop_is_killed_so_that_the_rest_can(stage: Stage) -> None:
    async with stage.run(stage.plan(services=[child("ingest", stage.here, STUBBORN)], followers=[])):
        await eventually(lambda: stage.ready)
    assert order(stage.here)[-3:] == ["ingest stopped", "kafka stopped", "mongo stopped"]
    assert stage.said[-1] == "ingest did not stop within 2 s and was killed"


async def test_what_hands_something_on_has_stopped_before_the_rest_is_told_to(stage: Stage) -> None:
    services = [child(name, stage.here, hands_on=name != "alerts") for name in ("ingest", "scoring", "alerts")]
    async with stage.run(stage.plan(services=services, followers=[])):
        await eventually(lambda: stage.ready)
    assert order(stage.here)[-5:] == [f"{name} stopped" for name in ("ingest", "scoring", "alerts", "kafka", "mongo")]


async def test_what_others_wait_for_leaves_them_time_to_stop_within_the_same_limit(stage: Stage) -> None:
    services = [child("scoring", stage.here, STUBBORN, hands_on=True), child("alerts", stage.here, STUBBORN)]
    async with stage.run(stage.plan(services=services, followers=[]), msgspec.structs.replace(QUICK, stop_within=4.5)):
        await eventually(lambda: stage.ready)
    killed = [float(re.findall(r"within ([0-9.]+) s and was killed", text)[0]) for text in stage.said]
    assert [round(seconds, 1) for seconds in killed] == [2.5, 2.0]


async def test_a_follower_that_has_done_its_work_is_not_started_again(stage: Stage) -> None:
    program = "import pathlib, sys; pathlib.Path(sys.argv[1], f'{sys.argv[2]}.pid').write_text('1')"
    finite = child("simulator", stage.here, program, endless=False, probe=lambda: asyncio.sleep(0))
    async with stage.run(stage.plan(followers=[finite])):
        await eventually(lambda: pid_file(stage.here, "simulator").exists())
        os.kill(pid_of(stage.here, "ingest"), signal.SIGKILL)
        await eventually(lambda: order(stage.here).count("ingest started") == 2)
    assert not [text for text in stage.said if text.startswith("simulator")]


async def test_a_service_that_says_it_cannot_run_like_this_ends_all_in_place_of_being_started_again(
    stage: Stage,
) -> None:
    services = [child("ingest", stage.here), child("api", stage.here, MISCONFIGURED)]
    supervisor = Supervisor(stage.plan(services=services), sink_to([]), stage.said.append, stage.on_ready, QUICK)
    with pytest.RaisesGroup(pytest.RaisesExc(Misconfigured, match="api cannot run like this"), flatten_subgroups=True):
        await asyncio.wait_for(supervisor.run(), 20)
    assert (stage.here / "api.tries").read_text() == "."
    assert "mongo stopped" in order(stage.here)
    assert not stage.ready


async def test_one_that_has_been_ready_is_started_again_whatever_it_says_after_the_broker_has_died(
    stage: Stage,
) -> None:
    async with stage.run(stage.plan(services=[child("api", stage.here, ONCE_MISCONFIGURED)], followers=[])):
        await eventually(lambda: stage.ready)
        (stage.here / "fails").touch()
        os.kill(pid_of(stage.here, "kafka"), signal.SIGKILL)
        await eventually(lambda: stage.ready == 2)
    assert any("api did not start: api ended with status 78" in text for text in stage.said)
