"""Posting events to ingest: several requests in flight, order kept within one relationship, patience with back-off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from zlib import crc32

import httpx
import msgspec

from shared.domain.errors import Misconfigured, Unavailable
from shared.load.outgoing import Outgoing, Rejection

BATCH = "application/cloudevents-batch+json"
MAX_WAIT = 30.0  # seconds between two attempts, whatever Retry-After says
_RETRIED = frozenset({429, 500, 502, 503, 504})


class Outcome(msgspec.Struct):
    """What became of events: how many were accepted, and those that were not."""

    accepted: int = 0
    rejected: list[Rejection] = msgspec.field(default_factory=list)


class Turned(msgspec.Struct, frozen=True):
    """An item that ingest did not accept, by its position in the batch."""

    index: int
    reason: str = "rejected"
    detail: str = ""


class Answer(msgspec.Struct, frozen=True):
    """The part of ingest's answer to a batch that is read here."""

    accepted: int = 0
    rejected: tuple[Turned, ...] = ()


class IngestClient:
    """Sends CloudEvents to `POST {url}/v1/events`; a relationship always travels in the same lane, one lane in order.

    `patience` is how many seconds a request is tried again while ingest does not take it, then `Unavailable`; a key
    that is not accepted is `Misconfigured`. `on_wait` is told in words why it is waiting.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        url: str,
        key: str,
        *,
        lanes: int = 4,
        batch_events: int = 500,
        batch_bytes: int = 1_000_000,
        patience: float = 60.0,
        on_wait: Callable[[str], None] = lambda _why: None,
    ) -> None:
        self._client = client
        self._url = url.rstrip("/") + "/v1/events"
        self._headers = {"content-type": BATCH, "authorization": f"Bearer {key}"}
        self._lanes = lanes
        self._batch_events = batch_events
        self._batch_bytes = batch_bytes
        self._patience = patience
        self._on_wait = on_wait

    async def send(self, events: Sequence[Outgoing]) -> Outcome:
        """Posts all of them; returns when each was answered."""
        lanes: list[list[Outgoing]] = [[] for _ in range(self._lanes)]
        for event in events:
            lanes[crc32(event.subject.encode()) % self._lanes].append(event)
        total = Outcome()
        try:
            async with asyncio.TaskGroup() as group:
                for lane in filter(None, lanes):
                    group.create_task(self._send_lane(lane, total))
        except ExceptionGroup as failed:
            # The lanes fail for one reason, or one of them for a graver one than that ingest is away.
            graver = [error for error in failed.exceptions if not isinstance(error, Unavailable)]
            raise (graver or failed.exceptions)[0] from failed
        return total

    async def _send_lane(self, lane: Sequence[Outgoing], total: Outcome) -> None:
        for batch in self._batches(lane):
            await self._send_batch(batch, total)

    def _batches(self, lane: Sequence[Outgoing]) -> Iterator[list[Outgoing]]:
        batch: list[Outgoing] = []
        size = 0
        for event in lane:
            if batch and (len(batch) >= self._batch_events or size + len(event.raw) > self._batch_bytes):
                yield batch
                batch, size = [], 0
            batch.append(event)
            size += len(event.raw) + 1
        yield batch

    async def _send_batch(self, batch: Sequence[Outgoing], total: Outcome) -> None:
        response = await self._post(b"[" + b",".join(event.raw for event in batch) + b"]")
        if response.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE and len(batch) > 1:
            middle = len(batch) // 2
            await self._send_batch(batch[:middle], total)
            await self._send_batch(batch[middle:], total)
            return
        if response.status_code in (401, 403):
            raise Misconfigured(
                f"{self._url} does not accept this write key ({_said(response)}); "
                "name another with --write-key or RAPPORT_WRITE_KEY"
            )
        answer = _answer(response, len(batch))
        total.accepted += answer.accepted
        for turned in answer.rejected:
            event = batch[turned.index]
            total.rejected.append(
                Rejection(event.line, turned.reason, turned.detail, id=event.id, event=msgspec.Raw(event.raw))
            )

    async def _post(self, body: bytes) -> httpx.Response:
        """The answer to one request, tried again while ingest is away or says it is busy."""
        waited, pause = 0.0, 0.25
        while True:
            try:
                response = await self._client.post(self._url, content=body, headers=self._headers)
                if response.status_code not in _RETRIED:
                    return response
                why = f"ingest answered {response.status_code} ({_said(response)})"
                wait = _retry_after(response) or pause
            except httpx.TransportError as error:
                why, wait = f"no answer from {self._url}: {error or type(error).__name__}", pause
            if waited + wait > self._patience:
                raise Unavailable(f"{why}; gave up after {waited:.0f} s. Is ingest running? `rapport doctor` tells")
            self._on_wait(f"{why}; trying again in {wait:.1f} s")
            await asyncio.sleep(wait)
            waited, pause = waited + wait, min(pause * 2, 10.0)


def _retry_after(response: httpx.Response) -> float | None:
    value = response.headers.get("retry-after", "")
    return min(float(value), MAX_WAIT) if value.replace(".", "", 1).isdigit() else None


def _said(response: httpx.Response) -> str:
    return " ".join(response.text.split())[:200]


def _answer(response: httpx.Response, sent: int) -> Answer:
    """What ingest said of each item; an answer in another form is `Unavailable`, for nothing is known of the batch."""
    try:
        answer = msgspec.json.decode(response.content, type=Answer)
    except msgspec.DecodeError as error:
        raise Unavailable(
            f"{response.url} answered {response.status_code} in a form that is not ingest's "
            f"({_said(response)}); does --ingest name Rapport's ingest?"
        ) from error
    if answer.accepted + len(answer.rejected) != sent:
        raise Unavailable(f"{response.url} accounted for {answer.accepted} + {len(answer.rejected)} of {sent} events")
    return answer
