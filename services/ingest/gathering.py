"""Requests taken in together: those that arrive while others are on their way to the log are the next to go."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from time import monotonic

import msgspec

from services.ingest.intake import Delivery, Intake, Item, Receipt
from services.ingest.outbound import MAX_WAITING_BYTES, Busy
from shared.domain.contract.accepting import Rejection
from shared.domain.errors import Unavailable
from shared.stream.quarantine import HTTP

GROUP = 1_000  # events, beyond which no further request joins
UNDER_WAY = 2  # groups of a tenant: one is held to the contract while the broker has the other
LONG = 0.1  # seconds for a group to reach the log


class _Sent(msgspec.Struct, frozen=True):
    """One request that waits for its receipt."""

    items: Sequence[Item]
    size: int
    receipt: asyncio.Future[Receipt]


class _Queue:
    """A tenant's requests that wait, and how many tasks take groups of them to the log."""

    def __init__(self) -> None:
        self._waiting: deque[_Sent] = deque()
        self._events = 0  # that wait
        self._began = 0.0  # when the last group went
        self.takers = 0

    @property
    def idle(self) -> bool:
        return not self.takers and not self._waiting

    def append(self, sent: _Sent) -> None:
        self._waiting.append(sent)
        self._events += len(sent.items)

    def hires(self, now: float) -> bool:
        """Whether one more taker is needed, which then counts."""
        if not self._needs(self.takers, now):
            return False
        if not self.takers:
            self._began = now  # as good as: it takes what comes until its turn
        self.takers += 1
        return True

    def next_group(self, now: float) -> list[_Sent]:
        """The oldest, as many as make a group; empty for a taker that is not needed any more."""
        if not self._waiting or not self._needs(self.takers - 1, now):
            return []
        group = [self._waiting.popleft()]
        events = len(group[0].items)
        while self._waiting and events + len(self._waiting[0].items) <= GROUP:
            group.append(self._waiting.popleft())
            events += len(group[-1].items)
        self._events -= events
        self._began = now
        return group

    def _needs(self, others: int, now: float) -> bool:
        """Beside another group goes a full one: two small ones cost twice as much as both together. Or any, when the
        other one takes long: one partition without a leader is no reason for all others to wait."""
        return not others or (others < UNDER_WAY and (self._events >= GROUP or now - self._began > LONG))


class Gathering:
    """Groups of requests of one tenant. Each event is accepted or rejected by itself; what it costs to reach the log is
    shared. A request that comes alone goes at once, and the order of requests is kept where one waits for the other."""

    def __init__(
        self, intake: Intake, *, clock: Callable[[], float] = monotonic, max_bytes: int = MAX_WAITING_BYTES
    ) -> None:
        self._intake = intake
        self._clock = clock
        self._max_bytes = max_bytes
        self._bytes = 0
        self._queues: dict[str, _Queue] = {}  # by tenant
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, tenant: str, items: Sequence[Item], size: int) -> asyncio.Future[Receipt]:
        """What becomes of a request of `size` bytes, when it is in the log or in quarantine.

        Raises Busy; the receipt may fail with Unavailable: then all of the request is to be sent again.
        """
        if self._bytes and self._bytes + size > self._max_bytes:
            raise Busy("More events wait for the broker than may: send more slowly.")
        self._bytes += size
        sent = _Sent(items, size, asyncio.get_running_loop().create_future())
        queue = self._queues.get(tenant)
        if queue is None:
            queue = self._queues[tenant] = _Queue()
        queue.append(sent)
        if queue.hires(self._clock()):
            task = asyncio.create_task(self._take_all(tenant, queue), name=f"events of {tenant}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return sent.receipt

    async def _take_all(self, tenant: str, queue: _Queue) -> None:
        try:
            while group := queue.next_group(self._clock()):
                await self._take_group(tenant, group)
        finally:
            queue.takers -= 1
            if queue.idle:
                del self._queues[tenant]

    async def _take_group(self, tenant: str, group: Sequence[_Sent]) -> None:
        try:
            taken = await self._intake.take(Delivery(tenant, HTTP, [item for sent in group for item in sent.items]))
        except BaseException as error:
            for sent in group:  # not swallowed: handed to those who wait for their receipts
                if not sent.receipt.done():
                    sent.receipt.set_exception(error if isinstance(error, Exception) else Unavailable("Stopping."))
            if not isinstance(error, Exception):
                raise
        else:
            for sent, receipt in zip(group, _receipts(group, taken.rejected), strict=True):
                if not sent.receipt.done():
                    sent.receipt.set_result(receipt)
        finally:
            self._bytes -= sum([sent.size for sent in group])


def _receipts(group: Sequence[_Sent], rejected: Sequence[Rejection]) -> Iterator[Receipt]:
    """Each request's own receipt; `rejected` counts through the whole group, in order."""
    start = done = 0
    for sent in group:
        end = start + len(sent.items)
        own = []
        while done < len(rejected) and rejected[done].index < end:
            own.append(msgspec.structs.replace(rejected[done], index=rejected[done].index - start))
            done += 1
        yield Receipt(len(sent.items) - len(own), tuple(own))
        start = end
