"""Faust's consumer: commits what the runner has stored, and gives partitions up without losing or repeating more."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from time import monotonic
from typing import Any

from aiokafka.errors import IllegalStateError, KafkaError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from shared.domain.errors import Misconfigured, Unavailable
from shared.stream.faust_thread import ConsumerThread, beyond
from shared.stream.ledger import Fetched
from shared.stream.runner import Commit, Runner

AHEAD_SECONDS = 5.0  # a new leader may know less for a moment; longer means that the log is another one


class Unread(dict[TP, int | None]):
    """How far each partition was read, as Faust keeps it to drop what comes again: nothing. The ledger knows better."""

    def __getitem__(self, place: TP) -> None:
        return None

    def __setitem__(self, place: TP, offset: int | None) -> None:
        return None


class Consumer(driver.Consumer):  # type: ignore[misc]
    """Everything here runs on the application's loop. The runner's ledger replaces the acknowledgements."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._runner: Runner = self.app.runner
        self._runner.group = self
        self._read_offset = Unread()
        self._generation = -1
        self._ahead_since: float | None = None

    async def on_started(self) -> None:
        await super().on_started()
        self.app.connected.set()

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    # -- reading

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """One message per partition and fetch: its value is all that was fetched."""
        fetched, _ = await self._wait_next_records(timeout)
        if not self.flow_active:
            # The fetch was under way across a seek: what it brought is either of an epoch that is over, or the first
            # of the new one, which must not be dropped, since nothing would read it again.
            await self.wait(self.can_resume_flow)
        if self.should_stop:
            return
        for place, batches in fetched.items():
            for batch in batches:
                if batch.epoch == self._runner.ledger.epoch:
                    yield place, self._to_message(place, batch)

    def _to_message(self, tp: TP, record: Fetched) -> ConsumerMessage:
        first = record.batch.records[0]
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            first.offset,
            first.timestamp / 1000,
            timestamp_type=0,
            headers=(),
            key=None,
            value=record,
            checksum=None,
            tp=tp,
            generation_id=self.app.consumer_generation_id,  # streams drop what is of another one
        )

    def on_buffer_full(self, tp: TP) -> None:
        """Nothing: a full queue holds the fetcher up by itself. Faust would pause the partition and sleep a second."""

    def on_buffer_drop(self, tp: TP) -> None: ...

    # -- what may be committed

    def ack(self, message: Any) -> bool:
        """A batch that was taken is not a batch that is stored."""
        message.acked = True
        self._unacked_messages.discard(message)
        return True

    def _new_offset(self, tp: TP) -> int | None:
        offset: int | None = self._runner.ledger.stored_up_to(tp.partition)
        return offset

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Nothing: the watermark has no gaps."""

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Faust's own commits, at its interval and when it stops: what is stored and not yet committed."""
        offsets = {
            p: o for p in self._runner.ledger.committable() if (o := self._new_offset(self._place(p))) is not None
        }
        return not offsets or await self.commit_offsets(offsets) is Commit.DONE

    async def commit_offsets(self, offsets: Mapping[int, int]) -> Commit:
        places = {self._place(partition): offset for partition, offset in offsets.items()}
        outcome: Commit = await self._thread.commit_as(places, self._generation)
        return outcome

    async def check_log(self) -> None:
        await self._thread.check_log()

    def expelled(self) -> bool:
        return bool(self._thread.generation() != self._generation)

    # -- rebalancing

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        self.stop_flow()
        self.app.flow_control.suspend()
        self.app.flow_control.clear()
        await self._runner.release()
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        self._generation = generation_id
        await self._runner.assigned([place.partition for place in assigned])
        await super().on_partitions_assigned(assigned, generation_id)

    async def perform_seek(self) -> None:
        """Where reading begins, after an assignment and before the flow is resumed."""
        generation, epoch = self._generation, self._runner.ledger.epoch
        try:
            starts = await self._thread.begin(self.assignment(), epoch)
        except Misconfigured as error:
            self._runner.fail(error)
        except IllegalStateError:
            if (generation, epoch) == (self._generation, self._runner.ledger.epoch):
                raise  # else the group rebalanced again meanwhile, and another seek follows
        except KafkaError as error:
            self._runner.fail(Unavailable(f"Kafka did not tell the committed offsets: {error}"))
        else:
            if epoch != self._runner.ledger.epoch:
                return
            self._ahead_since = None
            self._runner.ledger.begin({place.partition: offset for place, offset in starts.items()})

    async def on_stop(self) -> None:
        # A shutdown sends no revocation.
        await self._runner.release()
        await super().on_stop()

    def left(self) -> int:
        """Records that are in the log as far as the last fetch has told, and not yet applied."""
        ends = {place.partition: end for place, end in self._thread.ends(self.assignment()).items()}
        return sum(self._runner.ledger.lags(ends).values())

    def watch(self) -> None:
        """Called once in a while: shows the lag, and fails where the log has become shorter than what was read."""
        ends = {place.partition: end for place, end in self._thread.ends(self.assignment()).items()}
        self._runner.show_lag(ends)
        ahead = {p: at for p, at in self._runner.ledger.positions().items() if at > ends.get(p, at)}
        if not ahead:
            self._ahead_since = None
        elif self._ahead_since is None:
            self._ahead_since = monotonic()
        elif monotonic() - self._ahead_since > AHEAD_SECONDS:
            (partition, offset), *_ = ahead.items()
            self._runner.fail(beyond(self._place(partition), offset, f"which ends at {ends[partition]}"))

    def _place(self, partition: int) -> TP:
        return TP(self.app.topic_name, partition)
