"""The rows of the throughput bench: each a program of its own, run once on a written log."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bench.peers.environment import peers_python
from bench.peers.streams import java_command
from bench.stack import launched
from bench.throughput_log import Log
from shared.embedded import mongo
from shared.embedded.ports import LOOPBACK, free_port
from shared.stream.topics import INTERACTIONS

FRAMES, INBOX = INTERACTIONS, "rapport.inbox.written"  # the log as ingest writes it; as systems write to the inbox
JSON = "rapport.interactions.json"  # the same events, a record each
SHORT = "rapport.interactions.short"  # the first of these, for rows that would take minutes


class Figures(msgspec.Struct, frozen=True):
    """What one run of a row has reported."""

    events: int
    wall_s: float
    cpu_s: float
    peak_rss_mib: float
    state: str  # SHA-256 of the final states; "" where the row keeps none
    evaluations: int = 0  # relationships times canonical moments, of a row that has such
    flags: int = 0  # that were raised

    @property
    def events_per_s(self) -> float:
        return self.events / self.wall_s

    @property
    def events_per_cpu_s(self) -> float:
        return self.events / self.cpu_s


class Job(msgspec.Struct, frozen=True):
    """One run: the log's description, where figures and states go, the keys to read back, and the store's address."""

    log: Path
    out: Path
    states: Path
    keys: Path
    store: str


class Row(msgspec.Struct, frozen=True):
    """How to run a row. `log`: which it reads; `state`: it has final states to compare."""

    command: Callable[[Job], list[str]]
    log: str = JSON
    mongodb: bool = False
    state: bool = True


def _bare(job: Job) -> list[str]:
    return [sys.executable, "-m", "bench.peers.bare", str(job.log), str(job.out)]


def _rapport(job: Job) -> list[str]:
    files = [str(path) for path in (job.log, job.out, job.states)]
    return [sys.executable, "-m", "bench.full_path", *files, "--keys", str(job.keys), "--store", job.store]


def _rapport_json(job: Job) -> list[str]:
    files = [str(path) for path in (job.log, job.out, job.states)]
    return [sys.executable, "-m", "bench.json_path", *files, "--keys", str(job.keys)]


def _faust(job: Job) -> list[str]:
    files = [str(path) for path in (job.log, job.out, job.states)]
    return [sys.executable, "-m", "bench.peers.plain_faust", *files, "--store", job.store]


def _peer(module: str) -> Callable[[Job], list[str]]:
    def command(job: Job) -> list[str]:
        files = [str(path) for path in (job.log, job.out, job.states)]
        return [str(peers_python()), "-W", "ignore::DeprecationWarning", "-m", f"bench.peers.{module}", *files]

    return command


def _streams(job: Job) -> list[str]:
    return [*java_command(), *(str(path) for path in (job.log, job.out, job.states))]


BARE = "bare"
ROWS: dict[str, Row] = {
    BARE: Row(_bare, state=False),
    "rapport_memory": Row(_rapport, FRAMES),
    "rapport_mongodb": Row(_rapport, FRAMES, mongodb=True),
    "rapport_json": Row(_rapport_json, INBOX),
    "faust_memory": Row(_faust, SHORT),
    "faust_mongodb": Row(_faust, SHORT, mongodb=True),
    "quix": Row(_peer("quix_fold"), SHORT),
    "bytewax": Row(_peer("bytewax_fold")),
    "pathway": Row(_peer("pathway_fold")),
    "kafka_streams": Row(_streams),
}
MEMORY = "memory"


def run_once(name: str, log: Log, keys: Path, here: Path, extra: list[str]) -> tuple[Figures, Path]:
    """Run a row in the new directory `here`; its figures and its file of states."""
    here.mkdir()
    description = here / "log.json"
    description.write_bytes(msgspec.json.encode(log))
    row = ROWS[name]
    with _store(row, here) as store:
        job = Job(description, here / "out.json", here / "states.jsonl", keys, store)
        done = subprocess.run([*row.command(job), *extra], check=False)
    if done.returncode:
        raise RuntimeError(f"{name} ended with status {done.returncode}")
    return msgspec.convert(json.loads(job.out.read_text()), Figures), job.states


@contextmanager
def _store(row: Row, here: Path) -> Iterator[str]:
    if not row.mongodb:
        yield MEMORY
        return
    port = free_port()
    with launched(mongo.launch(port, here / "mongo")):
        yield f"mongodb://{LOOPBACK}:{port}"
