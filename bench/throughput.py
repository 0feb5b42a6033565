"""Scoring throughput beside its limit and its peers: `python -m bench.throughput`.

Starts real Kafka, writes the events once, and runs one row after the other on them, each in a process of its own, in
three rounds; the bare loop runs before each, which shows how fast the machine then is. Every row does the same fold and
the same score; their final states are compared, and a difference fails the bench. Then it measures Rapport's cost an
event as the work grows. What each row does and what is measured: docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench.peers.fold import write_states
from bench.stack import kafka_running
from bench.throughput_log import Log, Parted, Traffic, by_partition, in_frames, in_inbox, reference, write
from bench.throughput_report import Measured, differences, draw, machine, markdown, report
from bench.throughput_rows import BARE, FRAMES, INBOX, JSON, ROWS, SHORT, Figures, run_once
from bench.throughput_scaling import scale

ROWS_ALONE, SCALING = "rows", "scaling"
PARTED: dict[str, Parted] = {FRAMES: in_frames, INBOX: in_inbox, JSON: by_partition, SHORT: by_partition}


class Bench:
    """Logs that are written when a row first needs them, the states they lead to, and what was measured on them."""

    def __init__(self, bootstrap: str, here: Path, traffic: Traffic, short: Traffic) -> None:
        self._bootstrap = bootstrap
        self._here = here
        self._traffic = {topic: short if topic == SHORT else traffic for topic in PARTED}
        self._logs: dict[str, Log] = {}
        self._digests: dict[str, str] = {}
        self._runs = 0
        self.measured: dict[str, Measured] = {}

    def run(self, name: str, extra: Sequence[str] = (), limit: Figures | None = None) -> Figures:
        """One run of a row; `limit`: what the bare loop has just made."""
        topic = ROWS[name].log
        log = self._log(topic)
        self._runs += 1
        here = self._here / f"run{self._runs}"
        figures, states = run_once(name, log, self._here / f"{topic}.keys", here, list(extra))
        wrong = []
        if ROWS[name].state and figures.state != self._digests[topic]:
            wrong = differences(self._here / f"{topic}.jsonl", states)
        self.measured.setdefault(name, Measured()).add(figures, wrong, limit)
        print(f"{name:16} {figures.events_per_s:12,.0f}/s {figures.events_per_cpu_s:12,.0f}/CPU s", flush=True)
        return figures

    def _log(self, topic: str) -> Log:
        if topic not in self._logs:
            traffic = self._traffic[topic]
            print(f"writing {traffic.events:,} events to {topic}", file=sys.stderr, flush=True)
            self._logs[topic] = asyncio.run(write(self._bootstrap, topic, traffic, PARTED[topic]))
            expected = reference(traffic)
            self._digests[topic] = write_states(self._here / f"{topic}.jsonl", expected)
            (self._here / f"{topic}.keys").write_text("\n".join(expected))
        return self._logs[topic]


class Size(msgspec.Struct, frozen=True):
    """How much is run: events in the log, those of them that slow rows get, relationships, runs of each row."""

    events: int = 1_000_000
    slow_events: int = 100_000
    relationships: int = 10_000
    runs: int = 3


QUICK = Size(events=50_000, slow_events=10_000, relationships=2_000, runs=1)


def main() -> None:
    """Run what was asked for; exits with 1 where final states differ."""
    asked = arguments().parse_args()
    published: dict[str, Any] = {"machine": machine()}
    measured: dict[str, Measured] = {}
    if asked.only != SCALING:
        measured = rows(asked, size(asked))
        print("\n" + markdown(measured), flush=True)
        published |= report(measured)
        if asked.svg:
            draw(published, asked.svg)
    if asked.only != ROWS_ALONE:
        published[SCALING] = scale(asked.quick, asked.events)
    if asked.json:
        asked.json.write_text(json.dumps(published, indent=1))
    if wrong := [f"{name}: {line}" for name, row in measured.items() for line in row.wrong]:
        sys.exit("Final states differ from the reference:\n" + "\n".join(wrong))


def size(asked: argparse.Namespace) -> Size:
    """The size asked for: what is not given is QUICK's or the default."""
    given = {name: getattr(asked, name) for name in Size.__struct_fields__ if getattr(asked, name) is not None}
    return msgspec.structs.replace(QUICK if asked.quick else Size(), **given)


def rows(asked: argparse.Namespace, chosen: Size) -> dict[str, Measured]:
    """The rows beside one another."""
    traffic = Traffic(chosen.events, chosen.relationships, recent=asked.recent, each=asked.each)
    short = msgspec.structs.replace(traffic, events=min(chosen.events, chosen.slow_events))
    with tempfile.TemporaryDirectory(prefix="rapport-bench-") as name, kafka_running(Path(name) / "kafka") as bootstrap:
        bench = Bench(bootstrap, Path(name), traffic, short)
        for row in chosen.runs * asked.rows:  # in rounds: a machine has slow minutes, and none is to have them all
            limit = bench.run(BARE) if BARE in asked.rows else None
            if row != BARE:
                profiled = asked.profile and row == "rapport_memory"
                bench.run(row, ["--profile", str(asked.profile)] if profiled else [], limit)
    return bench.measured


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.throughput", description=__doc__.split("\n\n")[0])
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), help="which rows; all by default")
    parser.add_argument("--events", type=int, metavar="N", help="in each log (default 1,000,000; for scaling 400,000)")
    parser.add_argument("--slow-events", type=int, metavar="N", help="of them for the slow rows (default 100,000)")
    parser.add_argument("--relationships", type=int, metavar="N", help="default 10,000")
    parser.add_argument("--recent", type=float, default=0.98, help="share of event times within the last day (0.98)")
    parser.add_argument("--each", type=int, default=3, help="features that each person uses, of 12 (3)")
    parser.add_argument("--runs", type=int, metavar="N", help="of each row (default 3)")
    parser.add_argument("--quick", action="store_true", help="small, one run each: to see that it works")
    parser.add_argument(
        "--only", choices=(ROWS_ALONE, SCALING), help="of the two parts: the rows, or cost as work grows"
    )
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw events per CPU second there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--profile", type=Path, metavar="FILE", help="profile rapport_memory (cProfile) into this file")
    return parser


if __name__ == "__main__":
    main()
