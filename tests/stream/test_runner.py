"""What the runner guarantees around a processor, with a group that answers as the test says."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from shared.domain.errors import Misconfigured
from shared.stream.flush_policy import FlushPolicy
from shared.stream.ledger import Fetched, Lost
from shared.stream.ports import Batch, Record
from shared.stream.runner import Commit, Runner
from shared.telemetry import Metrics


class Group:
    def __init__(self) -> None:
        self.commits: list[dict[int, int]] = []
        self.answer = Commit.DONE
        self.gone = False
        self.other_log: Exception | None = None

    async def check_log(self) -> None:
        if self.other_log is not None:
            raise self.other_log

    async def commit_offsets(self, offsets: dict[int, int]) -> Commit:
        self.commits.append(dict(offsets))
        return self.answer

    def expelled(self) -> bool:
        return self.gone


class Processor:
    """Flushes when `open` is set, and fails where it is told to."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.positions: dict[int, int] = {}
        self.open = asyncio.Event()
        self.open.set()
        self.fails: Exception | None = None

    async def assigned(self, partitions: Sequence[int]) -> None:
        self.calls.append("assigned")

    async def apply(self, batch: Batch) -> None:
        self.calls.append(f"apply {batch.records[0].offset}")
        if self.fails is not None:
            raise self.fails
        self.positions[batch.partition] = batch.records[-1].offset + 1

    async def flush(self) -> Mapping[int, int]:
        self.calls.append("flush")
        positions = dict(self.positions)
        await self.open.wait()
        return positions

    async def revoked(self, partitions: Sequence[int]) -> None:
        self.calls.append("revoked")
        self.positions = {}


class Bench:
    def __init__(self, session: float = 1_000.0, patience: float = 0.05) -> None:
        self.processor = Processor()
        self.group = Group()
        self.metrics = Metrics("test")
        policy = FlushPolicy(0.01, 0.02, now=0.0)
        self.runner = Runner(self.processor, "topic", policy, session=session, metrics=self.metrics, patience=patience)
        self.runner.group = self.group

    async def begin(self, start: int = 0) -> None:
        await self.runner.assigned([0])
        self.runner.ledger.begin({0: start})

    def fetched(self, first: int, count: int = 10, sequence: int = 0) -> Fetched:
        records = [Record(offset, 0, None, b"") for offset in range(first, first + count)]
        return Fetched(Batch("topic", 0, records, end=100), self.runner.ledger.epoch, sequence)


async def test_what_is_stored_is_committed_and_only_once() -> None:
    bench = Bench()
    await bench.begin()
    await bench.runner.take(bench.fetched(0))
    await bench.runner.flush()
    await bench.runner.flush()

    assert bench.group.commits == [{0: 10}]
    assert bench.processor.calls == ["assigned", "apply 0", "flush", "flush"]


async def test_an_unanswered_commit_is_repeated_with_the_next_flush() -> None:
    bench = Bench()
    await bench.begin()
    await bench.runner.take(bench.fetched(0))
    bench.group.answer = Commit.UNAVAILABLE
    await bench.runner.flush()
    bench.group.answer = Commit.DONE
    await bench.runner.flush()

    assert bench.group.commits == [{0: 10}, {0: 10}]


async def test_nothing_is_stored_or_committed_once_the_log_is_another_one() -> None:
    bench = Bench()
    await bench.begin()
    await bench.runner.take(bench.fetched(0))
    bench.group.other_log = Misconfigured("the topic was made anew")
    await bench.runner.flush()
    await bench.runner.release()

    assert bench.runner.failure.result() is bench.group.other_log
    assert bench.processor.calls == ["assigned", "apply 0"]
    assert bench.group.commits == []


async def test_after_a_failure_nothing_is_called_any_more() -> None:
    bench = Bench()
    await bench.begin()
    bench.processor.fails = ZeroDivisionError("on purpose")
    await bench.runner.take(bench.fetched(0))
    await bench.runner.take(bench.fetched(10, sequence=1))
    await bench.runner.flush()
    await bench.runner.release()

    assert isinstance(bench.runner.failure.result(), ZeroDivisionError)
    assert bench.processor.calls == ["assigned", "apply 0"]
    assert bench.group.commits == []


