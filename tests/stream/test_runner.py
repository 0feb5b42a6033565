"""What the runner guarantees around a processor, with a group that answers as the test says."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from shared.domain.errors import Misconfigured
from shared.stream.flush_policy import FlushPolicy
from shared.stream.ledger import Fetched, Lost
from shared.stream.ports import Batch, NeverBehind, Record
from shared.stream.runner import Commit, Runner
from shared.telemetry import Metrics


class Group:
    def __init__(self) -> None:
        self.commits: list[dict[int, int]] = []
        self.answer = Commit.DONE
        self.gone = False
        self.other_log: Exception | None = None
        self.log = 0  # records in it
        self.runner: Runner

    def left(self) -> int:
        return sum(self.runner.ledger.lags({0: self.log}).values())

    async def check_log(self) -> None:
        if self.other_log is not None:
            raise self.other_log

    async def commit_offsets(self, offsets: dict[int, int]) -> Commit:
        self.commits.append(dict(offsets))
        return self.answer

    def expelled(self) -> bool:
        return self.gone


class Processor(NeverBehind):
    """Flushes in `parts`, each when `open` is set, and fails where it is told to."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.positions: dict[int, int] = {}
        self.open = asyncio.Event()
        self.open.set()
        self.fails: Exception | None = None
        self.parts = 1
        self.most = 1 << 62  # records that may be applied before it is full
        self.seconds = 0.0  # that applying a batch takes
        self.spent: list[float] = []  # on each
        self._left = 0  # parts of the flush under way
        self._reached: dict[int, int] = {}
        self._unflushed = 0

    async def assigned(self, partitions: Sequence[int]) -> None:
        self.calls.append("assigned")

    async def apply(self, batch: Batch) -> int:
        self.calls.append(f"apply {batch.records[0].offset}")
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(self.seconds)
        self.spent.append(asyncio.get_running_loop().time() - began)
        if self.fails is not None:
            raise self.fails
        self.positions[batch.partition] = batch.records[-1].offset + 1
        self._unflushed += len(batch.records)
        return len(batch.records)

    def full(self) -> bool:
        return self._unflushed >= self.most

    async def flush(self) -> Mapping[int, int] | None:
        self.calls.append("flush")
        if not self._left:
            self._left, self._reached, self._unflushed = self.parts, dict(self.positions), 0
        await self.open.wait()
        self._left -= 1
        return None if self._left else self._reached

    async def revoked(self, partitions: Sequence[int]) -> None:
        self.calls.append("revoked")
        self.positions = {}
        self._left = 0


class Bench:
    def __init__(self, session: float = 1_000.0, patience: float = 0.05) -> None:
        self.processor = Processor()
        self.group = Group()
        self.metrics = Metrics("test")
        policy = FlushPolicy(0.01, 0.02, now=0.0)
        self.runner = Runner(self.processor, "topic", policy, session=session, metrics=self.metrics, patience=patience)
        self.runner.group = self.group
        self.group.runner = self.runner

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


async def begun(bench: Bench, parts: int) -> asyncio.Task[bool]:
    """A flush in so many parts, in the first of which the processor waits to be opened."""
    bench.processor.parts = parts
    bench.processor.open.clear()
    flushing = asyncio.create_task(bench.runner.flush())
    while "flush" not in bench.processor.calls:
        await asyncio.sleep(0)
    return flushing


async def test_batches_are_taken_between_the_parts_of_a_flush_which_commits_what_came_before_it() -> None:
    bench = Bench()
    await bench.begin()
    await bench.runner.take(bench.fetched(0))
    flushing = await begun(bench, parts=3)
    taking = asyncio.create_task(bench.runner.take(bench.fetched(10, sequence=1)))
    await asyncio.sleep(0)
    bench.processor.open.set()
    await asyncio.gather(flushing, taking)

    assert bench.processor.calls == ["assigned", "apply 0", "flush", "apply 10", "flush", "flush"]
    assert bench.group.commits == [{0: 10}]
    await bench.runner.flush()
    assert bench.group.commits == [{0: 10}, {0: 20}]


