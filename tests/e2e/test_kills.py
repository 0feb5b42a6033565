"""Kill -9 of any service during traffic: in the end every event has counted exactly once, and every alert is there.

`make test` kills each service once on each broker, `make soak` three times.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from shared.clock import now_ms
from shared.embedded.keyring import TENANT
from shared.stream import admin
from tests.e2e.kills import BETWEEN, RELATIONSHIPS, TIMES, Outcome, disturbed, undisturbed
from tests.e2e.traffic import Picture, Plan, planned
from tests.embedded.stack import NAMES

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.embedded,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]


def plan_of(times: int) -> Plan:
    """Enough events for as many kills of each service."""
    return planned(BETWEEN * (len(NAMES) * times + 1), TENANT, RELATIONSHIPS, now_ms())


@pytest.fixture
def kafka(kafka_bootstrap: str) -> str:
    """Real Kafka, without our topics."""
    asyncio.run(_emptied(kafka_bootstrap))
    return kafka_bootstrap


async def _emptied(bootstrap: str) -> None:
    ours = set(admin.ALL) & set(await admin.partition_counts(bootstrap))
    if ours:
        await admin.delete_topics(bootstrap, sorted(ours))


def assert_exactly_once(outcome: Outcome) -> None:
    """Field by field, so that a difference is told and not buried."""
    assert outcome.repeated, "no request met a dead ingest: nothing was disturbed"
    assert_same(outcome.found, outcome.expected)
    assert outcome.streamed == set(outcome.expected.alerts)


def assert_same(found: Picture, expected: Picture) -> None:
    assert found.uses == expected.uses
    assert found.entries == expected.entries
    assert found.alerts == expected.alerts


@pytest.mark.parametrize("times", [1, pytest.param(TIMES, marks=pytest.mark.soak)])
def test_kills_on_the_embedded_broker(tmp_path: Path, times: int) -> None:
    assert_exactly_once(disturbed(tmp_path, plan_of(times), times=times))


@pytest.mark.kafka
def test_kills_on_real_kafka(tmp_path: Path, kafka: str) -> None:
    assert_exactly_once(disturbed(tmp_path, plan_of(1), "--kafka", kafka, times=1))


@pytest.mark.kafka
@pytest.mark.soak  # in make test, test_grow.py compares an undisturbed run on real Kafka with its plan
def test_many_kills_on_real_kafka_leave_what_an_undisturbed_run_does(tmp_path: Path, kafka: str) -> None:
    plan = plan_of(TIMES)
    outcome = disturbed(tmp_path, plan, "--kafka", kafka, times=TIMES)
    assert_exactly_once(outcome)
    asyncio.run(_emptied(kafka))
    calm = undisturbed(tmp_path / "undisturbed", plan, "--kafka", kafka)
    assert_same(outcome.found, calm)
