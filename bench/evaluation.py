"""What it costs to evaluate relationships at their canonical moments: `python -m bench.evaluation`.

Nothing but Rapport's own code on stores and logs in memory: rules and scores over relationships with 90 days of
history, loading these, a storm in which very many are due at once, and a replay. CPU time of this process, medians of
some rounds. What exactly is measured: docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from bench.evaluation_replay import replaying
from bench.evaluation_rows import alone, built_in, loading, parts, templates, together
from bench.evaluation_storm import storm
from bench.throughput_report import machine
from bench.throughput_store import Templates
from services.scoring.garbage import Garbage
from shared.domain.engine.evaluation import warm_up


class Size(msgspec.Struct, frozen=True):
    """How much is measured: rounds, kinds of history, relationships evaluated together, and at how many full hours;

    relationships that are loaded; those of each storm, seconds of events before it; relationships, days and
    events a day of the replays.
    """

    rounds: int = 3
    kinds: int = 16
    batch: int = 1_000
    alone: int = 20
    moments: int = 24
    loaded: int = 200
    storms: tuple[int, ...] = (10_000, 100_000)
    warm: float = 3.0
    replayed: int = 500
    days: int = 60
    daily: tuple[int, ...] = (2, 20)


FULL = Size()
QUICK = Size(
    rounds=1,
    kinds=3,
    batch=50,
    alone=3,
    moments=3,
    loaded=20,
    storms=(50, 200),
    warm=0.5,
    replayed=10,
    days=3,
    daily=(2, 20),
)
Figures = dict[str, Any]


def main() -> None:
    """Measure, print a table, and write the figures if asked to."""
    asked = arguments().parse_args()
    Garbage()  # as a scoring worker has it: no automatic look for garbage
    figures: Figures = {"load": os.getloadavg()[0], "machine": machine()}
    figures |= measured(QUICK if asked.quick else FULL, asked.only or list(PARTS))
    print(table(figures))
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1))


def measured(size: Size, names: Sequence[str]) -> Figures:
    """The figures of these parts."""
    made, found = templates(size.kinds), Figures()
    warm_up(built_in())
    for name in names:
        print(f"{name} ...", file=sys.stderr, flush=True)
        part = PARTS[name](made, size)
        print(json.dumps(part), file=sys.stderr, flush=True)
        found |= part
    return found


def rows(made: Templates, size: Size) -> Figures:
    """Evaluation of many relationships, and of one; then taken apart."""
    many = repeated(lambda: together(made, size.batch, size.moments), size.rounds)
    one = repeated(lambda: alone(made, size.alone, size.moments), size.rounds)
    apart = medians([parts(made, size.batch, size.moments) for _ in range(size.rounds)])
    spent = rounded(many)
    return {"row_us": spent, "single_us": rounded(one), "parts_us": apart, "row_rounds_us": [round(x, 1) for x in many]}


def load(made: Templates, size: Size) -> Figures:
    """Bringing relationships into memory."""
    return {"load_us": rounded(repeated(lambda: loading(made, size.loaded), size.rounds))}


def storms(made: Templates, size: Size) -> Figures:
    """Very many due at once; each storm once, since it takes minutes."""
    return {"storm": {str(count): asyncio.run(storm(made, count, size.warm)) for count in size.storms}}


def replays(made: Templates, size: Size) -> Figures:
    """Through the pure engine, without any history before."""

    def spent(daily: int) -> float:
        return rounded(repeated(lambda: replaying(size.replayed, size.days, daily), size.rounds))

    return {"replay_us": {str(daily): spent(daily) for daily in size.daily}}


PARTS: dict[str, Callable[[Templates, Size], Figures]] = {
    "rows": rows,
    "load": load,
    "replay": replays,
    "storm": storms,
}


def repeated(measure: Callable[[], float], rounds: int) -> list[float]:
    """What it says each time."""
    return [measure() for _ in range(rounds)]


def rounded(values: Sequence[float]) -> float:
    """Their median, to a tenth."""
    return round(median(values), 1)


def medians(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of each of the figures."""
    return {name: rounded([one[name] for one in found]) for name in found[0]}


def table(figures: Figures) -> str:
    """Lines for people."""
    lines = [f"µs of CPU a relationship (medians); load {figures['load']:.1f}"]
    for name in ("row_us", "single_us", "load_us"):
        if name in figures:
            lines.append(f"{name.removesuffix('_us'):28}{figures[name]:10,.1f}")
    lines += [f"    {name:24}{spent:10,.1f}" for name, spent in figures.get("parts_us", {}).items()]
    lines += [
        f"replay, {daily:>2} events a day: {spent:10,.1f} an event"
        for daily, spent in figures.get("replay_us", {}).items()
    ]
    lines += [f"storm of {int(count):>7,}: {words(one)}" for count, one in figures.get("storm", {}).items()]
    return "\n".join(lines)


def words(found: Figures) -> str:
    """A storm in a line."""
    return (
        f"longest slice {found['slice_ms_max']:,.0f} ms (of CPU {found['slice_cpu_ms_max']:,.0f}),"
        f" longest turn {found['turn_ms_max']:,.0f} ms ({found['longest']}),"
        f" {found['seconds']:,.1f} s in all, {found['cpu_seconds']:,.1f} s of CPU; {found['events']:,} events waited"
        + "".join(f" {name} {value:,.0f} ms" for name, value in found["wait_ms"].items())
        + "; alerts"
        + "".join(f" {name} {value:,.0f} ms" for name, value in found["alert_ms"].items())
    )


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.evaluation", description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, help="of the parts; all by default")
    parser.add_argument("--quick", action="store_true", help="small, one round: to see that it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    return parser


if __name__ == "__main__":
    main()
