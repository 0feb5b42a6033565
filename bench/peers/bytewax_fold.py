"""Row `bytewax`: the shared fold as a stateful operator. `python -m bench.peers.bytewax_fold LOG OUT STATES`.

One worker, in memory, without a recovery store (so nothing is committed); the scores of touched relationships go to
the sink every FLUSH_SECONDS, and at the end of the log. Needs the environment of bench/requirements.txt.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import bytewax.operators as op
from bytewax._bytewax import cli_main
from bytewax.connectors.kafka import KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic
from bytewax.outputs import DynamicSink, StatelessSinkPartition

from bench.peers.fold import FLUSH_SECONDS, Event, Relationship, State, decode, key_of, write_states
from bench.peers.measure import Log, Stopwatch

BATCH = 10_000  # records at once; the default of 1,000 is slower

Item = tuple[int, Event]
"""Receipt in ms, and the event."""


class Fold(StatefulBatchLogic[Item, int | None, None]):
    """One relationship: folds batches, and says its score when it is time."""

    def __init__(self, kept: list[Fold]) -> None:
        self.state = Relationship()
        self.key = ""
        self._due: datetime | None = None
        kept.append(self)

    def on_batch(self, values: list[Item]) -> tuple[Iterable[int | None], bool]:
        for received, event in values:
            self.state.add(event, received)
        self.key = key_of(values[-1][1])
        if self._due is None:
            self._due = datetime.now(UTC) + timedelta(seconds=FLUSH_SECONDS)
        return (), StatefulBatchLogic.RETAIN

    def on_notify(self) -> tuple[Iterable[int | None], bool]:
        self._due = None
        return (self.state.score(),), StatefulBatchLogic.RETAIN

    def on_eof(self) -> tuple[Iterable[int | None], bool]:
        return self.on_notify()

    def notify_at(self) -> datetime | None:
        return self._due

    def snapshot(self) -> None:
        """Nothing: there is no recovery store."""


class Scores(DynamicSink[tuple[str, int | None]]):
    """Keeps the latest score of each relationship."""

    def __init__(self) -> None:
        self.latest: dict[str, int | None] = {}

    def build(self, step_id: str, worker_index: int, worker_count: int) -> Part:
        return Part(self.latest)


class Part(StatelessSinkPartition[tuple[str, int | None]]):
    def __init__(self, latest: dict[str, int | None]) -> None:
        self._latest = latest

    def write_batch(self, items: list[tuple[str, int | None]]) -> None:
        self._latest.update(items)


def run(log: Log, watch: Stopwatch) -> dict[str, State]:
    """Fold the whole log; the final states."""
    kept: list[Fold] = []
    scores = Scores()

    def decoded(batch: list[KafkaSourceMessage[bytes, bytes]]) -> Iterable[tuple[str, Item]]:
        watch.begin()
        for message in batch:
            event = decode(message.value)
            yield key_of(event), (round(message.timestamp[1]), event)

    flow = Dataflow("fold")
    source = KafkaSource([log.bootstrap], [log.topic], tail=False, batch_size=BATCH)
    messages = op.input("events", flow, source)
    keyed = op.flat_map_batch("decode", messages, decoded)
    folded = op.stateful_batch("fold", keyed, lambda _: Fold(kept))
    op.output("scores", folded, scores)
    cli_main(flow)
    watch.end()
    return {one.key: (scores.latest[one.key], one.state.cells) for one in kept}


if __name__ == "__main__":
    written, stopwatch = Log(Path(sys.argv[1])), Stopwatch()
    states = run(written, stopwatch)
    stopwatch.write(Path(sys.argv[2]), written.events, write_states(Path(sys.argv[3]), states))
