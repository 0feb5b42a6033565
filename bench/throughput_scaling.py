"""Cost an event as the work grows: `python -m bench.throughput_scaling`.

Scores traffic over 10 thousand, 100 thousand and 1 million relationships that have 90 days of history in the store,
uniform and Zipf (exponent 1.1), with one worker and with two of the same group. Each worker is measured over the second
half of the log, when what fits into its memory is there. How the history comes about: docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import msgspec

from bench.full_path import HALF
from bench.stack import kafka_running, launched
from bench.throughput_history import templates
from bench.throughput_log import (
    Log,
    Parted,
    Parts,
    Traffic,
    append,
    by_partition,
    create,
    events_in,
    in_frames,
    records,
)
from bench.throughput_report import machine
from bench.throughput_rows import BARE, Figures, run_once
from shared.clock import new_id
from shared.embedded.ports import free_port, listens
from shared.embedded.process import Launch, environment
from shared.stream.admin import delete_topics
from shared.stream.publisher import KafkaPublisher
from shared.stream.topics import INTERACTIONS

RELATIONSHIPS, QUICK_RELATIONSHIPS = (10_000, 100_000, 1_000_000), (500, 2_000)
EVENTS, QUICK_EVENTS = 400_000, 20_000
EXPONENTS = {"uniform": 0.0, "zipf": 1.1}
PATIENCE = 600.0  # seconds, for the workers to join and for half of the log


class Case(msgspec.Struct, frozen=True):
    """One run: over how many relationships, how spread, and by how many workers."""

    relationships: int
    traffic: str
    workers: int


class Outcome(msgspec.Struct, frozen=True):
    """What it took: CPU of all workers, the largest worker's memory."""

    case: Case
    events: int
    cpu_us_an_event: float
    peak_rss_mib: float
    evaluations: int = 0  # relationships times canonical moments


def main() -> None:
    """The command line."""
    asked = arguments().parse_args()
    scaling = scale(asked.quick, asked.events, asked.relationships, asked.traffic)
    if asked.json:
        asked.json.write_text(json.dumps({**scaling, "machine": machine()}, indent=1))


def scale(
    quick: bool, events: int | None = None, sizes: Sequence[int] = (), kinds: Sequence[str] = tuple(EXPONENTS)
) -> dict[str, Any]:
    """Every size with every kind of traffic, and the first with two workers: prints each, and returns the JSON.

    What is not given is the default, or small where it is to be `quick`.
    """
    events = events or (QUICK_EVENTS if quick else EVENTS)
    sizes = sizes or (QUICK_RELATIONSHIPS if quick else RELATIONSHIPS)
    cases = [Case(size, traffic, 1) for size in sizes for traffic in kinds]
    cases += [Case(sizes[0], traffic, 2) for traffic in kinds]
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="rapport-bench-") as name, kafka_running(Path(name) / "kafka") as bootstrap:
        here = Path(name)
        (here / "templates").write_bytes(msgspec.msgpack.encode(templates()))
        limit = bare(bootstrap, here, events)
        for number, case in enumerate(cases):
            outcomes.append(run(bootstrap, here / f"case{number}", here / "templates", case, events))
            print(line(outcomes, limit), flush=True)
    return {"bare_cpu_us": limit, "rows": published(outcomes)}


