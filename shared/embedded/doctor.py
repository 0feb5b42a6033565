"""What runs of a stack, what does not, and what to do about it."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import msgspec

from shared.domain.errors import Misconfigured, Unavailable
from shared.embedded import broker
from shared.embedded.data import DataDirectory
from shared.embedded.ports import LOOPBACK, is_taken, reaches
from shared.embedded.stack import Options, answers
from shared.stream.admin import ALL, partition_counts
from shared.stream.cluster import Cluster, KafkaCluster
from shared.stream.topics import INTERACTIONS, SCORING_GROUP

GIB = 1 << 30
BROKER_LIMIT = 1 * GIB  # the embedded broker's log grows until it is restarted
DISK_LEAST = 1 * GIB
BACKLOG_MOST = 10_000  # events: a worker on one core scores them within seconds
WATCH_SECONDS = 30.0  # how long a backlog is watched: a worker that is busy commits every ten seconds or so
WATCH_EVERY = 1.0
ANSWER_SECONDS = 5.0
HTTP_PORTS = ("api-port", "ingest-port", "scoring-metrics-port", "alerts-metrics-port")
LOGS = "look at its lines in the log of `rapport up`: it is restarted by itself unless the cause remains"

LAG = "scores and alerts lag behind until these are read: ask again to see it fall"
EMBEDDED_LAG = f"after loading history this is normal, for some minutes (while it is loaded, it grows); {LAG}"
MORE = "scores and alerts lag behind until these are read: start more scoring workers, or see what their logs say"


class Finding(msgspec.Struct, frozen=True):
    """One thing looked at: is it well, what was seen, and what to do if it is not well.

    A `note` is well, too, and its advice is said all the same.
    """

    subject: str
    well: bool
    seen: str
    advice: str = ""
    note: bool = False

    @property
    def word(self) -> str:
        """How it begins in the report."""
        return "BAD" if not self.well else "note" if self.note else "ok"


async def examine(data: Path, kafka: str = "", mongo: str = "") -> list[Finding]:
    """Look at this machine, at the data directory's stack, and at a Kafka or MongoDB that is named."""
    directory = DataDirectory(data)
    running = directory.running() if directory.is_locked() else None
    findings = [*_machine(), *_directory(directory)]
    if running:
        for found in await asyncio.gather(*(_probe(name, where) for name, where in running.probes.items())):
            findings += found
        findings += _memory(running.pid)
    elif kafka or mongo:
        findings += _stack(directory, elsewhere=False)
    else:
        ours = await _held_by_rapport()
        findings += [*_stack(directory, elsewhere=bool(ours)), *_ports(ours)]
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
        lines.append(f"{finding.word:<4} {finding.subject:<{width}}  {finding.seen}")
        if finding.advice and (finding.note or not finding.well):
            lines.append(f"     {'':<{width}}  → {finding.advice}")
    bad = sum(not finding.well for finding in findings)
    fine = "Nothing is wrong." if any(finding.note for finding in findings) else "All is well."
    lines.append(f"{bad} of {len(findings)} need attention." if bad else fine)
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
    if directory.is_locked():
        yield Finding("stack", True, "runs on this data directory")


def _stack(directory: DataDirectory, *, elsewhere: bool) -> Iterator[Finding]:
    """That none runs here, unless one is starting; `elsewhere`: another holds the ports."""
    if directory.is_locked():
        return
    seen, advice = "does not run on this data directory", "start it: rapport up --embedded, or make demo"
    if elsewhere:
        seen += "; another Rapport stack runs on this machine"
        advice = "look at that one: rapport doctor --data DIR, with the DIR that it was started with"
    yield Finding("stack", True, seen, advice, note=True)


async def _held_by_rapport() -> set[int]:
    """The ports that are wanted unless others are named, and at which a service of Rapport answers."""
    taken = [port for name, port in Options(Path()).ports().items() if name in HTTP_PORTS and is_taken(port)]
    found = await asyncio.gather(*(_is_rapport(port) for port in taken))
    return {port for port, ours in zip(taken, found, strict=True) if ours}


