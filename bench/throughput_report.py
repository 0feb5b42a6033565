"""Figures of the throughput bench: as JSON, as a Markdown table, and in words where final states differ."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from bench.peers.environment import peers_python
from bench.throughput_rows import Figures

SHOWN = 5  # differences
METRICS = ("events_per_s", "events_per_cpu_s", "peak_rss_mib")
OF_BARE = "of_bare"  # events per CPU second, as a share of what the bare loop has just made


class Measured(msgspec.Struct):
    """The runs of one row."""

    runs: list[Figures] = msgspec.field(default_factory=list)
    wrong: list[str] = msgspec.field(default_factory=list)
    limits: list[Figures] = msgspec.field(default_factory=list)  # of the bare loop, before each of the runs

    def add(self, figures: Figures, wrong: list[str], limit: Figures | None = None) -> None:
        self.runs.append(figures)
        self.wrong += wrong
        self.limits += [limit] if limit else []

    def spreads(self) -> dict[str, dict[str, float]]:
        """Min, median and max over the runs, of each of METRICS and of the share of the bare loop."""
        found = {metric: _spread([float(getattr(run, metric)) for run in self.runs], 1) for metric in METRICS}
        if self.limits:
            pairs = zip(self.runs, self.limits, strict=True)
            found[OF_BARE] = _spread([run.events_per_cpu_s / limit.events_per_cpu_s for run, limit in pairs], 4)
        return found


def _spread(values: Sequence[float], digits: int) -> dict[str, float]:
    named = {"min": min(values), "median": median(values), "max": max(values)}
    return {name: round(value, digits) for name, value in named.items()}


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {"cores": os.cpu_count(), "processor": _processor(), "python": platform.python_version()}


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def report(measured: Mapping[str, Measured]) -> dict[str, Any]:
    """What the JSON says of the rows."""
    rows = [
        {"name": name, "events": row.runs[0].events, **row.spreads(), **_verdicts(row.runs)}
        for name, row in measured.items()
    ]
    equal = not any(row.wrong for row in measured.values())
    return {"rows": rows, "states_equal": equal}


def _verdicts(runs: Sequence[Figures]) -> dict[str, int]:
    """Evaluations and flags, of rows that have them."""
    found = {name: round(median(getattr(run, name) for run in runs)) for name in ("evaluations", "flags")}
    return found if any(found.values()) else {}


def markdown(measured: Mapping[str, Measured]) -> str:
    """The table for the README: medians, with min and max."""
    state = "| row | events | events/s | events per CPU second | peak memory, MiB | of the bare loop |"
    lines = [state, "|---|--:|--:|--:|--:|--:|"]
    for name, row in measured.items():
        spreads = row.spreads()
        cells = [_cell(spreads[metric], ",.0f") for metric in METRICS]
        cells.append(_cell(spreads[OF_BARE], ".1%") if OF_BARE in spreads else "")
        lines.append(f"| {name} | {row.runs[0].events:,} | {' | '.join(cells)} |")
    for name, row in measured.items():
        if found := _verdicts(row.runs):
            lines.append(f"\n`{name}`: {found['evaluations']:,} evaluations, {found['flags']:,} flags raised")
    return "\n".join(lines)


def _cell(spread: Mapping[str, float], form: str) -> str:
    low, middle, high = (format(spread[name], form) for name in ("min", "median", "max"))
    return middle if low == high else f"{middle} ({low}–{high})"


def draw(published: Mapping[str, Any], path: Path) -> None:
    """Draw these figures, in the peers' environment, which has what draws."""
    path = path.resolve()
    figures = path.with_suffix(".figures.json")
    figures.write_text(json.dumps(published))
    try:
        command = [str(peers_python()), "-m", "bench.peers.picture", str(figures), str(path)]
        subprocess.run(command, check=True, cwd=Path(__file__).parents[1])
    finally:
        figures.unlink()


def differences(expected: Path, found: Path) -> list[str]:
    """The first relationships whose states differ, in words."""
    one, other = dict(_states(expected)), dict(_states(found))
    keys = sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key))
    return [f"{len(keys)} relationships differ"] + [
        f"{key}: expected {_published(one.get(key), other.get(key))}, found {_published(other.get(key), one.get(key))}"
        for key in keys[:SHOWN]
    ]


def _states(path: Path) -> Iterator[tuple[str, tuple[int | None, frozenset[tuple[Any, ...]]]]]:
    with path.open("rb") as lines:
        for line in lines:
            key, score, cells = msgspec.json.decode(line)
            yield key, (score, frozenset(map(tuple, cells)))


def _published(
    state: tuple[int | None, frozenset[tuple[Any, ...]]] | None,
    other: tuple[int | None, frozenset[tuple[Any, ...]]] | None,
) -> str:
    """A state by what the other lacks of it."""
    if state is None:
        return "nothing"
    more = sorted(state[1] - (other[1] if other else frozenset()))
    return f"score {state[0]} and {len(state[1])} counters, {more[:3]} among them alone"
