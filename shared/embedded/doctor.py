"""What runs of a stack, what does not, and what to do about it."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from shared.domain.errors import Misconfigured, Unavailable
from shared.embedded import broker
from shared.embedded.data import DataDirectory
from shared.embedded.ports import is_taken, reaches
from shared.embedded.stack import Options, answers
from shared.stream.admin import ALL, partition_counts
from shared.stream.cluster import Cluster, KafkaCluster
from shared.stream.topics import INTERACTIONS, SCORING_GROUP

GIB = 1 << 30
BROKER_LIMIT = 1 * GIB  # the embedded broker's log grows until it is restarted
DISK_LEAST = 1 * GIB
BACKLOG_MOST = 10_000  # events: a worker on one core scores them within seconds
ANSWER_SECONDS = 5.0
LOGS = "look at its lines in the log of `rapport up`: it is restarted by itself unless the cause remains"


class Finding(msgspec.Struct, frozen=True):
    """One thing looked at: is it well, what was seen, and what to do if it is not well."""

    subject: str
    well: bool
    seen: str
    advice: str = ""


async def examine(data: Path, kafka: str = "", mongo: str = "") -> list[Finding]:
    """Look at this machine, at the data directory's stack, and at a Kafka or MongoDB that is named."""
    directory = DataDirectory(data)
    running = directory.running() if directory.is_locked() else None
    findings = [*_machine(), *_directory(directory)]
    if running:
        for found in await asyncio.gather(*(_probe(name, where) for name, where in running.probes.items())):
            findings += found
        findings += _memory(running.pid)
    elif not (kafka or mongo):
        findings += _ports()
    if kafka:
        findings += await _kafka(kafka)
    if mongo:
        findings.append(await _tcp("mongo", mongo, "start MongoDB there, or name another with --mongo"))
    return findings


def report(findings: Sequence[Finding]) -> str:
    """Lines for people: what is well, what is not, and beneath that what to do."""
    width = max((len(finding.subject) for finding in findings), default=0)
    lines = []
    for finding in findings:
        lines.append(f"{'ok  ' if finding.well else 'BAD '} {finding.subject:<{width}}  {finding.seen}")
        if not finding.well and finding.advice:
            lines.append(f"     {'':<{width}}  → {finding.advice}")
    bad = sum(not finding.well for finding in findings)
    lines.append(f"{bad} of {len(findings)} need attention." if bad else "All is well.")
    return "\n".join(lines)


def _machine() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("python", sys.version_info < (3, 14), version, "use Python 3.11, 3.12 or 3.13")
    try:
        yield Finding("embedded broker", True, broker.binary())
    except (Misconfigured, ModuleNotFoundError) as error:
        yield Finding("embedded broker", False, str(error), "install rapport[embedded], or name a Kafka with --kafka")
    found = importlib.util.find_spec("nx_27017") is not None
    advice = "install rapport[embedded], or name a MongoDB with --mongo"
    yield Finding("embedded store", found, "NX-27017" if found else "NX-27017 is not installed", advice)


def _directory(directory: DataDirectory) -> Iterator[Finding]:
    path = directory.path
    existing = next(parent for parent in (path, *path.parents) if parent.exists())
    writable = os.access(existing, os.W_OK)
    seen = str(path) if path.exists() else f"{path} (made on the first start)"
    yield Finding("data", writable, seen, "make it writable, or choose another with --data")
    free = shutil.disk_usage(existing).free
    yield Finding("disk", free >= DISK_LEAST, f"{free / GIB:.1f} GiB free", "make room: the store needs space to write")
    locked = directory.is_locked()
    seen = "runs on this data directory" if locked else "does not run on this data directory"
    yield Finding("stack", locked, seen, "start it: rapport up --embedded, or make demo")


def _ports() -> Iterator[Finding]:
    for purpose, port in Options(Path()).ports().items():
        taken = is_taken(port)
        seen = f"{port} is {'taken by another program' if taken else 'free'}"
        yield Finding(purpose, not taken, seen, f"stop that program, or start with --{purpose} PORT (0 = any)")


async def _probe(name: str, where: str) -> list[Finding]:
    if name == "kafka":
        return await _kafka(where)
    return [await (_http(name, where) if where.startswith("http") else _tcp(name, where, LOGS))]


async def _http(name: str, where: str) -> Finding:
    try:
        await answers(where)()
    except (OSError, TimeoutError) as error:
        return Finding(name, False, f"is not ready: {error}", LOGS)
    return Finding(name, True, f"is ready ({where})")


async def _kafka(bootstrap: str) -> list[Finding]:
    """Whether it answers, and then what scoring has still to read."""
    advice = "start Kafka there, or name another with --kafka"
    try:
        counts = await partition_counts(bootstrap, timeout=3.0)
        missing = [name for name in ALL if name not in counts]
        if missing:
            advice = "create the topics: rapport init"
            return [Finding("kafka", False, f"{bootstrap} lacks {', '.join(missing)}", advice)]
        well = Finding("kafka", True, f"answers at {bootstrap}, with all topics")
        return [well, await _backlog(KafkaCluster(bootstrap, timeout=ANSWER_SECONDS))]
    except Unavailable as error:
        return [Finding("kafka", False, str(error), advice)]


async def _backlog(cluster: Cluster) -> Finding:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            positions = await cluster.positions(SCORING_GROUP, INTERACTIONS)
    except TimeoutError:
        return Finding("backlog", False, "Kafka does not say how far scoring has come", "ask again in a moment")
    left = sum(at.left for at in positions)
    advice = "scores and alerts lag behind until these are read; where it does not fall, start more scoring workers"
    return Finding("backlog", left <= BACKLOG_MOST, f"{left:,} events wait to be scored", advice)


async def _tcp(name: str, url: str, advice: str) -> Finding:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 27017
    try:
        await reaches(host, port)
    except (OSError, TimeoutError) as error:
        return Finding(name, False, f"does not answer at {host}:{port} ({error or type(error).__name__})", advice)
    return Finding(name, True, f"answers at {host}:{port}")


def _memory(supervisor: int) -> Iterator[Finding]:
    """The embedded broker's memory, where /proc tells (Linux)."""
    for pid in _children(supervisor):
        status = _status(pid)
        if status.get("Name") == "tansu":
            resident = int(status.get("VmRSS", "0 kB").split()[0]) * 1024
            advice = "restart the stack when nothing is coming in: the broker's log is emptied, the store keeps all"
            yield Finding("broker memory", resident < BROKER_LIMIT, f"{resident / GIB:.2f} GiB", advice)


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:  # gone, or not Linux
        return []


def _status(pid: int) -> Mapping[str, str]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:  # gone in the meantime
        return {}
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