def bare(bootstrap: str, here: Path, events: int) -> float:
    """CPU of the bare loop, µs an event, on the same number of events."""
    log, parts = prepared(bootstrap, Traffic(events // 2), by_partition)
    log = msgspec.structs.replace(log, halves={}, counts=log.ends)
    asyncio.run(publish(log, parts))
    figures, _ = run_once(BARE, log, here / "none", here / "bare", [])
    asyncio.run(delete_topics(bootstrap, [INTERACTIONS]))
    return 1e6 / figures.events_per_cpu_s


def run(bootstrap: str, here: Path, stored: Path, case: Case, events: int) -> Outcome:
    """Start store and workers, write the log once all have their partitions, and wait until it is scored."""
    here.mkdir()
    traffic = Traffic(events, case.relationships, zipf=EXPONENTS[case.traffic])
    log, parts = prepared(bootstrap, traffic, in_frames)
    (here / "log.json").write_bytes(msgspec.json.encode(log))
    with store(stored) as port, workers(here, case, port) as processes:
        share = Traffic().partitions // case.workers
        until_told(here, processes, lambda text: len(text.split()) == share)
        asyncio.run(publish(log, {number: part[: log.halves[number]] for number, part in parts.items()}))
        until_told(here, processes, HALF.__eq__)
        asyncio.run(publish(log, {number: part[log.halves[number] :] for number, part in parts.items()}))
        statuses = [process.wait() for process in processes]
        if any(statuses):
            raise RuntimeError(f"a worker failed: {case}")
    asyncio.run(delete_topics(bootstrap, [INTERACTIONS]))
    outs = [json.loads((here / f"out{number}").read_text()) for number in range(case.workers)]
    figures = [msgspec.convert(out, Figures) for out in outs]
    total = sum(one.events for one in figures)
    cpu = sum(one.cpu_s for one in figures)
    evaluations = sum(one.evaluations for one in figures)
    return Outcome(case, total, 1e6 * cpu / total, max(one.peak_rss_mib for one in figures), evaluations)


def prepared(bootstrap: str, traffic: Traffic, parted: Parted) -> tuple[Log, Parts]:
    """The topic, still empty, and what is to be written to it."""
    incarnation = new_id()
    asyncio.run(create(bootstrap, INTERACTIONS, traffic.partitions))
    sent = [one for chunk in records(traffic) for one in chunk]
    parts = parted(sent, traffic.partitions, incarnation)
    ends = {number: len(parts.get(number, ())) for number in range(traffic.partitions)}
    halves = {number: end // 2 for number, end in ends.items()}
    counts = {}
    if parted is in_frames:
        counts = {number: events_in(parts.get(number, [])[half:]) for number, half in halves.items()}
    return Log(bootstrap, INTERACTIONS, incarnation, traffic.events, ends, sent[-1].received, counts, halves), parts


async def publish(log: Log, parts: Parts) -> None:
    """Write all of it."""
    publisher = KafkaPublisher(log.bootstrap, timeout=60.0)
    await append(publisher, log.topic, parts)
    await publisher.close()


@contextmanager
def store(stored: Path) -> Iterator[int]:
    """The store's process; its port."""
    port = free_port()

    async def probe() -> None:
        await listens(port)

    argv = (sys.executable, "-m", "bench.throughput_store", str(stored), str(port))
    with launched(Launch(name="store", argv=argv, env=environment(), probe=probe)):
        yield port


@contextmanager
def workers(here: Path, case: Case, port: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The workers' processes, of one group; none of them outlives the block."""
    group = f"rapport-scoring-{new_id()}"
    with ExitStack() as opened:
        processes = []
        for number in range(case.workers):
            files = [str(here / name) for name in ("log.json", f"out{number}", f"ready{number}")]
            command = [sys.executable, "-m", "bench.throughput_worker", *files, str(port), group]
            process = opened.enter_context(subprocess.Popen(command))
            opened.callback(process.kill)
            processes.append(process)
        yield processes


def until_told(here: Path, processes: Sequence[subprocess.Popen[bytes]], true: Callable[[str], bool]) -> None:
    """Returns when what every worker has said is true."""
    until = monotonic() + PATIENCE
    ready = [here / f"ready{number}" for number in range(len(processes))]
    while not all(one.exists() and true(one.read_text()) for one in ready):
        if monotonic() > until or any(process.poll() is not None for process in processes):
            raise RuntimeError(f"a worker ended, or was not as far as it should be after {PATIENCE:g} s")
        sleep(0.05)


def published(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """The JSON rows; `relative` is to one worker with the fewest relationships under the same kind of traffic."""
    first = {
        outcome.case.traffic: outcome.cpu_us_an_event for outcome in reversed(outcomes) if outcome.case.workers == 1
    }
    return [
        {
            **msgspec.to_builtins(outcome.case),
            "events": outcome.events,
            "cpu_us_an_event": round(outcome.cpu_us_an_event, 2),
            "relative": round(outcome.cpu_us_an_event / first[outcome.case.traffic], 3),
            "peak_rss_mib": round(outcome.peak_rss_mib, 1),
            "evaluations": outcome.evaluations,
        }
        for outcome in outcomes
    ]


def line(outcomes: Sequence[Outcome], limit: float) -> str:
    """The last outcome in words."""
    row = published(outcomes)[-1]
    return (
        f"{row['relationships']:>9,} relationships, {row['traffic']:7}, {row['workers']} worker(s): "
        f"{row['cpu_us_an_event']:8.2f} µs of CPU an event, {row['relative']:5.2f} x the fewest, "
        f"{limit / row['cpu_us_an_event']:5.1%} of the bare loop, {row['peak_rss_mib']:,.0f} MiB a worker, "
        f"{row['evaluations']:,} evaluations"
    )


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.throughput_scaling", description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "--relationships", type=int, nargs="+", metavar="N", default=(), help="default 10000 100000 1000000"
    )
    parser.add_argument("--traffic", nargs="+", choices=EXPONENTS, default=list(EXPONENTS), help="default both")
    parser.add_argument("--events", type=int, metavar="N", help="in each log (default 400,000); half are measured")
    parser.add_argument("--quick", action="store_true", help="small: to see that it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    return parser


if __name__ == "__main__":
    main()
