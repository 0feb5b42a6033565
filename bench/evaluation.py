"""What it costs to evaluate relationships at their canonical moments: `python -m bench.evaluation`.

Nothing but Rapport's own code on stores and logs in memory: rules and scores over relationships with 90 days of
history, and loading these. CPU time of this process, medians of some rounds. What exactly is measured:
docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from bench.evaluation_rows import alone, loading, parts, templates, together
from bench.throughput_report import machine
from bench.throughput_store import Templates
from services.scoring.garbage import Garbage


class Size(msgspec.Struct, frozen=True):
    """How much is measured: rounds, kinds of history, relationships evaluated together, and at how many full hours."""

    rounds: int = 3
    kinds: int = 16
    batch: int = 1_000
    alone: int = 20
    moments: int = 24
    loaded: int = 200


FULL, QUICK = Size(), Size(rounds=1, kinds=3, batch=50, alone=3, moments=3, loaded=20)
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
    for name in names:
        print(f"{name} ...", file=sys.stderr, flush=True)
        found |= PARTS[name](made, size)
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


PARTS: dict[str, Callable[[Templates, Size], Figures]] = {"rows": rows, "load": load}


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
    return "\n".join(lines)


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.evaluation", description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, help="of the parts; all by default")
    parser.add_argument("--quick", action="store_true", help="small, one round: to see that it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    return parser


if __name__ == "__main__":
    main()
