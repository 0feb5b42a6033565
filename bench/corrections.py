"""Alerts of others while one relationship is corrected: `python -m bench.corrections`.

Starts the whole stack on real Kafka and gives one relationship a long timeline. Then it retracts two of its touchpoints
a second, and meanwhile others answer a survey, each of which raises an alert at once: how long does that take, beside a
time in which nothing is retracted? Exits with 1 where it is more than AIM at p95, or an alert is never seen.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from bench.latency import spread
from bench.listening import Line, on_the_line
from bench.open_loop import encoded
from bench.stack import REAL, bench_stack
from bench.watching import watching
from shared.clock import new_id, now_ms
from shared.domain.contract.events import DAY, MINUTE, Millis
from shared.load.outgoing import Outgoing

TOUCHPOINTS, SECONDS = 16_000, 60.0
AIM = 0.5  # seconds at p95
SPAN = 300 * DAY  # in which the touchpoints lie
EVERY = 0.5  # seconds between two retractions, and between two answers of others
WITHIN = 60.0  # seconds in which an alert must be seen
CORRECTED = "acct-long"


def main() -> None:
    """Measure, print a table, and write the figures if asked to."""
    arguments = argparse.ArgumentParser(prog="python -m bench.corrections", description=__doc__.split("\n\n")[0])
    arguments.add_argument("--touchpoints", type=int, default=TOUCHPOINTS, help=f"of the one (default {TOUCHPOINTS:,})")
    arguments.add_argument("--seconds", type=float, default=SECONDS, help=f"of retractions (default {SECONDS:.0f})")
    arguments.add_argument("--quick", action="store_true", help="2,000 touchpoints and 10 s")
    arguments.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    asked = arguments.parse_args()
    touchpoints, seconds = (2_000, 10.0) if asked.quick else (asked.touchpoints, asked.seconds)
    with bench_stack(REAL) as stack:
        figures = asyncio.run(measured(stack.ready(), touchpoints, seconds))
    print(table(figures))
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1))
    if not figures["met"]:
        sys.exit("A target was missed.")


async def measured(ready: dict[str, str], touchpoints: int, seconds: float) -> dict[str, Any]:
    """Seconds from answer to alert, without and with retractions."""
    async with on_the_line(ready) as line, watching(ready["kafka"]) as watch:
        await touched(line, touchpoints)
        await watch.until_done(600.0)
        calm = await answers(line, seconds / 3, [])
        chosen = Random(7).sample(range(touchpoints), round(seconds / EVERY))
        busy = await answers(line, seconds, chosen)
        await watch.until_done(600.0)
    unseen = sum(one is None for one in [*calm, *busy])
    found = {name: spread([one for one in some if one]) for name, some in (("calm", calm), ("corrected", busy))}
    met = not unseen and found["corrected"]["p95"] <= AIM
    return {"touchpoints": touchpoints, **found, "unseen": unseen, "met": met}


async def touched(line: Line, count: int) -> None:
    """So many mails of the one relationship, by several people."""
    now = now_ms()
    for start in range(0, count, 500):
        numbers = range(start, min(count, start + 500))
        await line.post_many([mail(number, now - MINUTE - SPAN * number // count) for number in numbers])


def mail(number: int, time: Millis) -> Outgoing:
    """A mail of one of several people."""
    data: dict[str, object] = {"person": f"user{number % 7}@{CORRECTED}.example"}
    return encoded(f"mail-{number}", "message.received", CORRECTED, time, data)


async def answers(line: Line, seconds: float, retracted: Sequence[int]) -> list[float | None]:
    """Post answers, and beside each retract one of these mails; seconds until each alert (None: never seen)."""
    tasks = []
    for turn in range(round(seconds / EVERY)):
        began = asyncio.get_running_loop().time()
        if retracted:
            about: dict[str, object] = {"id": f"mail-{retracted[turn]}"}
            await line.post(encoded(f"retract-{retracted[turn]}", "event.retracted", CORRECTED, now_ms(), about))
        tasks.append(asyncio.create_task(answered(line)))
        await asyncio.sleep(max(0.0, EVERY - (asyncio.get_running_loop().time() - began)))
    return list(await asyncio.gather(*tasks))


async def answered(line: Line) -> float | None:
    """Seconds until the alert of somebody who would not recommend us."""
    who = f"acct-{new_id()[:12]}"
    name = f"dana@{who}.example"
    data: dict[str, object] = {"instrument": "nps", "score": 2, "person": name}
    left = await line.post(encoded(f"nps-{who}", "survey.answered", who, now_ms(), data))
    try:
        return (await line.first_seen((who, "nps_detractor", name), WITHIN)).at - left
    except TimeoutError:
        return None


def table(figures: dict[str, Any]) -> str:
    """Lines for people."""
    lines = [f"seconds from an answer to its alert; one relationship with {figures['touchpoints']:,} touchpoints"]
    for name in ("calm", "corrected"):
        found = figures[name]
        lines.append(f"{name:>10}" + "".join(f"  {part} {found[part]:.3f}" for part in ("p50", "p95", "p99", "max")))
    return "\n".join([*lines, f"{figures['unseen']} never seen; target {'met' if figures['met'] else 'MISSED'}"])


if __name__ == "__main__":
    main()
