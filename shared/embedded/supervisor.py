"""Runs the embedded stack: store, broker, topics, then services; all of it stops in the reverse order.

A broker that died is not simply restarted: it comes back empty, and a service that went on with its old positions
would skip that many new events. So the services are stopped first, and started when the topics exist again under a
new incarnation.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import msgspec

from shared.domain.errors import Unavailable
from shared.embedded.keeper import Keeper, Patience, Say, exit_words
from shared.embedded.process import Child, Launch, LineSink

LOST = (
    "The embedded broker ended with {how}. It keeps its log in memory: events that were accepted but not yet scored "
    "are lost, and so is what lay in quarantine. Everything scored so far is in the store. How much is lost, partition "
    "by partition, will be what ingest has written beyond what scoring has scored: their last lines before they start "
    "again say written_up_to and scored_up_to (offsets). "
    "Send again what was sent in the last seconds: an event that had arrived counts once."
)

LEAST_STOP = 2.0  # seconds for a child to stop, however long those took that it had to wait for


class Plan(msgspec.Struct, frozen=True):
    """What to run. `broker` and `store` are None where they exist already; `followers` wait for the services."""

    store: Launch | None
    broker: Launch | None
    establish: Callable[[], Awaitable[None]]
    services: Sequence[Launch]
    followers: Sequence[Launch] = ()


class Supervisor:
    """Runs a plan until its task is cancelled; cancelling stops everything."""

    def __init__(
        self, plan: Plan, sink: LineSink, say: Say, on_ready: Callable[[], None], patience: Patience | None = None
    ) -> None:
        self.plan = plan
        self._sink = sink
        self._say = say
        self._on_ready = on_ready
        self._patience = patience or Patience()
        self.keepers: dict[str, Keeper] = {}
        self._broker_is_gone = False

    async def run(self) -> None:
        """Runs until cancelled. Raises (in a group) Misconfigured where topics and settings contradict each other."""
        async with self._kept([self.plan.store] if self.plan.store else []):
            while True:
                await self._life_of_broker()

    async def _life_of_broker(self) -> None:
        """Everything that stands on one life of the broker; returns when the broker has ended."""
        broker = await self._start_broker() if self.plan.broker else None
        self._broker_is_gone = False
        try:
            await self._establish()
            async with asyncio.TaskGroup() as group:
                serving = group.create_task(self._serve())
                status = await (broker.exited() if broker else asyncio.Future())
                self._say(LOST.format(how=exit_words(status)))
                self._broker_is_gone = True
                serving.cancel()
        finally:
            if broker:
                await broker.stop(self._patience.stop_within)

    async def _start_broker(self) -> Child:
        assert self.plan.broker is not None
        pause = self._patience.first_pause
        while True:
            child = await Child.start(self.plan.broker, self._sink)
            try:
                await child.ready(self._patience.ready_within)
            except Unavailable as error:
                await child.stop(self._patience.stop_within)
                self._say(f"{error}; starting it again in {pause:g} s")
                await asyncio.sleep(pause)
                pause = self._patience.next_pause(pause)
            except BaseException:
                await child.stop(self._patience.stop_within)
                raise
            else:
                return child

    async def _establish(self) -> None:
        pause = self._patience.first_pause
        while True:
            try:
                return await self.plan.establish()
            except Unavailable as error:
                self._say(f"{error}; trying again in {pause:g} s")
                await asyncio.sleep(pause)
                pause = self._patience.next_pause(pause)

    async def _serve(self) -> None:
        """Services, then their followers, until cancelled."""
        async with self._kept(self.plan.services):
            self._on_ready()
            async with self._kept(self.plan.followers):
                await asyncio.Future()

    @asynccontextmanager
    async def _kept(self, launches: Sequence[Launch]) -> AsyncIterator[None]:
        """Children that are ready and kept running, until the end of the block."""
        async with asyncio.TaskGroup() as group:
            keepers = {launch.name: self._keeper(launch) for launch in launches}
            self.keepers.update(keepers)
            tasks = [group.create_task(keeper.run()) for keeper in keepers.values()]
            for keeper in keepers.values():
                await keeper.ready.wait()
            try:
                yield
            finally:
                await self._stop(list(keepers.values()), tasks)

    def _keeper(self, launch: Launch) -> Keeper:
        earlier = self.keepers.get(launch.name)
        known = earlier is not None and earlier.has_been_ready
        return Keeper(launch, self._sink, self._say, self._patience, has_been_ready=known)

    async def _stop(self, keepers: Sequence[Keeper], tasks: Sequence[asyncio.Task[None]]) -> None:
        """Stop children in the order given, each when those before that hand something on have; all at once where the
        broker is gone."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._patience.stop_within
        for position, (keeper, task) in enumerate(zip(keepers, tasks, strict=True)):
            awaited = keeper.launch.hands_on and not self._broker_is_gone
            reserved = LEAST_STOP * (len(keepers) - position - 1) if awaited else 0.0
            keeper.stop_within = max(deadline - reserved - clock(), LEAST_STOP)
            task.cancel()
            if awaited:
                await asyncio.wait({task})
