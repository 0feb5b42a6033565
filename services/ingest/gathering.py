"""Requests taken in together: those that arrive while others are on their way to the log are the next to go."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence

import msgspec

from services.ingest.intake import Delivery, Intake, Item, Receipt
from services.ingest.outbound import MAX_WAITING_BYTES, Busy
from shared.domain.contract import Rejection
from shared.stream.quarantine import HTTP

GROUP = 1_000  # events, beyond which no further request joins
UNDER_WAY = 2  # groups of a tenant: one is held to the contract while the broker has the other


class _Sent(msgspec.Struct, frozen=True):
    """One request that waits for its receipt."""

    items: Sequence[Item]
    size: int
    receipt: asyncio.Future[Receipt]


class Gathering:
    """Groups of requests of one tenant. Each event is accepted or rejected by itself; what it costs to reach the log is
    shared. A request that comes alone goes at once, and the order of requests is kept where one waits for the other."""

    def __init__(self, intake: Intake, *, max_bytes: int = MAX_WAITING_BYTES) -> None:
        self._intake = intake
        self._max_bytes = max_bytes
        self._bytes = 0
        self._waiting: dict[str, deque[_Sent]] = {}  # by tenant
        self._under_way: dict[str, set[asyncio.Task[None]]] = {}

    def take(self, tenant: str, items: Sequence[Item], size: int) -> asyncio.Future[Receipt]:
        """What becomes of a request of `size` bytes, when it is in the log or in quarantine.

        Raises Busy; the receipt may fail with Unavailable: then all of the request is to be sent again.
        """
        if self._bytes and self._bytes + size > self._max_bytes:
            raise Busy("More events wait for the broker than may: send more slowly.")
        self._bytes += size
        sent = _Sent(items, size, asyncio.get_running_loop().create_future())
        waiting = self._waiting.get(tenant)
        if waiting is None:
            waiting = self._waiting[tenant] = deque()
            self._under_way[tenant] = set()
        waiting.append(sent)
        under_way = self._under_way[tenant]
        if len(under_way) < UNDER_WAY:
            under_way.add(asyncio.create_task(self._take_all(tenant, waiting), name=f"events of {tenant}"))
        return sent.receipt

    async def _take_all(self, tenant: str, waiting: deque[_Sent]) -> None:
        while waiting:
            group = _next_group(waiting)
            await self._take_group(tenant, group)
            self._bytes -= sum([sent.size for sent in group])
        task = asyncio.current_task()
        assert task is not None
        under_way = self._under_way[tenant]
        under_way.discard(task)
        if not under_way:
            del self._under_way[tenant], self._waiting[tenant]

    async def _take_group(self, tenant: str, group: Sequence[_Sent]) -> None:
        try:
            taken = await self._intake.take(Delivery(tenant, HTTP, [item for sent in group for item in sent.items]))
        except Exception as error:  # noqa: BLE001 - not swallowed: handed to those who wait for their receipts
            for sent in group:
                if not sent.receipt.done():
                    sent.receipt.set_exception(error)
            return
        for sent, receipt in zip(group, _receipts(group, taken.rejected), strict=True):
            if not sent.receipt.done():
                sent.receipt.set_result(receipt)


def _next_group(waiting: deque[_Sent]) -> list[_Sent]:
    group = [waiting.popleft()]
    events = len(group[0].items)
    while waiting and events + len(waiting[0].items) <= GROUP:
        group.append(waiting.popleft())
        events += len(group[-1].items)
    return group


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
