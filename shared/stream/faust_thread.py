"""Faust's consumer thread: aiokafka's consumer on a loop of its own, made to yield batches of slim records."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from time import monotonic
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from aiokafka.protocol.group import LeaveGroupRequest
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, server_list
from faust.types import TP
from mode.threads import WorkerThread

from shared.domain.errors import Misconfigured
from shared.stream.ledger import Fetched
from shared.stream.ports import Batch, Record
from shared.stream.runner import Commit

TO_DO = (
    "Restore the topic; or, to go on with what there is, stop all services, run `rapport init --new-incarnation` and "
    "start them again; should an offset still not be in the log, delete the group's (kafka-consumer-groups.sh "
    "--delete-offsets)."
)
LEAVE_SECONDS = 1.0  # after which the session's timeout takes us out of the group
CHECK_SECONDS = 1.0
DOUBTS = (0.3, 0.7, 1.0)  # seconds after which it is asked once more whether offsets are gone
COMMIT_SECONDS = 4.0  # then the broker counts as silent; the commit is repeated with the next flush


class DaemonThread(WorkerThread):  # type: ignore[misc]
    """Does not keep a process alive that has crashed."""

    def __init__(self, service: Any, **kwargs: Any) -> None:
        super().__init__(service, **kwargs)
        self.daemon = True

    def run(self) -> None:
        try:
            super().run()
        except Exception:
            told = self.service.crash_reason is not None  # the member raises it: once is enough
            alone = self.service.parent_loop.is_closed()  # the member did not wait longer, and there is nobody to tell
            if not (told or alone):
                raise


class ConsumerThread(AIOKafkaConsumerThread):  # type: ignore[misc]
    """What runs here runs on the thread's loop, except where it says otherwise."""

    Worker = DaemonThread

    def __post_init__(self) -> None:
        super().__post_init__()
        self._epoch = -1
        self._sequence: dict[TP, int] = {}
        self._known: set[TopicPartition] = set()  # of which the broker has a committed offset
        self._begun: Any = None  # the assignment of which it is known where reading begins

    def on_crash(self, msg: str, *fmt: Any, **kwargs: Any) -> None:
        """Nothing: Faust prints a traceback here, but the member raises the same error."""

    async def on_start(self) -> None:
        await super().on_start()
        self._consumer._fetcher._records = SlimRecords()

    async def on_thread_stop(self) -> None:
        await self._leave_first_generation()
        stopping = asyncio.ensure_future(super().on_thread_stop())
        await asyncio.wait({stopping}, timeout=LEAVE_SECONDS)
        if not stopping.done() and self._consumer is not None and self._consumer._coordinator is not None:
            # It waits for an answer to its joining, which takes as long as the others do.
            self._consumer._coordinator._coordination_task.cancel()
        # aiokafka cancels its fetches, and lets a cancellation through where one waits to be repeated after an error.
        with contextlib.suppress(asyncio.CancelledError):
            await stopping

    async def _leave_first_generation(self) -> None:
        # aiokafka takes generation 0 for "not a member", but the embedded broker counts from 0: without this the next
        # member waits until our session has expired.
        coordinator = self._consumer._coordinator if self._consumer is not None else None
        if coordinator is None or coordinator.generation != 0 or coordinator._group_instance_id is not None:
            return
        with contextlib.suppress(KafkaError):  # then the session expires
            await coordinator._send_req(LeaveGroupRequest(coordinator.group_id, coordinator.member_id))

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        # As Faust's own but for three arguments. It hard-codes a wait of 1.5 s, in which the embedded broker does not
        # answer; and without a reset policy a committed offset that the log does not have is an error, not a jump.
        conf = self.app.conf
        return AIOKafkaConsumer(
            fetch_max_wait_ms=conf.fetch_max_wait_ms,
            auto_offset_reset="none",
            fetch_max_bytes=conf.fetch_max_bytes,
            client_id=conf.broker_client_id,
            group_id=conf.id,
            group_instance_id=conf.consumer_group_instance_id,
            bootstrap_servers=server_list(transport.url, transport.default_port),
            partition_assignment_strategy=[RoundRobinPartitionAssignor],
            enable_auto_commit=False,
            max_poll_interval_ms=int(conf.broker_max_poll_interval * 1000),
            max_partition_fetch_bytes=conf.consumer_max_fetch_size,
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            check_crcs=conf.broker_check_crcs,
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            metadata_max_age_ms=conf.consumer_metadata_max_age_ms,
        )

    async def _fetch_records(self, consumer: Any, *args: Any, **kwargs: Any) -> Mapping[TP, list[Fetched]]:
        """What was fetched, one batch a partition, numbered since the last seek (no await comes between)."""
        consumer._coordinator.check_errors()  # else a refusal by the group (two of the same instance) goes unheard
        try:
            fetched = await super()._fetch_records(consumer, *args, **kwargs)
        except (OffsetOutOfRangeError, NoOffsetForPartitionError) as error:
            if consumer._subscription.subscription.assignment is not self._begun:
                return {}  # a fetch under way across an assignment: where reading begins, `_begin` says
            if isinstance(error, NoOffsetForPartitionError):
                raise
            (place, offset), *_ = error.args[0].items()
            raise beyond(place, offset, "which the log no longer has") from error
        state = consumer._subscription.subscription.assignment
        return {
            TP(place.topic, place.partition): [self._numbered(place, records, state.state_value(place).highwater)]
            for place, records in fetched.items()
        }

    def _numbered(self, place: TopicPartition, records: list[Record], end: int) -> Fetched:
        number = self._sequence.get(place, 0)
        self._sequence[place] = number + 1
        batch = Batch(place.topic, place.partition, records, max(end, records[-1].offset + 1))
        return Fetched(batch, self._epoch, number)

    async def begin(self, places: Iterable[TP], epoch: int) -> dict[TP, int]:
        """From any loop: go to the committed offsets, or to the start of what there is; where reading begins."""
        starts: dict[TP, int] = await self.call_thread(self._begin, list(places), epoch)
        return starts

    async def _begin(self, places: list[TP], epoch: int) -> dict[TP, int]:
        consumer = self._ensure_consumer()
        assignment = consumer._subscription.subscription.assignment
        first = await consumer.beginning_offsets([theirs(place) for place in places])
        starts, known = {}, set()
        for place in places:
            committed = await consumer.committed(theirs(place))
            if committed is None:
                starts[place] = first[place]
            elif committed < first[place]:
                raise beyond(place, committed, f"but the log starts at {first[place]}")
            else:
                starts[place] = committed
                known.add(theirs(place))
        for place, offset in starts.items():
            consumer.seek(theirs(place), offset)
        self._epoch, self._sequence, self._known, self._begun = epoch, {}, known, assignment
        return starts

    async def check_log(self) -> None:
        """From any loop: raises Misconfigured where what was committed is not there any more.

        A broker forgets it with the topic. Whoever goes on then takes positions of the old log into the new one.
        """
        await self.call_thread(self._check_log)

    async def _check_log(self) -> None:
        for seconds in DOUBTS:  # a broker that is being stopped says for a moment that it has no offsets, then nothing
            missing = await self._missing()
            if missing is None:
                return
            await asyncio.sleep(seconds)
        if missing := await self._missing():
            raise gone(missing)

    async def _missing(self) -> TopicPartition | None:
        """A partition whose committed offset the broker says it does not have."""
        known = list(self._known)
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                found = await self._ensure_consumer()._coordinator.fetch_committed_offsets(known)
        except (KafkaError, TimeoutError):
            return None  # nothing is known: neither is there anything new to take into any log
        lost = (place for place in known if place not in found or found[place].offset < 0)
        return next((place for place in lost if place in self._known), None)

    async def commit_as(self, offsets: Mapping[TP, int], generation: int) -> Commit:
        """From any loop: commit as a member of that generation of the group, or not at all."""
        outcome: Commit = await self.call_thread(self._commit_as, offsets, generation)
        return outcome

    async def _commit_as(self, offsets: Mapping[TP, int], generation: int) -> Commit:
        consumer = self._ensure_consumer()
        if self.generation() != generation:
            return Commit.EXPELLED
        try:
            async with asyncio.timeout(COMMIT_SECONDS):
                await consumer.commit(
                    {theirs(place): OffsetAndMetadata(offset, "") for place, offset in offsets.items()}
                )
        except (CommitFailedError, IllegalStateError):  # expelled, or no longer assigned
            return Commit.EXPELLED
        except (KafkaError, TimeoutError):
            return Commit.UNAVAILABLE
        self._known.update(map(theirs, offsets))
        now = monotonic()
        self.tp_last_committed_at.update(dict.fromkeys(offsets, now))
        return Commit.DONE

    def generation(self) -> int:
        """From any thread: the group's generation as far as we are members of it, else -1."""
        return int(self._ensure_consumer()._coordinator.generation)

    def ends(self, places: Iterable[TP]) -> dict[TP, int]:
        """From any thread: the high watermarks known from fetches."""
        subscription = self._ensure_consumer()._subscription.subscription
        assignment = subscription.assignment if subscription is not None else None
        states = {} if assignment is None else {place: assignment.state_value(theirs(place)) for place in places}
        return {p: int(state.highwater) for p, state in states.items() if state and state.highwater is not None}


