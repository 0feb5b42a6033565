"""The month in a log in memory, turn by turn; now and then a worker is killed and another takes over."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from shared.domain.contract.events import SECOND, Millis
from shared.stream.memory import MemoryLog
from shared.stream.memory_group import MemoryMember
from shared.stream.topics import INTERACTIONS, QUARANTINE, SCORING_GROUP, UPDATES
from tests.scoring.living import World, told
from tests.scoring.month import Steps, terms
from tests.scoring.picture import Picture, stored

PARTITIONS = 2


class InTurns:
    """Takes turns in any order, and reads any number of records at once."""

    def __init__(self, seed: int, memory: int) -> None:
        self._chance = Random(seed)
        self._log = MemoryLog()
        for topic, partitions in ((INTERACTIONS, PARTITIONS), (UPDATES, PARTITIONS), (QUARANTINE, 1)):
            self._log.create(topic, partitions)
        self.world = World(self._log.publisher(), terms(), PARTITIONS, memory)

    async def live(self, steps: Steps, dates: Sequence[Millis]) -> Picture:
        """Live through these steps; what has become of it."""
        await self.world.prepare()
        self._begin()
        for events, end in steps:
            await self.world.pass_to(end, events)
            await self._keep_up()
            if end in dates:
                await self.world.look(end)
        await self._worker.kill()
        records = (record for number in range(PARTITIONS) for record in self._log.records(UPDATES, number))
        return await stored(self.world.store, told(records), self.world.keys, self.world.scores)

    def _begin(self) -> None:
        """A worker begins."""
        group = self._log.group(SCORING_GROUP, INTERACTIONS)
        self._worker = MemoryMember(group, self.world.scoring(), batch_limit=self._chance.choice((50, 5_000)))

    async def _keep_up(self) -> None:
        """Take some turns, then until nothing is left to be said up to now."""
        for _ in range(self._chance.randrange(4)):
            await self._chance.choice((self._worker.step, self._worker.flush, self._worker.flush_part))()
        if self._chance.random() < 0.05:
            await self._worker.kill()
            self._begin()
        await self._worker.drain()
        while min((await self.world.store.earliest_due(range(PARTITIONS))).values()) <= self.world.now:
            self.world.now += SECOND
            await self._worker.flush()
            await self._worker.drain()
