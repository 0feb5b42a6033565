"""A `rapport up --embedded` of a test's own, as a process: started on free ports, watched, stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WITHIN = 90.0  # seconds for anything to happen on a busy machine
PARTITIONS = 2
ASKING = 0.25  # seconds between questions to the stack itself: asked at once again, it would do little but answer
NAMES = ("ingest", "scoring", "alerts", "api")
ANY_PORTS = [part for name in ("api", "ingest", "kafka", "mongo") for part in (f"--{name}-port", "0")]
ANY_PORTS += ["--scoring-metrics-port", "0", "--alerts-metrics-port", "0"]


def until(condition: Callable[[], Any], within: float = WITHIN, every: float = 0.02) -> Any:
    """The first true value of `condition`, looked at `every` so many seconds; fails after `within` seconds."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(every)
    raise AssertionError(f"not within {within} s: {condition}")


class Up:
    """A running `rapport up`."""

    def __init__(self, here: Path, *arguments: str, **environment: str) -> None:
        self.ready_file = here / "ready.json"
        self.log_file = here / "log"
        self.data = here / "data"
        command = [sys.executable, "-c", "from shared.cli.app import app; app()", "up", "--embedded"]
        command += ["--data", str(self.data), "--ready-file", str(self.ready_file), "--partitions", str(PARTITIONS)]
        with self.log_file.open("w") as log, (here / "out").open("w") as out:
            self.process = subprocess.Popen(
                [*command, *ANY_PORTS, *arguments],
                cwd=here,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
            )
        self.out_file = here / "out"

    def ready(self) -> dict[str, str]:
        until(lambda: self.ready_file.exists() or self.process.poll() is not None)
        assert self.process.poll() is None, self.log
        loaded: dict[str, str] = json.loads(self.ready_file.read_text())
        return loaded

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def pid(self, name: str) -> int:
        """The process id of a child: `kafka`, `mongo` or a service."""
        marks = {"kafka": "tansu", "mongo": "nx_27017"}
        return next(pid for pid in children(self.process.pid) if marks.get(name, f"services.{name}") in command(pid))

    def stop(self, number: signal.Signals = signal.SIGINT) -> float:
        """Seconds that an orderly end took, for which nothing had to be killed."""
        started = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(WITHIN)
        took = time.monotonic() - started
        assert not self.log_file.is_file() or "and was killed" not in self.log
        return took


@contextmanager
def up(here: Path, *arguments: str, **environment: str) -> Iterator[Up]:
    """Started with these arguments and with additions to this process's environment; gone at the end of the block.

    A test that fails shows the end of its log.
    """
    running = Up(here, *arguments, **environment)
    try:
        yield running
    except BaseException:
        if running.log_file.is_file():
            print(*[line for line in running.log.splitlines() if " aiokafka" not in line][-100:], sep="\n")
        raise
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def gone(pid: int) -> bool:
    return not command(pid)


def listening(pids: set[int]) -> list[tuple[str, int]]:
    """Addresses (hexadecimal, as /proc/net has them) and ports on which these processes listen."""
    inodes = set()
    for pid in pids:
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = os.readlink(handle)
            except FileNotFoundError:
                continue  # closed meanwhile
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            columns = line.split()
            if columns[3] == "0A" and columns[9] in inodes:
                address, _, port = columns[1].partition(":")
                found.append((address, int(port, 16)))
    return found
