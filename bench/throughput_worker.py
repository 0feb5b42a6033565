"""A scoring worker of the scaling bench, measured over the second half of its partitions' log.

`python -m bench.throughput_worker LOG OUT READY STORE_PORT GROUP`; READY says which partitions it has, and when the
first half is stored.
"""

from __future__ import annotations

import sys
from pathlib import Path

import uvloop

from bench.evaluations import Evaluations
from bench.full_path import Heard, score_log
from bench.peers.measure import Log, Stopwatch
from bench.throughput_store import RemoteStore


async def run(log: Log, out: Path, ready: Path, port: int, group: str) -> None:
    """Score what is ours, and write what it took."""
    watch, store, evaluations = Stopwatch(), RemoteStore(port), Evaluations()
    events = await score_log(log, store, watch, Heard(ready, evaluations=evaluations), group)
    watch.write(out, events, "", evaluations=evaluations.count)
    await store.close()


if __name__ == "__main__":
    where, figures, published = (Path(argument) for argument in sys.argv[1:4])
    uvloop.run(run(Log(where), figures, published, int(sys.argv[4]), sys.argv[5]))
