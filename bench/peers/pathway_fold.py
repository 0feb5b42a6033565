"""Row `pathway`: the shared fold as a stateful reducer. `python -m bench.peers.pathway_fold LOG OUT STATES`.

One worker, in memory, without persistence (and nothing is committed). The engine reads, groups and sorts a batch, and
calls Python once for each relationship in it; a new score goes to the sink with the end of its batch, which is after
BACKLOG records or FLUSH_SECONDS. Needs the environment of bench/requirements.txt.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

import pathway as pw

from bench.peers.fold import FLUSH_SECONDS, Relationship, State, decode, write_states
from bench.peers.measure import Log, Stopwatch

BACKLOG = 50_000  # records in work at once: fewer are slower, all at once no faster and as large as the log

Row = tuple[list[Any], int]
"""Receipt in ms and the record, and how often there is the like in the batch."""

Folded = tuple[Any, int | None]
"""A relationship as Pathway holds it, and its score: a new one is what the sink is told."""


class Alike:
    """A serializer under which all relationships are the same.

    Pathway tells wrapped objects apart by their serialized form, and asks for it whenever it is given one. The default
    (pickle, as `BaseCustomAccumulator` has it, too) would write out a whole relationship with each batch. Nothing is
    written here, and Folded differs where the score does.
    """

    @staticmethod
    def dumps(_: object) -> bytes:
        return b""

    @staticmethod
    def loads(_: bytes) -> object:
        raise NotImplementedError("there is no persistence")


def fold(state: Folded | None, rows: list[Row]) -> Folded:
    """The rows of one relationship in one batch.

    A reducer over all of them at once (`stateful_many`) is the least that Pathway has between its engine and Python.
    Batches come in the order of the partition, but nothing is said of the order within one: receipt goes first, so that
    sorting restores it. Rows that are quite the same come as one with a count; all but one would be duplicates.
    """
    wrapped = state[0] if state else pw.wrap_py_object(Relationship(), serializer=Alike)
    one: Relationship = wrapped.value
    rows.sort()
    for (received, value), _ in rows:
        one.add(decode(value), received)
    return wrapped, one.score()


def alone() -> None:
    """One worker, no licence, no telemetry: whatever the environment says."""
    for name in [name for name in os.environ if name.startswith("PATHWAY_")]:
        del os.environ[name]
    pw.set_license_key(None)
    pw.set_monitoring_config()
    logging.getLogger("pathway_engine").setLevel(logging.ERROR)  # it warns of the end of the log


def run(log: Log, watch: Stopwatch) -> dict[str, State]:
    """Fold the whole log; the final states."""
    found: dict[str, State] = {}

    def told(key: Any, row: dict[str, Any], time: int, is_addition: bool) -> None:
        if is_addition:
            wrapped, score = row["folded"]
            found[row["key"].decode()] = score, wrapped.value.cells

    events = pw.io.kafka.read(
        {"bootstrap.servers": log.bootstrap, "group.id": f"pathway-{os.getpid()}", "enable.auto.commit": "false"},
        topic=log.topic,
        format="raw",  # decoded by msgspec in the fold; columns parsed by the engine cost half as much again
        mode="static",  # up to the end that the log has now
        autogenerate_key=True,  # a row for each record; a record's key alone would be the row's name
        with_metadata=True,  # time of receipt
        autocommit_duration_ms=round(FLUSH_SECONDS * 1_000),
        max_backlog_size=BACKLOG,
    )
    received = pw.this._metadata["timestamp_millis"].as_int(unwrap=True)
    folded = pw.reducers.stateful_many(fold)(received, pw.this.data)
    pw.io.subscribe(events.groupby(pw.this.key).reduce(pw.this.key, folded=folded), told, on_end=watch.end)
    watch.begin()  # with the engine's start, a tenth of a second: it takes the first record where no Python sees it
    pw.run(monitoring_level=pw.MonitoringLevel.NONE, default_logging=False)
    return found


if __name__ == "__main__":
    alone()
    written, stopwatch = Log(Path(sys.argv[1])), Stopwatch()
    states = run(written, stopwatch)
    stopwatch.write(Path(sys.argv[2]), written.events, write_states(Path(sys.argv[3]), states))
