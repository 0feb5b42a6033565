"""Faults that scoring must survive without losing or doubling anything, as values that are done to a cluster."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping
from random import Random

import msgspec

from tests.e2e.cluster import SCORING, WITHIN, Cluster, Service, members, until

FUSE_EVENTS = 40  # the engine fails within so many events of one worker


class Fault(msgspec.Struct, frozen=True):
    """Something goes wrong with a cluster; `do` returns when it has happened and what was broken is being mended."""

    name: str
    do: Callable[[Cluster, Random], Awaitable[None]]


def faults(outage: float) -> Mapping[str, Fault]:
    """Every fault by its name; what is taken away comes back after `outage` seconds."""

    async def store_down(cluster: Cluster, chance: Random) -> None:
        await cluster.server.stop()
        await asyncio.sleep(outage)
        await cluster.server.start()

    async def broker_down(cluster: Cluster, chance: Random) -> None:
        await cluster.kafka.stop()
        await asyncio.sleep(outage)
        await cluster.kafka.start()

    table = (
        Fault("kill", kill),
        Fault("kill all", kill_all),
        Fault("pause", pause),
        Fault("broker restart", broker_restart),
        Fault("broker killed", broker_killed),
        Fault("broker down", broker_down),
        Fault("store down", store_down),
        Fault("engine fails", engine_fails),
    )
    return {fault.name: fault for fault in table}


async def kill(cluster: Cluster, chance: Random) -> None:
    """Kill -9 of a worker."""
    await ended(some_worker(cluster, chance), signal.SIGKILL)


async def kill_all(cluster: Cluster, chance: Random) -> None:
    """Kill -9 of every worker at once."""
    await asyncio.gather(*(ended(cluster.services[name], signal.SIGKILL) for name in cluster.workers))


async def pause(cluster: Cluster, chance: Random) -> None:
    """Stop a worker until the others have taken over, then let it go on: a zombie that holds what is others'."""
    worker = some_worker(cluster, chance)
    worker.signal(signal.SIGSTOP)
    try:

        async def taken_over() -> bool:
            return await members(cluster.bootstrap, SCORING) == len(cluster.workers) - 1

        await until(taken_over, "the group goes on without the worker that is stopped")
    finally:
        worker.signal(signal.SIGCONT)


async def broker_restart(cluster: Cluster, chance: Random) -> None:
    """An orderly stop, and a start."""
    await cluster.kafka.stop()
    await cluster.kafka.start()


async def broker_killed(cluster: Cluster, chance: Random) -> None:
    """Kill -9, and a start."""
    await cluster.kafka.stop(signal.SIGKILL)
    await cluster.kafka.start()


async def engine_fails(cluster: Cluster, chance: Random) -> None:
    """An exception in the middle of a batch, once: the worker must end, and what it had not stored be read again."""
    worker = cluster.services[cluster.workers[0]]
    restarts = worker.keeper.restarts
    fuse = cluster.fuse.with_suffix(".new")
    fuse.write_text(str(chance.randrange(FUSE_EVENTS)))
    fuse.replace(cluster.fuse)  # at once: it is never seen without its number
    await until(lambda: not cluster.fuse.exists(), "the engine has failed")
    await until(lambda: worker.keeper.restarts > restarts, "the worker whose engine failed has ended")


def some_worker(cluster: Cluster, chance: Random) -> Service:
    return cluster.services[chance.choice(cluster.workers)]


async def ended(service: Service, number: signal.Signals) -> None:
    """By this signal; its successor is under way."""
    before = service.keeper.pid
    service.signal(number)
    await until(lambda: service.keeper.pid != before, f"{service.keeper.launch.name} is started again", WITHIN)
