"""What a row of the throughput bench reports about its own process: wall time, CPU of all its threads, peak memory."""

from __future__ import annotations

import json
import resource
from pathlib import Path
from time import perf_counter
from typing import Any


class Log:
    """The written log, as the bench describes it to every row."""

    def __init__(self, path: Path) -> None:
        found = json.loads(path.read_text())
        self.bootstrap: str = found["bootstrap"]
        self.topic: str = found["topic"]
        self.incarnation: str = found["incarnation"]
        self.events: int = found["events"]
        self.ends: dict[int, int] = {int(number): end for number, end in found["ends"].items()}
        self.last: int = found["last"]
        self.counts: dict[int, int] = {int(number): count for number, count in found["counts"].items()}
        self.halves: dict[int, int] = {int(number): end for number, end in found["halves"].items()}


class Stopwatch:
    """From the first record taken to the last state written and committed."""

    def __init__(self) -> None:
        self._began: tuple[float, float] | None = None
        self._took: tuple[float, float] | None = None
        self._peak_kib = 0

    @property
    def running(self) -> bool:
        return self._began is not None and self._took is None

    def begin(self) -> None:
        """Once; further calls change nothing."""
        if self._began is None:
            self._began = perf_counter(), _cpu()

    def end(self) -> None:
        if self._began is None:
            raise RuntimeError("nothing was taken")
        self._took = perf_counter() - self._began[0], _cpu() - self._began[1]
        self._peak_kib = _peak_kib()

    def write(self, path: Path, events: int, digest: str, **more: Any) -> None:
        """Hand the figures to the bench."""
        if self._took is None:
            raise RuntimeError("not ended")
        wall, cpu = self._took
        figures = {"events": events, "wall_s": wall, "cpu_s": cpu, "peak_rss_mib": self._peak_kib / 1024}
        path.write_text(json.dumps({**figures, "state": digest, **more}))


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _peak_kib() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise RuntimeError("/proc/self/status has no VmHWM")