async def test_a_batch_that_never_arrived_ends_the_member() -> None:
    bench = Bench()
    await bench.begin()
    await bench.runner.take(bench.fetched(10, sequence=1))

    assert isinstance(bench.runner.failure.result(), Lost)
    assert "apply 10" not in bench.processor.calls


async def test_a_batch_fetched_before_the_revocation_is_dropped() -> None:
    bench = Bench()
    await bench.begin()
    stale = bench.fetched(0)
    await bench.runner.release()
    await bench.begin()
    await bench.runner.take(stale)

    assert bench.processor.calls == ["assigned", "flush", "revoked", "assigned"]


async def test_a_revocation_flushes_commits_and_then_tells() -> None:
    bench = Bench()
    await bench.begin()
    await bench.runner.take(bench.fetched(0))
    await bench.runner.release()

    assert bench.processor.calls == ["assigned", "apply 0", "flush", "revoked"]
    assert bench.group.commits == [{0: 10}]
    assert bench.runner.ledger.partitions == ()


async def test_a_flush_that_outlasts_the_revocation_is_not_committed() -> None:
    bench = Bench()
    await bench.begin()
    await bench.runner.take(bench.fetched(0))
    bench.processor.open.clear()
    flushing = asyncio.create_task(bench.runner.flush())
    while "flush" not in bench.processor.calls:
        await asyncio.sleep(0)

    await bench.runner.release()
    assert "revoked" not in bench.processor.calls  # calls never overlap
    again = asyncio.create_task(bench.runner.assigned([0]))
    bench.processor.open.set()
    await asyncio.gather(flushing, again)

    assert bench.group.commits == []
    assert bench.processor.calls == ["assigned", "apply 0", "flush", "revoked", "assigned"]


async def test_who_is_known_to_be_expelled_neither_flushes_nor_commits() -> None:
    bench = Bench()
    await bench.begin()
    await bench.runner.take(bench.fetched(0))
    bench.group.gone = True
    await bench.runner.flush()

    assert bench.processor.calls == ["assigned", "apply 0", "revoked"]
    assert bench.group.commits == []


async def test_who_was_away_for_half_a_session_asks_before_storing() -> None:
    bench = Bench(session=0.0)
    await bench.begin(start=5)
    await bench.runner.take(bench.fetched(5))
    bench.group.answer = Commit.EXPELLED
    await bench.runner.flush()

    assert bench.group.commits == [{0: 5}]  # what was committed already: it only asks
    assert bench.processor.calls == ["assigned", "apply 5", "revoked"]


async def test_a_processor_cannot_claim_more_than_was_applied() -> None:
    bench = Bench()
    await bench.begin()
    await bench.runner.take(bench.fetched(0))
    bench.processor.positions[0] = 11
    await bench.runner.flush()

    assert isinstance(bench.runner.failure.result(), ValueError)
    assert bench.group.commits == []


async def test_events_and_lag_are_counted() -> None:
    bench = Bench()
    await bench.begin()
    await bench.runner.take(bench.fetched(0))
    sample = bench.metrics.registry.get_sample_value

    assert sample("rapport_events_in_total", {"source": "topic"}) == 10
    assert sample("rapport_batch_size_events_count", {"source": "topic"}) == 1
    assert sample("rapport_consumer_lag_records", {"topic": "topic", "partition": "0"}) == 90
    bench.runner.show_lag({0: 130})
    assert sample("rapport_consumer_lag_records", {"topic": "topic", "partition": "0"}) == 120


async def test_it_keeps_flushing_as_long_as_it_runs() -> None:
    bench = Bench()
    await bench.begin()
    keeping = asyncio.create_task(bench.runner.keep_flushing())
    async with asyncio.timeout(5):
        await bench.runner.take(bench.fetched(0))
        while not bench.group.commits:
            await asyncio.sleep(0.001)
    keeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeping

    assert bench.group.commits == [{0: 10}]
