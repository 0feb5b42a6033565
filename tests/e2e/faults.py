"""Kill -9 of one service after another while traffic goes on, and waiting until each is back."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import msgspec

from shared.embedded.data import DataDirectory
from tests.e2e.reading import Follower, Reader
from tests.e2e.traffic import Picture, Sender, Sent, farewell, picture_of
from tests.embedded.stack import NAMES, Up, until, up

RELATIONSHIPS = 20
PARTITIONS = 2
RATE = 120.0  # events a second
TIMES = 3
BETWEEN = 250  # events from one kill to the next, at least
SETTINGS = {"RAPPORT_EVALUATION_SECONDS": "5", "RAPPORT_SESSION_TIMEOUT_MS": "6000"}
SETTLES_WITHIN = 150.0
PROMISES_WITHIN = 30.0  # a broken promise is judged at the next canonical moment


class Outcome(msgspec.Struct, frozen=True):
    """What was read in the end, what should be, which alerts the live stream showed, and what happened meanwhile."""

    found: Picture
    expected: Picture
    streamed: set[str]
    kills: int
    repeated: int
    sent: int


def kill(stack: Up, name: str) -> None:
    """Kill -9, and return when its successor is ready."""
    before = stack.pid(name)
    os.kill(before, signal.SIGKILL)
    until(lambda: pid_or_none(stack, name) not in (None, before))
    until(lambda: is_ready(stack, name))


def pid_or_none(stack: Up, name: str) -> int | None:
    try:
        return stack.pid(name)
    except StopIteration:
        return None


def is_ready(stack: Up, name: str) -> bool:
    running = DataDirectory(stack.data).running()
    assert running is not None
    try:
        return httpx.get(running.probes[name], timeout=5.0, trust_env=False).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def rounds(times: int) -> Iterator[str]:
    """Every service in turn, `times` times."""
    for _ in range(times):
        yield from NAMES


def disturbed(here: Path, events: Sequence[Sent], today: int, *arguments: str, times: int = TIMES) -> Outcome:
    """Run a stack, send the events, kill all the while, and read what has become of them."""
    between = len(events) // (len(NAMES) * times + 1)
    with up(here, *arguments, **SETTINGS) as stack:
        ready = stack.ready()
        with Follower(ready) as follower, Sender(ready, events, RATE) as sender:
            for number, name in enumerate(rounds(times), start=1):
                until(lambda mark=number * between: sender.has_sent(mark))
                kill(stack, name)
            until(lambda: sender.has_sent(len(events)))
            found, expected = settled(ready, events, today)
            until(lambda: follower.seen >= set(expected.alerts))
        outcome = Outcome(found, expected, follower.seen, len(NAMES) * times, sender.repeated, sender.accepted)
        stack.stop()
        return outcome


def undisturbed(here: Path, events: Sequence[Sent], today: int, *arguments: str) -> Picture:
    """The same events, nothing killed: what is read in the end."""
    here.mkdir(exist_ok=True)
    with up(here, *arguments, **SETTINGS) as stack:
        ready = stack.ready()
        with Sender(ready, events, rate=1e6, batch=100) as sender:
            until(lambda: sender.has_sent(len(events)))
        found, _ = settled(ready, events, today)
        stack.stop()
        return found


def settled(ready: dict[str, str], events: Sequence[Sent], today: int) -> tuple[Picture, Picture]:
    """What is read when everything has been judged, and what was sent. On one partition order is kept, so all that
    came before the farewell has been folded, and its alerts have been made, when the farewell's alerts are there."""
    tenant = ready["tenant"]
    last = farewell(tenant, RELATIONSHIPS, today)
    with Sender(ready, last, rate=1e6) as sender:
        until(lambda: sender.has_sent(len(last)))
    expected = picture_of([*events, *last])
    reader = Reader(ready)
    closing = {one.alert for one in last}
    until(lambda: closing <= reader.alerts().keys(), SETTLES_WITHIN)
    try:
        until(lambda: reader.alerts().keys() >= expected.alerts.keys(), PROMISES_WITHIN)
    except AssertionError:
        missing = sorted(expected.alerts.keys() - reader.alerts().keys())
        raise AssertionError(f"{len(missing)} alerts of {len(expected.alerts)} are missing: {missing[:5]}") from None
    return reader.picture(), expected
