"""What a replay through the pure engine costs an event: a day of events, then what falls due by its end."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from bench.evaluation_rows import LOG, built_in, cpu_of, runs
from bench.evaluation_story import FEATURES, PERSONS, SHARES, START, Told, hours, key_of
from bench.throughput_log import TENANT
from bench.throughput_store import NAME
from shared.domain.columns.block import Block
from shared.domain.contract.days import Day
from shared.domain.contract.events import DAY, Millis
from shared.domain.engine.run import Prefetched, Run
from shared.domain.engine.step import step_many, tick
from shared.domain.engine.terms import Terms
from shared.domain.relationship.fence import Fence, position_of
from shared.domain.relationship.state import RelationshipState

TOUCHES = 0.1  # of the events, half of them from them to us; the others are use


def replaying(relationships: int, days: int, daily: int, seed: int = 9) -> float:
    """µs of CPU an event, of `daily` events a day and relationship."""
    terms, rng = built_in(), np.random.default_rng(seed)
    block = terms.block(relationships)
    for number in range(relationships):
        block.add(RelationshipState(id=key_of(number), tenant=TENANT, relationship=NAME.format(number)))
    spent, offset = 0.0, 0
    for day in range(START, START + days):
        told = sorted(
            ((number, one) for number in range(relationships) for one in happened(day, daily, rng)),
            key=lambda each: each[1][0],
        )
        made = runs(told, offset)
        offset += len(told) + 1
        spent += cpu_of(partial(replay_day, block, made, (day + 1) * DAY, offset, terms))
    return 1e6 * spent / (relationships * days * daily)


def replay_day(block: Block, made: Sequence[Run], end: Millis, offset: int, terms: Terms) -> None:
    """Fold a day's events, and evaluate all that is due by its end; what would be stored then is let go of."""
    for run in made:
        step_many(block, run, Prefetched({}, {}), terms, LOG, 0)
    tick(
        block,
        [row for row in block.rows.values() if 0 < row.state.next_due_at <= end],
        end,
        terms,
        Fence(LOG, 0, position_of(offset)),
    )
    block.ids.expire(end // DAY)
    for row in block.rows.values():
        row.pending, row.new_ids = {}, []


def happened(day: Day, daily: int, rng: np.random.Generator) -> list[Told]:
    """So many events of one relationship."""
    kinds, features = rng.random(daily).tolist(), rng.choice(len(FEATURES), daily, p=SHARES).tolist()
    told: list[Told] = []
    for at, kind, feature in zip(hours(day, daily, rng), kinds, features, strict=True):
        person = f"user{int(rng.integers(PERSONS))}@example.com"
        if kind < TOUCHES:
            type = "message.received" if kind < TOUCHES / 2 else "message.sent"
            told.append((at, type, {"channel": "email", "person": person}))
        else:
            data = {"feature": FEATURES[feature], "person": person, "quantity": int(rng.integers(1, 4))}
            told.append((at, "usage.feature_used", data))
    return told
