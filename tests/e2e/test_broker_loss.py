"""Kill -9 of the embedded broker during traffic: what scoring had not got is missing, the log says where; no more."""

from __future__ import annotations

import ast
import asyncio
import os
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from shared.clock import now_ms
from shared.domain.contract.events import relationship_key
from shared.embedded.keyring import TENANT
from shared.stream.topics import partition_of
from tests.e2e.held import held
from tests.e2e.kills import PARTITIONS, RELATIONSHIPS, SETTLES_WITHIN, nothing_due, post
from tests.e2e.reading import Reader
from tests.e2e.traffic import SOURCE, Picture, Sender, Sent, picture_of, planned
from tests.embedded.stack import ASKING, Up, until, up

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.embedded,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]

EVENTS, RATE = 2_400, 200.0
UNREAD = 200  # events that nobody reads before the broker dies


def test_exactly_what_the_broker_had_not_handed_on_is_missing(tmp_path: Path) -> None:
    now = now_ms()
    plan = planned(EVENTS, TENANT, RELATIONSHIPS, now)
    events, last = plan.events, plan.last
    with up(tmp_path, **nothing_due(now)) as stack:
        ready = stack.ready()
        before, after = events[: EVENTS // 2], events[EVENTS // 2 :]
        with Sender(ready, before, RATE) as sender:
            leave_unread(stack, sender)
            until(lambda: sender.has_sent(len(before)))  # so that nothing is under way, half of which the broker has
        sizes = asyncio.run(held(ready["kafka"], PARTITIONS))
        lose_the_broker(stack)
        post(ready, [*after, *last])
        reader = Reader(ready)
        until(lambda: {one.alert for one in last} <= reader.alerts().keys(), SETTLES_WITHIN, ASKING)
        found = reader.picture()
        written, scored = told(stack.log, "written_up_to"), told(stack.log, "scored_up_to")
        stack.stop()

    counted = [one for one in events if counts(one, found)]
    lost = [one for one in events if not counts(one, found)]
    assert lost
    assert all(one in before for one in lost)
    for partition in range(PARTITIONS):
        sent_here = on(partition, before)
        assert (written[partition], sum(sizes[partition])) == (len(sizes[partition]), len(sent_here))
        upto = sum(sizes[partition][: scored[partition]])  # events in the records that are named
        scored_here, beyond = sent_here[:upto], sent_here[upto:]
        assert all(one in counted for one in scored_here)
        kept = [one for one in beyond if one in counted]  # stored at once, with the flag that one of them has raised
        assert {one.relationship for one in kept} == {one.relationship for one in kept if one.alert}
    expected = picture_of([*counted, *last])
    assert found.uses == expected.uses
    assert found.entries == expected.entries
    assert {id for id in expected.alerts if "/nps_detractor/" in id} == found.alerts.keys()


def leave_unread(stack: Up, sender: Sender) -> None:
    """Let alerts lag behind scoring and scoring behind ingest."""
    until(lambda: sender.has_sent(EVENTS // 4))
    for name in ("alerts", "scoring"):
        os.kill(stack.pid(name), signal.SIGSTOP)
        mark = sender.accepted + UNREAD
        until(lambda mark=mark: sender.has_sent(mark))


def lose_the_broker(stack: Up) -> None:
    """Kill it, and let those go on that were left behind."""
    os.kill(stack.pid("kafka"), signal.SIGKILL)
    for name in ("alerts", "scoring"):
        os.kill(stack.pid(name), signal.SIGCONT)
    until(lambda: stack.log.count("Everything is ready") == 2)
    assert "The embedded broker ended with signal 9" in stack.log


def told(log: str, name: str) -> dict[int, int]:
    """The first value of this name in the log: offsets by partition."""
    found = re.search(rf"{name}=(\{{.*?\}})", log)
    assert found, f"the log does not say {name}"
    offsets: dict[int, int] = ast.literal_eval(found[1])
    return offsets


def on(partition: int, events: Sequence[Sent]) -> list[Sent]:
    """Those of one partition, in order."""
    return [
        one
        for one in events
        if partition_of(relationship_key(TENANT, one.relationship).encode(), PARTITIONS) == partition
    ]


def counts(one: Sent, found: Picture) -> bool:
    """Whether an event has left behind what it should: no other event of this traffic leaves the same."""
    if one.use is not None:
        return one.use in found.uses.get(one.relationship, {})
    return f"{SOURCE}#{one.event.id}" in found.entries.get(one.relationship, {})