async def test_all_batches_that_are_there_are_taken_before_the_next_part() -> None:
    bench = Bench()
    await bench.begin()
    await bench.runner.take(bench.fetched(0))
    flushing = await begun(bench, parts=2)
    began = asyncio.get_running_loop().time()

    async def one_by_one() -> None:
        for number in range(1, 4):
            await bench.runner.take(bench.fetched(10 * number, sequence=number))

    taking = asyncio.create_task(one_by_one())
    while asyncio.get_running_loop().time() < began + 0.05:  # the part takes long enough to be worth as many batches
        await asyncio.sleep(0.005)
    bench.processor.open.set()
    await asyncio.gather(flushing, taking)

    assert bench.processor.calls[2:] == ["flush", "apply 10", "apply 20", "apply 30", "flush"]


async def test_batches_that_have_not_come_yet_are_waited_for_before_the_next_part_as_long_as_the_last_took() -> None:
    bench = Bench()
    await bench.begin()
    await bench.runner.take(bench.fetched(0))
    flushing = await begun(bench, parts=2)
    bench.group.log = 30
    clock = asyncio.get_running_loop().time
    until = clock() + 0.5
    while clock() < until:  # so long a part takes
        await asyncio.sleep(0.01)
    bench.processor.open.set()
    for number in (1, 2):  # each comes only after the one before it was taken, and not at once
        await asyncio.sleep(0.02)
        await bench.runner.take(bench.fetched(10 * number, sequence=number))
    await flushing

    assert bench.processor.calls[2:] == ["flush", "apply 10", "apply 20", "flush"]


async def test_between_two_parts_batches_are_taken_for_twice_as_long_as_the_part_took() -> None:
    bench = Bench()
    await bench.begin()
    await bench.runner.take(bench.fetched(0))
    bench.group.log = 100
    bench.processor.seconds = 0.05
    flushing = await begun(bench, parts=2)
    await asyncio.sleep(0.12)
    bench.processor.open.set()
    for number in range(1, 10):
        await bench.runner.take(bench.fetched(10 * number, sequence=number))
    await flushing

    between = bench.processor.calls[3:].index("flush")
    assert sum(bench.processor.spent[1 : 1 + between]) >= 2 * 0.12  # the part took at least so long


async def test_there_is_more_to_take_while_the_log_has_more_and_there_is_room_and_nothing_is_given_up() -> None:
    bench = Bench(patience=60.0)
    await bench.begin()
    await bench.runner.take(bench.fetched(0))
    assert not bench.runner.more_to_take
    bench.group.log = 30
    assert bench.runner.more_to_take
    bench.processor.most = 10
    assert not bench.runner.more_to_take
    bench.processor.most = 20
    assert bench.runner.more_to_take

    flushing = await begun(bench, parts=1)
    releasing = asyncio.create_task(bench.runner.release())
    await asyncio.sleep(0)
    assert not bench.runner.more_to_take
    bench.processor.open.set()
    await asyncio.gather(flushing, releasing)


async def test_while_a_batch_waits_for_room_no_other_can_come() -> None:
    bench = Bench()
    bench.processor.most = 10
    await bench.begin()
    bench.processor.open.clear()
    bench.group.log = 100
    taking = asyncio.create_task(bench.runner.take(bench.fetched(0)))
    while "flush" not in bench.processor.calls:
        await asyncio.sleep(0)
    bench.processor.most = 1 << 62  # the first part has made room
    assert not bench.runner.more_to_take
    bench.processor.open.set()
    await taking
    assert bench.runner.more_to_take


async def test_whoever_lets_batches_in_goes_on_when_everything_is_given_up() -> None:
    bench = Bench(patience=60.0)
    await bench.begin()
    await bench.runner.take(bench.fetched(0))
    bench.group.log = 100
    flushing = await begun(bench, parts=2)
    await asyncio.sleep(0.5)  # so long a part takes: batches are let in for up to four times as long
    bench.processor.open.set()
    await asyncio.sleep(0.05)
    async with asyncio.timeout(1.5):
        await bench.runner.release()
        await flushing
    assert bench.processor.calls == ["assigned", "apply 0", "flush", "flush", "flush", "flush", "revoked"]


