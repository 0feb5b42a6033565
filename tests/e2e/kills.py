"""Kill -9 of one service after another while traffic goes on, and waiting until each is back."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import httpx
import msgspec

from shared.domain.contract.events import HOUR, SECOND, Millis
from shared.embedded.data import DataDirectory
from tests.e2e.reading import Follower, Reader
from tests.e2e.traffic import Picture, Plan, Sender, Sent
from tests.embedded.stack import ASKING, NAMES, Up, until, up

RELATIONSHIPS = 20
PARTITIONS = 2
RATE = 120.0  # events a second
TIMES = 3
BETWEEN = 250  # events from one kill to the next, at least
SETTINGS = {"RAPPORT_EVALUATION_SECONDS": "5", "RAPPORT_SESSION_TIMEOUT_MS": "6000"}
SETTLES_WITHIN = 150.0
GRAINS = (86_400, 86_399)  # seconds: their boundaries are hours apart, for decades
PROMISES_WITHIN = 30.0  # a broken promise is judged at the next canonical moment


class Outcome(msgspec.Struct, frozen=True):
    """What was read in the end, what should be, which alerts the live stream showed, and what happened meanwhile."""

    found: Picture
    expected: Picture
    streamed: set[str]
    kills: int
    repeated: int
    sent: int


def nothing_due(now: Millis) -> dict[str, str]:
    """Settings with which nothing becomes due for hours from `now`: the log holds events alone, no clock record.

    The canonical moments of relationships lie within the first hour of a grain, so that hour must be over.
    """

    def ahead(grain: int) -> tuple[bool, int]:
        passed = now // SECOND % grain
        return passed > HOUR // SECOND, grain - passed

    farthest = max(GRAINS, key=ahead)
    return {"RAPPORT_EVALUATION_SECONDS": str(farthest)}


def kill(stack: Up, name: str, client: httpx.Client) -> None:
    """Kill -9, and return when its successor is ready."""
    before = stack.pid(name)
    os.kill(before, signal.SIGKILL)
    until(lambda: pid_or_none(stack, name) not in (None, before))
    until(lambda: is_ready(stack, name, client), every=ASKING)


def pid_or_none(stack: Up, name: str) -> int | None:
    try:
        return stack.pid(name)
    except StopIteration:
        return None


def is_ready(stack: Up, name: str, client: httpx.Client) -> bool:
    running = DataDirectory(stack.data).running()
    assert running is not None
    try:
        return client.get(running.probes[name]).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def rounds(times: int) -> Iterator[str]:
    """Every service in turn, `times` times."""
    for _ in range(times):
        yield from NAMES


def disturbed(here: Path, plan: Plan, *arguments: str, times: int = TIMES) -> Outcome:
    """Run a stack, send the events, kill all the while, and read what has become of them."""
    between = len(plan.events) // (len(NAMES) * times + 1)
    with up(here, *arguments, **SETTINGS) as stack:
        ready = stack.ready()
        with (
            httpx.Client(timeout=5.0, trust_env=False) as client,
            Follower(ready) as follower,
            Sender(ready, plan.events, RATE) as sender,
        ):
            for number, name in enumerate(rounds(times), start=1):
                until(partial(sender.has_sent, number * between))
                kill(stack, name, client)
            until(lambda: sender.has_sent(len(plan.events)))
            found = settled(ready, plan)
            expected = plan.picture()
            until(lambda: follower.seen >= set(expected.alerts))
        outcome = Outcome(found, expected, follower.seen, len(NAMES) * times, sender.repeated, sender.accepted)
        stack.stop()
        return outcome


def undisturbed(here: Path, plan: Plan, *arguments: str) -> Picture:
    """The same events, nothing killed: what is read in the end."""
    here.mkdir(exist_ok=True)
    with up(here, *arguments, **SETTINGS) as stack:
        ready = stack.ready()
        post(ready, plan.events)
        found = settled(ready, plan)
        stack.stop()
        return found


def settled(ready: dict[str, str], plan: Plan) -> Picture:
    """What is read when everything has been judged: promises are, at the next canonical moment."""
    post(ready, plan.last)
    reader = Reader(ready)
    closing = {one.alert for one in plan.last}
    until(lambda: closing <= reader.alerts().keys(), SETTLES_WITHIN, ASKING)
    expected = plan.picture().alerts.keys()
    try:
        until(lambda: expected <= reader.alerts().keys(), PROMISES_WITHIN, ASKING)
    except AssertionError:
        missing = sorted(expected - reader.alerts().keys())
        raise AssertionError(f"{len(missing)} alerts of {len(expected)} are missing: {missing[:5]}") from None
    return reader.picture()


def post(ready: dict[str, str], events: Sequence[Sent]) -> None:
    """As fast as they are taken."""
    with Sender(ready, events, rate=1e6, batch=100) as sender:
        until(lambda: sender.has_sent(len(events)))
