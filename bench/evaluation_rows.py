"""What a canonical evaluation costs, and to bring what it needs into memory: µs of CPU a relationship."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from time import process_time

import msgspec
import numpy as np

from bench.evaluation_story import START, Told, history, key_of, of_the_hour, record
from bench.throughput_history import scored
from bench.throughput_store import LocalStore, Server, Templates
from services.scoring.decode import read, segments
from services.scoring.loading import Loader
from shared.domain.columns.block import Block
from shared.domain.columns.row import Row
from shared.domain.contract.events import DAY, HOUR, Millis
from shared.domain.engine.run import Prefetched, Run
from shared.domain.engine.step import step_many, tick
from shared.domain.engine.terms import Terms
from shared.domain.relationship.fence import Fence, position_of
from shared.domain.rules.table import state_rules
from shared.domain.scores.formulas import score_columns
from shared.playbooks.loader import load_playbook
from shared.settings import Settings
from shared.storage.documents import Plain, document
from shared.storage.memory import MemoryStore
from shared.storage.store import StateStore, Write

ACTIVE = 0.5  # of the relationships have events in an hour
LOG = "bench"
END = Fence(LOG, 0, 1 << 40)
SCORES = "scores"


def templates(count: int, seed: int = 5) -> Templates:
    """Documents of so many relationships with history, evaluated up to START. Evaluated once a day, to be made soon."""
    rng = np.random.default_rng(seed)
    records = [record(number, told, at) for number in range(count) for at, told in enumerate(history(number, rng))]
    return asyncio.run(scored(records, count, START * DAY, Settings(evaluation_seconds=DAY // 1_000), wave=1_000))


def built_in() -> Terms:
    """What the engine goes by, out of the box."""
    return Terms(load_playbook(None))


async def load(store: StateStore, block: Block, numbers: Iterable[int]) -> list[Row]:
    """Bring these relationships into a block."""
    return await Loader(store, block, built_in().dedup_days).load(map(key_of, numbers), START * DAY, 0, END)


# --- evaluation ------------------------------------------------------------------------------------------------------


class Moment(msgspec.Struct, frozen=True):
    """A full hour at which all of these rows are due."""

    block: Block
    rows: list[Row]
    at: Millis
    place: Fence
    terms: Terms

    def evaluate(self, rows: Sequence[Row]) -> None:
        """As a clock record does it."""
        tick(self.block, rows, self.at, self.terms, self.place)


def a_day(made: Templates, size: int, moments: int, seed: int = 3) -> Iterator[Moment]:
    """Full hours one after another; of the relationships, ACTIVE have had events in each. Whoever asks evaluates."""
    terms, rng, offset = built_in(), np.random.default_rng(seed), 0
    block = terms.block(size)
    rows = asyncio.run(load(LocalStore(Server(made)), block, range(size)))
    for hour in range(1, moments + 1):
        at = START * DAY + hour * HOUR
        told = [
            (number, one) for number in range(size) if rng.random() < ACTIVE for one in of_the_hour(number, at, rng)
        ]
        fold(block, told, offset, terms)
        offset += len(told) + 1
        for row in rows:
            block.schedule(row, at)
        yield Moment(block, rows, at, Fence(LOG, 0, position_of(offset)), terms)


def fold(block: Block, told: Sequence[tuple[int, Told]], offset: int, terms: Terms) -> None:
    """Fold these events, each with the number of its relationship, from that offset on."""
    for run in runs(told, offset):
        step_many(block, run, Prefetched({}, {}), terms, LOG, 0)


def runs(told: Sequence[tuple[int, Told]], offset: int) -> list[Run]:
    """Events, each with the number of its relationship, as the engine takes them."""
    found = segments([read(record(number, one, offset + at)) for at, (number, one) in enumerate(told)], 0, 1)
    return [segment for segment in found if isinstance(segment, Run)]


def together(made: Templates, size: int, moments: int) -> float:
    """µs of CPU a relationship, of evaluating all of them together."""
    spent = sum(cpu_of(partial(moment.evaluate, moment.rows)) for moment in a_day(made, size, moments))
    return 1e6 * spent / (size * moments)


def alone(made: Templates, size: int, moments: int) -> float:
    """µs of CPU of evaluating one relationship by itself."""
    found = a_day(made, size, moments)
    spent = sum(cpu_of(partial(moment.evaluate, [row])) for moment in found for row in moment.rows)
    return 1e6 * spent / (size * moments)


def parts(made: Templates, size: int, moments: int) -> dict[str, float]:
    """µs of CPU a relationship, of each rule and of the scores, in this order on one view."""
    spent: dict[str, float] = {}
    for moment in a_day(made, size, moments):
        view = moment.block.view(moment.rows, [moment.at] * size)
        every = moment.terms.resolver.of_rows(moment.rows)
        looks: dict[str, Callable[[], object]] = {
            rule.name: partial(rule.evaluate, view, every.thresholds(rule.name, np.arange(size)))
            for rule in state_rules()
        }
        looks[SCORES] = partial(score_columns, view)
        for name, look in looks.items():
            spent[name] = spent.get(name, 0.0) + cpu_of(look)
        moment.evaluate(moment.rows)
    return {name: 1e6 * seconds / (size * moments) for name, seconds in spent.items()}


def cpu_of(act: Callable[[], object]) -> float:
    """Seconds of CPU that it takes."""
    began = process_time()
    act()
    return process_time() - began


# --- loading ---------------------------------------------------------------------------------------------------------


def loading(made: Templates, size: int) -> float:
    """µs of CPU a relationship, of bringing `size` of them from the store in memory into an empty block."""
    store, block = asyncio.run(filled(made, size)), built_in().block(size)

    async def all_of_them() -> float:
        began = process_time()
        rows = await load(store, block, range(size))
        assert len(rows) == size
        return process_time() - began

    return 1e6 * asyncio.run(all_of_them()) / size


async def filled(made: Templates, size: int) -> MemoryStore:
    """A store in memory that holds so many relationships."""
    store, server = MemoryStore(), LocalStore(Server(made))
    keys = [key_of(number) for number in range(size)]
    months, chunks = await server.months(keys, ""), await server.dedup_chunks(keys, 0)
    stored = {"relationships": (await server.states(keys)).values(), "months": months, "dedup": chunks}
    for collection, found in stored.items():
        docs = [document(one) for one in found]
        await store.write([Write(collection, doc["_id"], 0, Plain(doc)) for doc in docs])
    return store