class SlimRecords(OrderedDict[TopicPartition, Any]):
    """Where aiokafka keeps what it has fetched; has it make our records and not its own, which cost far more."""

    def __setitem__(self, place: TopicPartition, result: Any) -> None:
        if isinstance(result, FetchResult):
            result._partition_records._consumer_record = slim
        super().__setitem__(place, result)


def theirs(place: TP) -> TopicPartition:
    """Faust's name of a partition in aiokafka's type, which insists on it."""
    return TopicPartition(place.topic, place.partition)


def slim(place: TopicPartition, record: Any) -> Record:
    headers = record.headers
    return Record(record.offset, record.timestamp, record.key, record.value, tuple(headers) if headers else ())


def beyond(place: Any, offset: int, what: str) -> Misconfigured:
    """What to do where the log does not have the committed offset: never skip, never read twice, in silence."""
    return Misconfigured(
        f"The group's committed offset {offset} of {place.topic}/{place.partition} is not in the log, {what}: records "
        f"were lost, or the topic was made anew. {TO_DO}"
    )


def gone(place: TopicPartition) -> Misconfigured:
    """What to do where the broker has forgotten what was committed."""
    return Misconfigured(
        f"The group's committed offset of {place.topic}/{place.partition} is gone: the topic was made anew. {TO_DO}"
    )
