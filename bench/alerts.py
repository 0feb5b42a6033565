"""How soon an alert is on the live stream, rule by rule: `python -m bench.alerts`.

Starts a stack of its own. An event rule: from posting the event over HTTP to reading the alert on the API's stream, one
event after another while nothing else is going on, each after a pause of random length (so that no try rides on the
rhythm of the one before). A state rule: from the canonical moment that the alert names to reading it, of
relationships that become due one after another. Canonical moments are every 5 s here in place of every full hour.
Exits with 1 where a target is missed: 95 % of event rules' alerts within 1 s, of state rules' within 5 s.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import numpy as np

from bench.deadline_latency import Due, before_midnight, deadline_latency
from bench.listening import Line, on_the_line
from bench.stack import BROKERS, bench_stack
from shared.clock import now_ms
from shared.domain.contract.days import day_name, day_of, iso
from shared.domain.contract.events import SECOND
from shared.load.outgoing import Outgoing, encode_event

EVENT_RULES = ("nps_detractor", "price_change_planned")
STATE_RULES = ("usage_drop", "feature_decline", "silence", "expectation_violated")
TARGETS = {**dict.fromkeys(EVENT_RULES, 1.0), **dict.fromkeys(STATE_RULES, 5.0)}  # seconds, at p95
GRAIN_SECONDS = 5
RELATIONSHIPS = 20  # among which the tries of an event rule go round
LONGEST_PAUSE = 0.25  # seconds between two tries
LOADING = 15 * SECOND  # from planning to the first due moment: loading, and the quiet evaluation of what was loaded
WITHIN = 60.0  # seconds; an alert that comes later is a failure, not a figure


class Size(msgspec.Struct, frozen=True):
    """Tries of each event rule, relationships of each state rule, and ms over which these become due."""

    tries: int
    due: int
    span: int


FULL, QUICK = Size(200, 20, 40 * SECOND), Size(20, 5, 12 * SECOND)


def main() -> None:
    """Measure, print a table, and write the figures if asked to."""
    arguments = argparse.ArgumentParser(prog="python -m bench.alerts", description=__doc__.split("\n\n")[0])
    arguments.add_argument("--kafka", choices=BROKERS, default=BROKERS[0], help="on which broker")
    arguments.add_argument("--quick", action="store_true", help="20 tries in place of 200")
    arguments.add_argument("--json", type=Path, help="write the figures there")
    asked = arguments.parse_args()
    size = QUICK if asked.quick else FULL
    with bench_stack(asked.kafka, RAPPORT_EVALUATION_SECONDS=str(GRAIN_SECONDS)) as stack:
        seconds = asyncio.run(measured(stack.ready(), size))
    figures = {
        "kafka": asked.kafka,
        "load": os.getloadavg()[0],
        "rules": {rule: spread(rule, found) for rule, found in seconds.items()},
    }
    print(table(figures))
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1))
    if any(not rule["met"] for rule in figures["rules"].values()):
        sys.exit("A target was missed.")


async def measured(ready: dict[str, str], size: Size) -> dict[str, list[float]]:
    """Seconds by rule."""
    async with on_the_line(ready) as line:
        found = await lateness(line, size)
        chance = Random(1)
        for rule in EVENT_RULES:
            found[rule] = await latency(line, rule, size.tries, chance)
    return found


# --- event rules -----------------------------------------------------------------------------------------------------


async def latency(line: Line, rule: str, tries: int, chance: Random) -> list[float]:
    """Seconds from posting to seeing, for one event after another."""
    ids = [f"bench-{rule.replace('_', '-')}-{number}" for number in range(RELATIONSHIPS)]
    await line.post_many([_event(id, "relationship.updated", "directory", {"kind": "partner"}) for id in ids])
    await line.scored(ids)
    found = []
    for number in range(tries):
        await asyncio.sleep(chance.uniform(0, LONGEST_PAUSE))
        id = ids[number % len(ids)]
        subject, event = _trigger(rule, id, number)
        left = await line.post(event)
        seen = await line.first_seen((id, rule, subject), WITHIN)
        found.append(seen.at - left)
    return found


def _trigger(rule: str, id: str, number: int) -> tuple[str, Outgoing]:
    """The subject of the alert, and the event that raises it."""
    if rule == "nps_detractor":
        person = f"person-{number}@{id}.example"
        return person, _event(id, "survey.answered", f"{number}", {"instrument": "nps", "score": 2, "person": person})
    day = day_name(day_of(now_ms()) + 30 + number)
    return f"price@{day}", _event(id, "price.change_planned", f"{number}", {"change": 0.1, "effective_at": day})


def _event(id: str, type: str, key: str, data: dict[str, Any]) -> Outgoing:
    return encode_event(
        line=0, id=f"{id}/{key}", source="bench", type=type, subject=id, time=now_ms(), data=data, backfill=False
    )


# --- state rules -----------------------------------------------------------------------------------------------------


async def lateness(line: Line, size: Size) -> dict[str, list[float]]:
    """Seconds from the canonical moment to seeing, for relationships that become due one after another."""
    now = await before_midnight(LOADING + size.span)
    first = now + LOADING
    chance = Random(2)  # at any moment: neither full seconds nor a rhythm
    plan = [
        deadline_latency(rule, number, now, first + chance.randrange(size.span))
        for rule in STATE_RULES
        for number in range(size.due)
    ]
    await line.post_many([event for due in plan for event in due.history])
    async with asyncio.TaskGroup() as group:
        tasks = [(due.rule, group.create_task(_late(line, due))) for due in plan]
    return {rule: [task.result() for name, task in tasks if name is rule] for rule in STATE_RULES}


async def _late(line: Line, due: Due) -> float:
    if due.later:
        await asyncio.sleep(max(0, due.post_at - now_ms()) / SECOND)
        await line.post_many(due.later)
    try:
        seen = await line.first_seen((due.relationship, due.rule, due.subject), WITHIN + FULL.span / SECOND)
    except TimeoutError:
        raise RuntimeError(f"no alert of {due.rule} for {due.relationship}, due at {iso(due.post_at)}") from None
    return (seen.wall - seen.moment) / SECOND


# --- figures ---------------------------------------------------------------------------------------------------------


def spread(rule: str, seconds: list[float]) -> dict[str, Any]:
    """Quantiles (Hyndman & Fan type 7) in seconds, the target and whether it was met."""
    p50, p95, p99 = (float(value) for value in np.quantile(seconds, [0.5, 0.95, 0.99]))
    target = TARGETS[rule]
    return {"tries": len(seconds), "p50": p50, "p95": p95, "p99": p99, "max": max(seconds),
            "target": target, "met": p95 <= target}  # fmt: skip


def table(figures: dict[str, Any]) -> str:
    """Lines for people."""
    lines = [f"event or moment → alert on the stream, seconds; broker: {figures['kafka']}, load {figures['load']:.1f}"]
    lines.append(f"{'rule':22}{'tries':>6}{'p50':>8}{'p95':>8}{'p99':>8}{'max':>8}{'target':>8}")
    for name, rule in figures["rules"].items():
        values = "".join(f"{rule[key]:8.3f}" for key in ("p50", "p95", "p99", "max"))
        met = "met" if rule["met"] else "MISSED"
        lines.append(f"{name:22}{rule['tries']:6}{values}{rule['target']:8.0f}  {met}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
