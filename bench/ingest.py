"""How many events a core takes in over HTTP: `python -m bench.ingest`.

Starts real Kafka, the store and ingest by itself, and beside ingest a bare uvicorn app that only reads the body. Both
get the same requests over kept-alive connections, one after the other, enough at a time to keep the server busy; what
counts is events per second of the server process's CPU time (user and system, all threads), so that client and broker,
which share the machine, do not. Each row is measured in three rounds, the bare app and ingest taking turns. At the end
the log must hold exactly what was acknowledged. Exits with 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import uvloop

from bench.closed_loop import Load, closed_loop, http_request
from bench.ingest_servers import BARE, INGEST, Target, servers
from bench.process_cpu import cpu_seconds
from shared.clock import new_id, now_ms
from shared.domain.keys import WRITE, format_key
from shared.load.outgoing import encode_event
from shared.load.publish import BATCH
from shared.stream.frames import read_frame
from shared.stream.reader import KafkaReader
from shared.stream.topics import INTERACTIONS

RELATIONSHIPS = 10_000
SINGLE = "application/cloudevents+json"
LEAST_A_CORE = 40_000  # events/s, in batches
MOST_A_SINGLE = 1.5  # times the bare app's CPU time


class Size(msgspec.Struct, frozen=True):
    """Rounds, and seconds of warming up and of measuring each row in each of them."""

    rounds: int
    warm: float
    seconds: float


class Kind(msgspec.Struct, frozen=True):
    """A kind of request: events in each, connections at a time, and how many different requests are prepared."""

    events: int
    connections: int
    requests: int


FULL, QUICK = Size(3, 2.0, 8.0), Size(1, 1.0, 2.0)
KINDS = {"single": Kind(1, 256, 20_000), "batch_100": Kind(100, 32, 200), "batch_1000": Kind(1_000, 8, 40)}


class Measured(msgspec.Struct, frozen=True):
    """One row in one round: events/s of wall time, events per second of CPU time, and the share of a core in use."""

    events_per_s: float
    events_per_cpu_s: float
    cores: float


def main() -> None:
    """Measure, print a table, and write the figures if asked to."""
    arguments = argparse.ArgumentParser(prog="python -m bench.ingest", description=__doc__.split("\n\n")[0])
    arguments.add_argument("--quick", action="store_true", help="one short round in place of three")
    arguments.add_argument("--partitions", type=int, default=8, help="of rapport.interactions (default: 8)")
    arguments.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    asked = arguments.parse_args()
    size = QUICK if asked.quick else FULL
    rounds = uvloop.run(measured(size, asked.partitions))
    figures = {"partitions": asked.partitions, "load": os.getloadavg()[0], **summary(rounds)}
    print(table(figures))
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1))
    if any(not target["met"] for target in figures["targets"].values()):
        sys.exit("A target was missed.")


# --- measuring -------------------------------------------------------------------------------------------------------


async def measured(size: Size, partitions: int) -> list[dict[str, dict[str, Measured]]]:
    """By round, kind of request and server."""
    key = format_key(WRITE, "bench", new_id())
    async with servers(key, partitions) as (kafka, targets):
        rounds, acknowledged = [], 0
        for _ in range(size.rounds):
            found: dict[str, dict[str, Measured]] = {}
            for name, kind in KINDS.items():
                found[name] = {}
                for server, target in targets.items():
                    found[name][server], answered = await one(server, target, kind, key, size)
                    acknowledged += answered * kind.events if server == INGEST else 0
            rounds.append(found)
        await check(kafka, partitions, acknowledged)
    return rounds


async def one(server: str, target: Target, kind: Kind, key: str, size: Size) -> tuple[Measured, int]:
    """One row; with it, the requests answered in all."""
    requests = prepared(target.url, kind, key)
    load = Load(requests, 202, b'{"accepted":%d,"rejected":[]}' % (kind.events if server == INGEST else 1))
    loop = asyncio.get_running_loop()
    async with closed_loop(target.url, load, kind.connections):
        await load.over(size.warm)
        started, used = loop.time(), cpu_seconds(target.pid)
        events = await load.over(size.seconds) * kind.events
        seconds, used = loop.time() - started, cpu_seconds(target.pid) - used
    return Measured(events / seconds, events / used, used / seconds), load.answered


def prepared(url: str, kind: Kind, key: str) -> list[bytes]:
    """Requests as upstreams send them: usage of about 250 bytes, of many relationships."""
    now, run = now_ms(), new_id()
    media = SINGLE if kind.events == 1 else BATCH
    headers = {"Authorization": f"Bearer {key}", "Content-Type": media, "User-Agent": "bench", "Accept": "*/*"}
    made = []
    for number in range(kind.requests):
        events = []
        for item in range(kind.events):
            serial = number * kind.events + item
            id = f"acct-{serial * 7919 % RELATIONSHIPS}"
            data = {"feature": f"feature-{serial % 12}", "person": f"person-{serial % 9}@{id}.example", "quantity": 1}
            events.append(
                encode_event(
                    line=0, id=f"{run}-{serial}", source="/bench", type="usage.feature_used", subject=id, time=now,
                    data=data, backfill=False,
                ).raw
            )  # fmt: skip
        body = events[0] if kind.events == 1 else b"[" + b",".join(events) + b"]"
        made.append(http_request(url, headers, body))
    return made


async def check(kafka: str, partitions: int, acknowledged: int) -> None:
    """The log holds what was acknowledged, neither more nor less."""
    reader, held = KafkaReader(kafka), 0
    for number in range(partitions):
        first, end = await reader.bounds(INTERACTIONS, number)
        if first < end:
            async for record in reader.read(INTERACTIONS, number, first, follow=False):
                held += len(read_frame(record.value))
    await reader.close()
    if held != acknowledged:
        raise RuntimeError(f"{acknowledged:,} events were acknowledged, the log holds {held:,}")


# --- figures ---------------------------------------------------------------------------------------------------------


def spread(values: list[float]) -> dict[str, float]:
    """Smallest, median and largest."""
    return {"min": min(values), "median": float(np.median(values)), "max": max(values)}


def summary(rounds: list[dict[str, dict[str, Measured]]]) -> dict[str, Any]:
    """Rows by kind of request and server. `cost_ratio`: ingest's CPU time an event over the bare app's, by round."""
    rows: dict[str, dict[str, Any]] = {}
    for kind in rounds[0]:
        rows[kind] = {
            server: {
                field: spread([getattr(found[kind][server], field) for found in rounds])
                for field in Measured.__struct_fields__
            }
            for server in (BARE, INGEST)
        }
        ratios = [found[kind][BARE].events_per_cpu_s / found[kind][INGEST].events_per_cpu_s for found in rounds]
        rows[kind]["cost_ratio"] = spread(ratios)
    return {"rows": rows, "targets": targets(rows)}


def targets(rows: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Each target: its bound, the median found, and whether it was met."""
    found = {}
    for kind, row in rows.items():
        if KINDS[kind].events == 1:
            ratio = row["cost_ratio"]["median"]
            found[kind] = {"cost_ratio_at_most": MOST_A_SINGLE, "found": ratio, "met": ratio <= MOST_A_SINGLE}
        else:
            rate = row[INGEST]["events_per_cpu_s"]["median"]
            found[kind] = {"events_per_cpu_s_at_least": LEAST_A_CORE, "found": rate, "met": rate >= LEAST_A_CORE}
    return found


def table(figures: dict[str, Any]) -> str:
    """Lines for people."""
    lines = [
        f"events/s of CPU time of the server process, median (min to max); real Kafka, {figures['partitions']}"
        f" partitions, load {figures['load']:.1f}",
        f"{'request':12}{'server':8}{'events/CPU s':>14}{'(min to max)':>22}{'events/s':>11}{'cores':>7}{'cost':>8}",
    ]
    for kind, row in figures["rows"].items():
        for server in (BARE, INGEST):
            per_cpu, wall, cores = (row[server][field] for field in ("events_per_cpu_s", "events_per_s", "cores"))
            bounds = f"({per_cpu['min']:,.0f} to {per_cpu['max']:,.0f})"
            cost = f"{row['cost_ratio']['median']:7.2f}x" if server == INGEST else ""
            lines.append(
                f"{kind:12}{server:8}{per_cpu['median']:14,.0f}{bounds:>22}{wall['median']:11,.0f}"
                f"{cores['median']:7.2f}{cost:>8}"
            )
    for kind, target in figures["targets"].items():
        lines.append(f"{kind}: {target['found']:,.2f}, {'met' if target['met'] else 'MISSED'}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
