"""How soon an event is stored and its alert seen, under load: `python -m bench.latency`.

Starts a stack of its own on real Kafka and NX-27017. At each rate, events go through ingest over HTTP, ten batches a
second; every other batch holds one event that raises an alert at once (an NPS detractor of a relationship of its own).
The load is open-loop: batches leave on schedule whether earlier ones were answered or not, and every latency is counted
from the moment a batch was due to leave, so nothing is left out because the system was slow (no coordinated omission).
A rate is reached when nothing was refused and scoring's backlog does not grow. Exits with 1 where, at 1,000 events/s,
95 % of the alerts take longer than 0.7 s or 99 % longer than 1.3 s.

Then once more with 1,000 events/s on a stack whose full hours are half a minute apart, so that some pass: all
relationships are then evaluated, and of a few, state rules fire. The same targets are held against its events.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np

from bench.latency_due import Late, lateness, loaded
from bench.listening import Line, on_the_line
from bench.open_loop import BATCHES_PER_S, Plan, Sent, Traffic, send_all
from bench.stack import REAL, bench_stack
from bench.watching import Watch, watching
from shared.clock import new_id, now_ms
from shared.domain.contract.events import SECOND

RATES = (100, 1_000, 10_000)  # events/s
SECONDS, QUICK_SECONDS = 60.0, 10.0
WARM_SECONDS = 5.0
RELATIONSHIPS = 1_000
TARGET_RATE, TARGETS = 1_000, {"p95": 0.7, "p99": 1.3}  # seconds from due to the alert
DRAIN_SECONDS = 600.0  # for working off what a rate too high has left
GROWTH = 0.02  # of the rate: a backlog that grows faster was not kept up with
GRAIN, QUICK_GRAIN = 30, 5  # seconds between two "full hours"
GRAINS = 2  # that pass while it is measured
DUE, QUICK_DUE = 25, 5  # relationships of each state rule
BACKLOG_SECONDS = 10.0  # of traffic: less than that is what waits for the next flush


class Tries(msgspec.Struct, frozen=True):
    """What was seen of one rate: batches, and for each alert its seconds from due until then (None: never)."""

    plan: Plan
    sent: Sequence[Sent]
    stored: Sequence[float | None]
    seen: Sequence[float | None]
    lag: Sequence[tuple[float, int]]  # (perf_counter, events that scoring has not committed, about)
    drained: float | None  # seconds from the last answer until nothing was left to score


def main() -> None:
    """Measure, print a table, and write the figures if asked to."""
    arguments = argparse.ArgumentParser(prog="python -m bench.latency", description=__doc__.split("\n\n")[0])
    arguments.add_argument("--rates", type=int, nargs="+", default=RATES, metavar="N", help="events/s, multiples of 20")
    arguments.add_argument("--seconds", type=float, metavar="N", help=f"at each rate (default: {SECONDS:.0f})")
    arguments.add_argument(
        "--grain", type=int, metavar="N", help=f"seconds of a full hour ({GRAIN}); 0: without that run"
    )
    arguments.add_argument("--quick", action="store_true", help=f"{QUICK_SECONDS:.0f} s at each rate")
    arguments.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    asked = arguments.parse_args()
    if any(rate < 2 * BATCHES_PER_S or rate % BATCHES_PER_S for rate in asked.rates):
        arguments.error(f"rates are multiples of {BATCHES_PER_S}, at least {2 * BATCHES_PER_S}")
    if asked.grain is None:
        asked.grain = QUICK_GRAIN if asked.quick else GRAIN
    seconds = asked.seconds or (QUICK_SECONDS if asked.quick else SECONDS)
    with bench_stack(REAL) as stack:
        found = asyncio.run(measured(stack.ready(), [Plan(rate, WARM_SECONDS, seconds) for rate in asked.rates]))
    figures: dict[str, Any] = {
        "load": os.getloadavg()[0],
        "rates": {str(tries.plan.rate): summary(tries) for tries in found},
    }
    if asked.grain:
        figures["canonical"] = canonical(asked.grain, QUICK_DUE if asked.quick else DUE)
    print(table(figures))
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1))
    if any(found.get("met") is False for found in [*figures["rates"].values(), figures.get("canonical", {})]):
        sys.exit("A target was missed.")


# --- measuring -------------------------------------------------------------------------------------------------------


async def measured(ready: dict[str, str], plans: Sequence[Plan]) -> list[Tries]:
    """One rate after the other, each begun with nothing left to do."""
    found = []
    async with on_the_line(ready) as line:
        await known(ready)
        for plan in plans:
            print(f"{plan.rate:,} events/s for {plan.seconds:.0f} s ...", file=sys.stderr, flush=True)
            async with watching(ready["kafka"]) as watch:
                await watch.until_done(DRAIN_SECONDS)
                found.append(await one(ready, line, watch, plan))
    return found


def canonical(grain: int, due: int) -> dict[str, Any]:
    """The figures of a run at the rate of the target in which full hours pass, `grain` seconds apart."""
    plan = Plan(TARGET_RATE, WARM_SECONDS, GRAINS * grain + 10.0)
    print(f"{plan.rate:,} events/s for {plan.seconds:.0f} s, full hours of {grain} s ...", file=sys.stderr, flush=True)
    with bench_stack(REAL, RAPPORT_EVALUATION_SECONDS=str(grain)) as stack:
        tries, late = asyncio.run(crossing(stack.ready(), plan, grain, due))
    return {"grain_seconds": grain, **summary(tries), "moment_to_alert": spreads(late)}


async def crossing(ready: dict[str, str], plan: Plan, grain: int, due: int) -> tuple[Tries, Late]:
    """One rate, while state rules fire for `due` relationships each, at the latest a grain before the end."""
    async with on_the_line(ready) as line, watching(ready["kafka"]) as watch:
        await known(ready)
        first, planned = await loaded(line, due, plan.seconds - grain)
        await watch.until_done(DRAIN_SECONDS)
        await asyncio.sleep(max(0.0, (first - now_ms()) / SECOND - plan.warm))
        until = first + round(plan.seconds * SECOND)
        late = asyncio.create_task(lateness(line, planned, until))
        tries = await one(ready, line, watch, plan)
        return tries, await late


async def known(ready: dict[str, str]) -> None:
    """Make the relationships of the background known: creating them is not what is measured."""
    plan = Plan(RELATIONSHIPS, 0, 1)
    for sent in await send_all(ready["ingest"], ready["write_key"], plan, Traffic(new_id()[:8], RELATIONSHIPS)):
        if sent.status != httpx.codes.ACCEPTED:
            raise RuntimeError(f"ingest answered {sent.status}")


async def one(ready: dict[str, str], line: Line, watch: Watch, plan: Plan) -> Tries:
    """Send everything, then wait until all of it was scored and seen, or time is up."""
    watch.lag.clear()
    before = await watch.written()
    sent = await send_all(ready["ingest"], ready["write_key"], plan, Traffic(new_id()[:8], RELATIONSHIPS))
    events = sum(one.batch.events for one in sent if one.status == httpx.codes.ACCEPTED)
    a_record = events / max(1, await watch.written() - before)
    lag = [(at, round(records * a_record)) for at, records in watch.lag]
    try:
        drained = await watch.until_done(DRAIN_SECONDS)
    except TimeoutError:
        drained = None
    alerting = [one for one in sent if one.alert and one.batch.measured and one.status == httpx.codes.ACCEPTED]
    await until_seen(line, watch, alerting)
    stored = [watch.stored.get(one.alert) for one in alerting if one.alert]
    seen = [line.seen.get(one.alert) for one in alerting if one.alert]
    return Tries(
        plan,
        sent,
        [None if at is None else (at - one.wall) / 1000 for one, at in zip(alerting, stored, strict=True)],
        [None if at is None else at.at - one.due for one, at in zip(alerting, seen, strict=True)],
        lag,
        drained,
    )


async def until_seen(line: Line, watch: Watch, alerting: Sequence[Sent], within: float = 60.0) -> None:
    """Return when every alert was stored and seen, or time is up: what is missing then is counted as such."""
    for _ in range(round(within / 0.1)):
        if all(one.alert in line.seen and one.alert in watch.stored for one in alerting):
            return
        await asyncio.sleep(0.1)


# --- figures ---------------------------------------------------------------------------------------------------------


def spread(seconds: Sequence[float]) -> dict[str, Any]:
    """Percentiles 1 to 100 (Hyndman & Fan type 7) in seconds, and the usual ones by name; empty without tries."""
    if not seconds:
        return {}
    percentiles = [float(value) for value in np.percentile(seconds, np.arange(1, 101))]
    named = {f"p{number}": percentiles[number - 1] for number in (50, 95, 99)}
    return {"tries": len(seconds), **named, "max": max(seconds), "percentiles": percentiles}


def summary(tries: Tries) -> dict[str, Any]:
    """One rate: latencies, rates, backlog, whether it was reached; at the rate of the target whether that was met."""
    plan = tries.plan
    measured = [one for one in tries.sent if one.batch.measured]
    accepted = [one for one in measured if one.status == httpx.codes.ACCEPTED]
    alerting = [one for one in accepted if one.alert]
    seen = [seconds for seconds in tries.seen if seconds is not None]
    after = [seconds - (one.answered - one.due) for one, seconds in zip(alerting, tries.seen, strict=True) if seconds]
    answered_by = max((one.answered for one in accepted), default=0.0)
    span = max(answered_by - min((one.due for one in measured), default=0.0), plan.seconds)
    found: dict[str, Any] = {
        "offered_per_s": sum(one.batch.events for one in measured) / plan.seconds,
        "accepted_per_s": sum(one.batch.events for one in accepted) / span,
        "refused_batches": len(measured) - len(accepted),
        "unseen_alerts": len(alerting) - len(seen),
        "sent_late": spread([one.left - one.due for one in measured]),
        "due_to_accepted": spread([one.answered - one.due for one in accepted]),
        "due_to_stored": spread([seconds for seconds in tries.stored if seconds is not None]),
        "due_to_alert": spread(seen),
        "accepted_to_alert": spread(after),
        "backlog": backlog(tries),
    }
    found["reached"] = (
        not found["refused_batches"]
        and not found["backlog"]["growing"]
        and found["accepted_per_s"] >= (1 - GROWTH) * found["offered_per_s"]
    )
    if plan.rate == TARGET_RATE:
        late = [name for name, most in TARGETS.items() if not seen or found["due_to_alert"][name] > most]
        found["met"] = not late and not found["unseen_alerts"] and found["reached"]
    return found


def spreads(late: Late) -> dict[str, Any]:
    """Seconds from the canonical moment to the alert, of each state rule and of all; and how many were never seen."""
    by_rule = {rule: [one for one in found if one is not None] for rule, found in late.items()}
    everything = [seconds for found in by_rule.values() for seconds in found]
    unseen = sum(len(found) for found in late.values()) - len(everything)
    return {**{name: spread(found) for name, found in by_rule.items()}, "all": spread(everything), "unseen": unseen}


def backlog(tries: Tries) -> dict[str, Any]:
    """What scoring had not committed: at the end, its growth in events/s over the second half, and if that is too much.

    Less than a few seconds of traffic is no backlog but the time between two commits.
    """
    half = tries.lag[len(tries.lag) // 2 :]
    times, events = zip(*half, strict=True) if half else ((0.0,), (0,))
    growth = float(np.polyfit(times, events, 1)[0]) if len(half) > 2 else 0.0
    rate = tries.plan.rate
    growing = events[-1] > BACKLOG_SECONDS * rate and growth > GROWTH * rate
    return {
        "events": int(events[-1]),
        "growth_per_s": growth,
        "growing": bool(growing or tries.drained is None),
        "drained_in": tries.drained,
    }


def table(figures: dict[str, Any]) -> str:
    """Lines for people."""
    lines = [
        "seconds from when a batch was due to leave (open loop), background traffic and alerting events through ingest;"
        f" real Kafka, NX-27017, load {figures['load']:.1f}",
        f"{'events/s':>9} {'':20}{'tries':>7}{'p50':>8}{'p95':>8}{'p99':>8}{'max':>8}",
    ]
    for rate, found in figures["rates"].items():
        lines += [*shown(rate, found), " " * 10 + verdict(found)]
    if again := figures.get("canonical"):
        lines.append(f"with full hours of {again['grain_seconds']} s, and from the moment to the alert of state rules:")
        rules = {name: found for name, found in again["moment_to_alert"].items() if name != "unseen"}
        lines += shown(str(TARGET_RATE), again) + [row(TARGET_RATE, name, found) for name, found in rules.items()]
        lines.append(" " * 10 + verdict(again) + f"; {again['moment_to_alert']['unseen']} of state rules never seen")
    return "\n".join(lines)


def shown(rate: str, found: dict[str, Any]) -> list[str]:
    """The latencies of one rate."""
    names = ("due_to_accepted", "due_to_stored", "due_to_alert", "accepted_to_alert")
    return [row(int(rate), name, found[name]) for name in names]


def row(rate: int, name: str, values: dict[str, Any]) -> str:
    """One latency."""
    numbers = "".join(f"{values[key]:8.3f}" for key in ("p50", "p95", "p99", "max")) if values else "       -"
    return f"{rate:9,} {name.replace('_', ' '):20}{values.get('tries', 0):7}{numbers}"


def verdict(found: dict[str, Any]) -> str:
    """In words: whether the rate was reached, what was not seen, and the target where there is one."""
    left = found["backlog"]
    words = [f"accepted {found['accepted_per_s']:,.0f} of {found['offered_per_s']:,.0f} events/s"]
    if left["growing"]:
        words.append(
            f"RATE NOT REACHED: the backlog grew by {left['growth_per_s']:,.0f} events/s to {left['events']:,}"
        )
    elif not found["reached"]:
        words.append(f"RATE NOT REACHED: {found['refused_batches']} batches refused")
    if found["unseen_alerts"]:
        words.append(f"{found['unseen_alerts']} alerts NOT SEEN")
    if "met" in found:
        words.append("target met" if found["met"] else "target MISSED")
    return "; ".join(words)


if __name__ == "__main__":
    main()
