"""Relationships whose state rules fire while traffic goes on: what is loaded of them, how late their alerts come."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from random import Random

from bench.deadline_latency import Due, before_midnight, deadline_latency
from bench.listening import Line
from shared.clock import now_ms
from shared.domain.contract.events import SECOND, Millis

STATE_RULES = ("usage_drop", "feature_decline", "silence", "expectation_violated")
LOADING = 25 * SECOND  # from planning to the first due moment: loading, and the quiet evaluation of what was loaded
WITHIN = 60.0  # seconds after the last due moment; what is not seen by then never was

Late = Mapping[str, Sequence[float | None]]
"""By rule: seconds from the canonical moment that each alert names until it was seen (None: never)."""


async def loaded(line: Line, count: int, span: float) -> tuple[Millis, list[Due]]:
    """Of each rule so many relationships, due at moments of the `span` seconds from then on; their history is sent."""
    now = await before_midnight(LOADING + round(span * SECOND))
    first, chance = now + LOADING, Random(2)
    plan = [
        deadline_latency(rule, number, now, first + chance.randrange(round(span * SECOND)))
        for rule in STATE_RULES
        for number in range(count)
    ]
    await line.post_many([event for due in plan for event in due.history])
    return first, plan


async def lateness(line: Line, plan: Sequence[Due], until: Millis) -> Late:
    """Post what makes them due when it is time, and wait for all alerts; none comes later than WITHIN after `until`."""
    async with asyncio.TaskGroup() as group:
        tasks = [(due.rule, group.create_task(_late(line, due, until))) for due in plan]
    return {rule: [task.result() for name, task in tasks if name is rule] for rule in STATE_RULES}


async def _late(line: Line, due: Due, until: Millis) -> float | None:
    if due.later:
        await asyncio.sleep(max(0, due.post_at - now_ms()) / SECOND)
        await line.post_many(due.later)
    try:
        left = max(0, until - now_ms()) / SECOND + WITHIN
        seen = await line.first_seen((due.relationship, due.rule, due.subject), left)
    except TimeoutError:
        return None
    return (seen.wall - seen.moment) / SECOND
