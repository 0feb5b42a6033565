"""A trial: traffic on a cluster, faults meanwhile, and a comparison with the plan and with a quiet run in the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import msgspec

from shared.clock import now_ms
from shared.domain.contract.events import SECOND
from shared.embedded.keyring import TENANT
from shared.stream.topics import INTERACTIONS, UPDATES
from tests.e2e.cluster import (
    ALERTING,
    GRAIN_SECONDS,
    PARTITIONS,
    SCORING,
    WITHIN,
    Cluster,
    cluster,
    committed,
    ends,
    until,
)
from tests.e2e.faults import Fault
from tests.e2e.held import held
from tests.e2e.quiet import quiet
from tests.e2e.state import differences, picture_in, state_of
from tests.e2e.traffic import Picture, Plan, Sender, disordered

RATE = 120.0  # events a second
BETWEEN = 200  # events from one fault to the next, at least
LONGEST = 60.0  # seconds from one fault to the next, on average
SETTLES_WITHIN = 2 * WITHIN


Say = Callable[[str], None]


class Trial(msgspec.Struct, frozen=True):
    """What is to be done: these faults one after another, the rest by chance."""

    seed: int
    faults: Sequence[Fault]
    workers: int = 3
    relationships: int = 30
    instances: bool = False  # static membership


class Outcome(msgspec.Struct, frozen=True):
    """What came of it. `differences` in words: none means that nothing was lost and nothing doubled, if it came to its
    end: else `unfinished` says why not."""

    seed: int
    faults: Sequence[str]
    sent: int = 0
    repeated: int = 0  # requests made again
    records: int = 0  # events in the log, with clock records and copies
    relationships: int = 0
    alerts: int = 0
    restarts: dict[str, int] = msgspec.field(default_factory=dict)
    expelled: int = 0  # times that a worker found others in its place: told by the group, or by a document's fence
    differences: Sequence[str] = ()
    unfinished: str = ""


async def undergo(trial: Trial, here: Path, say: Say = print) -> Outcome:
    """Start a cluster, send, disturb, settle, compare; `say` is told how far it has come."""
    chance = Random(trial.seed)
    plan = disordered(count_of(trial), TENANT, trial.relationships, now_ms(), chance)
    async with cluster(here, trial.workers, instances=trial.instances) as running:
        running.listeners.append(say)
        running.say("ready")
        with Sender(running.ready, plan.events, RATE) as sender:
            await disturb(running, trial.faults, sender, chance)
        sent = plan.until(sender.accepted)
        with Sender(running.ready, sent.last, RATE) as post:
            await until(lambda: post.has_sent(len(sent.last)), "the last events are accepted")
        running.say("traffic is over")
        await settle(running)
        running.say("settled")
        return await _compared(running, trial, sent, sender.repeated)


def count_of(trial: Trial) -> int:
    """More events than are sent during the faults."""
    return round(RATE * LONGEST * (len(trial.faults) + 1))


async def disturb(running: Cluster, faults: Sequence[Fault], sender: Sender, chance: Random) -> None:
    """One fault after another; each when the one before is mended and traffic has gone on."""
    for fault in faults:
        await _goes_on(sender)
        running.say(f"fault: {fault.name}")
        await fault.do(running, chance)
        running.say(f"over: {fault.name}")
        await running.well()
        running.say("well")
    await _goes_on(sender)


async def _goes_on(sender: Sender) -> None:
    mark = sender.accepted + BETWEEN
    await until(lambda: sender.has_sent(mark), "traffic goes on")


async def settle(running: Cluster) -> None:
    """Until all that is in the log is applied, judged, stored and committed; then the services are stopped in order.

    A clock record appended while they were being stopped is read by starting them again.
    """
    while True:
        await until(lambda: _scored(running), "everything is scored and nothing is due", SETTLES_WITHIN)
        await until(lambda: _read(running, ALERTING, UPDATES), "every update has been read by alerts", SETTLES_WITHIN)
        await running.stop_services()
        if await _read(running, SCORING, INTERACTIONS) and await _read(running, ALERTING, UPDATES):
            return
        running.start_services()
        await running.well()


async def _scored(running: Cluster) -> bool:
    """Whether nothing is due now, and nothing will be at the next moment of evaluation."""
    soon = now_ms() + (GRAIN_SECONDS + 2) * SECOND
    due = await running.store.earliest_due(range(PARTITIONS))
    return min(due.values(), default=soon + 1) > soon and await _read(running, SCORING, INTERACTIONS)


async def _read(running: Cluster, group: str, topic: str) -> bool:
    end = await ends(running.bootstrap, topic)
    return await committed(running.bootstrap, group, topic) == end == await ends(running.bootstrap, topic)


async def _compared(running: Cluster, trial: Trial, sent: Plan, repeated: int) -> Outcome:
    async with quiet(running, running.here / "quiet") as calm:
        await calm.read(running)
        found, expected = await state_of(running.store, TENANT), await state_of(calm.store, TENANT)
    published = differences(found, expected) + missed(await picture_in(running.store, TENANT), sent.picture())
    return Outcome(
        seed=trial.seed,
        faults=[fault.name for fault in trial.faults],
        sent=len(sent.events) + len(sent.last),
        repeated=repeated,
        records=sum(map(sum, (await held(running.bootstrap, PARTITIONS)).values())),
        relationships=len(found.states),
        alerts=len(found.alerts),
        restarts=running.restarts,
        expelled=sum(map(running.journal.count, ("expelled", "documents were changed by another worker"))),
        differences=published,
    )


def missed(found: Picture, expected: Picture) -> list[str]:
    """Where what was sent did not count exactly once; alerts of rules that the plan does not foresee are no matter."""
    published = []
    for name in ("uses", "entries"):
        one, other = getattr(found, name), getattr(expected, name)
        published += [
            f"{name} of {id}: not those sent" for id in one.keys() | other.keys() if one.get(id) != other.get(id)
        ]
    for id, what in expected.alerts.items():
        if (was := found.alerts.get(id)) != what:
            published.append(f"alert {id}: {was} instead of {what}")
    return sorted(published)