async def test_whoever_is_expelled_between_two_parts_stores_no_further() -> None:
    bench = Bench()
    await bench.begin()
    await bench.runner.take(bench.fetched(0))
    flushing = await begun(bench, parts=3)
    bench.group.gone = True
    bench.processor.open.set()

    assert not await flushing
    assert bench.processor.calls == ["assigned", "apply 0", "flush", "revoked"]
    assert bench.group.commits == []


async def test_no_further_part_is_stored_once_the_log_is_another_one() -> None:
    bench = Bench()
    await bench.begin()
    await bench.runner.take(bench.fetched(0))
    flushing = await begun(bench, parts=3)
    bench.group.other_log = Misconfigured("the topic was made anew")
    bench.processor.open.set()

    assert not await flushing
    assert bench.runner.failure.result() is bench.group.other_log
    assert bench.processor.calls == ["assigned", "apply 0", "flush"]


async def test_a_revocation_finishes_the_flush_under_way_and_makes_one_more() -> None:
    bench = Bench(patience=5.0)
    await bench.begin()
    await bench.runner.take(bench.fetched(0))
    flushing = await begun(bench, parts=2)
    taking = asyncio.create_task(bench.runner.take(bench.fetched(10, sequence=1)))
    bench.processor.open.set()
    await taking
    await bench.runner.release()
    await flushing

    assert bench.processor.calls == ["assigned", "apply 0", "flush", "apply 10", *["flush"] * 3, "revoked"]
    assert bench.group.commits == [{0: 10}, {0: 20}]


async def test_a_flush_that_a_revocation_did_not_wait_for_ends_with_its_part() -> None:
    bench = Bench()
    await bench.begin()
    await bench.runner.take(bench.fetched(0))
    flushing = await begun(bench, parts=3)
    await bench.runner.release()
    again = asyncio.create_task(bench.begin())
    bench.processor.open.set()
    await asyncio.gather(flushing, again)

    assert not flushing.result()
    assert bench.processor.calls == ["assigned", "apply 0", "flush", "revoked", "assigned"]
    await bench.runner.take(bench.fetched(0))
    assert await bench.runner.flush()
    assert bench.processor.calls[5:] == ["apply 0", "flush", "flush", "flush"]
    assert bench.group.commits == [{0: 10}]


async def test_a_full_processor_is_flushed_before_the_next_batch() -> None:
    bench = Bench()
    await bench.begin()
    bench.processor.most = 20
    for number in range(3):
        await bench.runner.take(bench.fetched(10 * number, sequence=number))

    assert bench.processor.calls == ["assigned", "apply 0", "apply 10", "flush", "apply 20"]
    assert bench.group.commits == [{0: 20}]
    bench.group.gone = True  # does not try for ever
    await bench.runner.take(bench.fetched(30, sequence=3))
    assert bench.processor.calls[5:] == ["apply 30", "revoked"]


async def test_what_is_gathered_during_a_flush_is_not_flushed_right_after_it() -> None:
    bench = Bench()
    await bench.begin()
    await bench.runner.take(bench.fetched(0))
    flushing = await begun(bench, parts=3)
    bench.processor.most = 20
    taking = [asyncio.create_task(bench.runner.take(bench.fetched(10 * n, sequence=n))) for n in (1, 2)]
    bench.processor.open.set()
    await asyncio.gather(flushing, *taking)

    assert bench.processor.calls.count("flush") == 3
    assert bench.processor.calls[-1] == "flush"
    assert "apply 20" in bench.processor.calls
    assert bench.group.commits == [{0: 10}]
    await bench.runner.take(bench.fetched(30, sequence=3))  # and then there must be room
    assert bench.group.commits == [{0: 10}, {0: 40}]