async def _is_rapport(port: int) -> bool:
    """Whether what answers there shows metrics of Rapport, as every service does without a key."""
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=2.0, verify=False) as client:  # noqa: S501  # loopback
            answer = await client.get(f"http://{LOOPBACK}:{port}/metrics")
    except (httpx.HTTPError, httpx.InvalidURL):
        return False
    return answer.status_code == httpx.codes.OK and "\n# TYPE rapport_" in answer.text


def _ports(ours: Set[int]) -> Iterator[Finding]:
    """What a start would find. Where a service of Rapport answers, Kafka and MongoDB are taken for its stack's."""
    for purpose, port in Options(Path()).ports().items():
        beside = f"to start another beside it: --{purpose} PORT (0 = any)"
        if not is_taken(port):
            yield Finding(purpose, True, f"{port} is free")
        elif port in ours:
            yield Finding(purpose, True, f"{port} is taken by another Rapport stack", beside, note=True)
        elif ours and purpose not in HTTP_PORTS:
            seen = f"{port} is taken, by that other stack as it seems"
            yield Finding(purpose, True, seen, beside, note=True)
        else:
            advice = f"stop that program, or start with --{purpose} PORT (0 = any)"
            yield Finding(purpose, False, f"{port} is taken by another program", advice)


async def _probe(name: str, where: str) -> list[Finding]:
    if name == "kafka":
        return await _kafka(where, embedded=True)
    return [await (_http(name, where) if where.startswith("http") else _tcp(name, where, LOGS))]


async def _http(name: str, where: str) -> Finding:
    try:
        await answers(where)()
    except (OSError, TimeoutError) as error:
        return Finding(name, False, f"is not ready: {error}", LOGS)
    return Finding(name, True, f"is ready ({where})")


async def _kafka(bootstrap: str, *, embedded: bool = False) -> list[Finding]:
    """Whether it answers, and then what scoring has still to read. `embedded`: a stack with one worker reads it."""
    advice = "start Kafka there, or name another with --kafka"
    try:
        counts = await partition_counts(bootstrap, timeout=3.0)
        missing = [name for name in ALL if name not in counts]
        if missing:
            advice = "create the topics: rapport init"
            return [Finding("kafka", False, f"{bootstrap} lacks {', '.join(missing)}", advice)]
        well = Finding("kafka", True, f"answers at {bootstrap}, with all topics")
        return [well, await backlog(KafkaCluster(bootstrap, timeout=ANSWER_SECONDS), embedded)]
    except Unavailable as error:
        return [Finding("kafka", False, str(error), advice)]


async def backlog(cluster: Cluster, embedded: bool) -> Finding:
    """What waits to be scored, and where that is much, whether scoring comes on with it."""
    began = time.monotonic()
    try:
        first = now = await _waiting(cluster)
        while now.left > BACKLOG_MOST and not now.falls(first, embedded) and time.monotonic() < began + WATCH_SECONDS:
            await asyncio.sleep(WATCH_EVERY)
            now = await _waiting(cluster)
    except TimeoutError:
        return Finding("backlog", False, "Kafka does not say how far scoring has come", "ask again in a moment")
    seen, seconds = f"{now.left:,} events wait to be scored", max(1, round(time.monotonic() - began))
    if now.left <= BACKLOG_MOST:
        return Finding("backlog", True, seen)
    if now.falls(first, embedded):
        scored = f"{seen}; {now.next - first.next:,} were scored within {seconds} s"
        return Finding("backlog", True, scored, EMBEDDED_LAG if embedded else LAG, note=True)
    return Finding(
        "backlog", False, f"{seen}, and it does not fall: watched for {seconds} s", LOGS if embedded else MORE
    )


class Waiting(msgspec.Struct, frozen=True):
    """How many events wait, and how many scoring is through with, over all partitions."""

    left: int
    next: int

    def falls(self, before: Waiting, embedded: bool) -> bool:
        """Whether it is being worked off: in a stack, whose history may still be coming in, any progress is enough."""
        return self.next > before.next if embedded else self.left < before.left


async def _waiting(cluster: Cluster) -> Waiting:
    async with asyncio.timeout(ANSWER_SECONDS):
        positions = await cluster.positions(SCORING_GROUP, INTERACTIONS)
    return Waiting(sum(at.left for at in positions), sum(at.next for at in positions))


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
