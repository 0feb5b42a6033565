"""The whole stack as processes: an event becomes an alert, whatever is killed comes back, a second start knows all."""

from __future__ import annotations

import ast
import asyncio
import os
import re
import signal
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.clock import now_ms
from shared.embedded.keyring import TENANT
from tests.e2e.held import held
from tests.e2e.kills import nothing_due, post
from tests.e2e.reading import Reader
from tests.e2e.traffic import picture_of, planned
from tests.embedded.stack import ASKING, NAMES, PARTITIONS, Up, until, up

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.embedded,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]


WITHIN = 15.0  # seconds to stop, on a machine that is busy with other tests; 10 s are meant


class Customer:
    """Talks to a running stack as an upstream system and as a person with an API key do."""

    def __init__(self, ready: dict[str, str]) -> None:
        self.ready = ready
        self.http = httpx.Client(timeout=10.0, trust_env=False)

    def detracts(self, account: str) -> str:
        """Post a detractor's answer; tried again, with the same id, until ingest has taken it."""
        event = {
            "specversion": "1.0",
            "id": f"nps-{account}",
            "source": "survey",
            "type": "survey.answered",
            "time": datetime.now(UTC).isoformat(),
            "subject": account,
            "data": {"instrument": "nps", "score": 2, "person": f"dana@{account}.example"},
        }
        headers = {
            "authorization": f"Bearer {self.ready['write_key']}",
            "content-type": "application/cloudevents+json",
        }

        def taken() -> bool:
            try:
                answer = self.http.post(f"{self.ready['ingest']}/v1/events", json=event, headers=headers)
            except httpx.TransportError:
                return False
            assert answer.status_code in (202, 503), answer.text
            return answer.status_code == 202

        until(taken, every=ASKING)
        return account

    def get(self, path: str) -> Any:
        """What the API answers; None while it does not."""
        headers = {"authorization": f"Bearer {self.ready['api_key']}"}
        try:
            answer = self.http.get(f"{self.ready['api']}{path}", headers=headers)
        except httpx.TransportError:
            return None
        return answer.json() if answer.status_code == 200 else None

    def alerted(self) -> set[str]:
        """Relationships with an alert of the detractor rule."""
        page = self.get("/v1/alerts?limit=100") or {"items": []}
        return {alert["relationship"] for alert in page["items"] if alert["rule"] == "nps_detractor"}


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Up]:
    with up(tmp_path) as running:
        yield running


@pytest.mark.soak  # the parts of it that make test does are in test_kills.py, test_broker_loss.py and the next test
def test_whatever_is_killed_comes_back_and_no_alert_is_missing_or_double(stack: Up) -> None:
    customer = Customer(stack.ready())
    expected = {customer.detracts("before")}
    until(lambda: customer.alerted() == expected, every=ASKING)
    for name in NAMES:
        os.kill(stack.pid(name), signal.SIGKILL)
        expected.add(customer.detracts(f"during-{name}"))
        until(lambda: customer.alerted() == expected, every=ASKING)

    os.kill(stack.pid("kafka"), signal.SIGKILL)
    until(lambda: stack.log.count("Everything is ready") == 2)
    expected.add(customer.detracts("after-broker"))
    until(lambda: customer.alerted() == expected, every=ASKING)
    os.kill(stack.pid("mongo"), signal.SIGKILL)
    expected.add(customer.detracts("after-store"))
    until(lambda: customer.alerted() == expected, every=ASKING)

    page = customer.get("/v1/alerts?limit=100")
    assert len(page["items"]) == len(expected)
    assert stack.stop() < WITHIN
    assert stack.process.returncode == 0


def test_a_second_start_knows_relationships_scores_and_alerts_also_when_the_store_was_killed(tmp_path: Path) -> None:
    def seen(customer: Customer) -> tuple[Any, Any]:
        alerts = [(alert["id"], alert["state"], alert["opened_at"]) for alert in customer.get("/v1/alerts")["items"]]
        return customer.get("/v1/relationships")["items"], alerts

    settings = nothing_due(now_ms())
    with up(tmp_path, **settings) as stack:
        customer = Customer(stack.ready())
        accounts = {customer.detracts("acct-42")}
        until(lambda: customer.alerted() == accounts, every=ASKING)
        os.kill(stack.pid("mongo"), signal.SIGKILL)
        accounts.add(customer.detracts("after-store"))
        until(lambda: customer.alerted() == accounts, every=ASKING)
        before = seen(customer)
        assert stack.stop(signal.SIGTERM) < WITHIN
        assert stack.process.returncode == 0
    assert {one["id"] for one in before[0]} == accounts
    assert len(before[1]) == len(accounts)
    with up(tmp_path, **settings) as stack:
        customer = Customer(stack.ready())
        assert seen(customer) == before
        again = customer.detracts("acct-43")
        until(lambda: customer.alerted() == {*accounts, again}, every=ASKING)
        stack.stop()


def test_stopping_scores_first_what_was_accepted_and_comes_to_an_end_with_a_backlog(tmp_path: Path) -> None:
    now = now_ms()
    plan = planned(30_000, TENANT, 200, now)
    some, more = plan.events[:2_000], plan.events[2_000:]
    with up(tmp_path, **nothing_due(now)) as stack:
        post(stack.ready(), some)
        assert stack.stop(signal.SIGTERM) < WITHIN  # at once: nothing has waited until they were scored
        written, scored = written_and_scored(stack.log)
        assert 0 < scored == written
    with up(tmp_path, **nothing_due(now)) as stack:
        ready = stack.ready()
        assert Reader(ready).picture().uses == picture_of(some).uses
        scoring = stack.pid("scoring")
        os.kill(scoring, signal.SIGSTOP)
        post(ready, more)
        sizes = asyncio.run(held(ready["kafka"], PARTITIONS))
        assert sum(map(sum, sizes.values())) == len(more)
        os.kill(scoring, signal.SIGCONT)
        assert stack.stop(signal.SIGTERM) < WITHIN
        assert stack.process.returncode == 0
        written, scored = written_and_scored(stack.log)
        assert written == sum(map(len, sizes.values()))
        assert scored == written or "undrained" in stack.log


def written_and_scored(log: str) -> tuple[int, int]:
    """How many records of the log the last lines of ingest and scoring name."""
    written, scored = (
        ast.literal_eval(re.findall(rf"{name}=(\{{.*?\}})", log)[-1]) for name in ("written_up_to", "scored_up_to")
    )
    return sum(written.values()), sum(scored.values())
