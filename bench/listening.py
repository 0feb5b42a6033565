"""A client of a running stack: posts events, and notes when each alert is first seen on the live stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from time import perf_counter
from typing import Any

import httpx
import msgspec

from shared.clock import now_ms
from shared.domain.contract.events import Millis
from shared.load.outgoing import Outgoing
from shared.load.publish import IngestClient

Key = tuple[str, str, str]
"""Relationship, rule and subject of an alert."""


class Seen(msgspec.Struct, frozen=True):
    """An alert's first appearance: on two clocks (seconds of perf_counter, wall ms), with the moment it names."""

    at: float
    wall: Millis
    moment: Millis


class Line:
    """Both directions. `seen` grows while the stream is read."""

    def __init__(self, client: httpx.AsyncClient, ready: dict[str, str]) -> None:
        self._client = client
        self._ready = ready
        self._publisher = IngestClient(client, ready["ingest"], ready["write_key"])
        self.seen: dict[Key, Seen] = {}
        self._news = asyncio.Condition()
        self.connected = asyncio.Event()

    async def post(self, event: Outgoing) -> float:
        """Post one event by itself; the moment (perf_counter) before it left."""
        headers = {
            "authorization": f"Bearer {self._ready['write_key']}",
            "content-type": "application/cloudevents+json",
        }
        left = perf_counter()
        answer = await self._client.post(f"{self._ready['ingest']}/v1/events", content=event.raw, headers=headers)
        if answer.status_code != httpx.codes.ACCEPTED:
            raise RuntimeError(f"ingest answered {answer.status_code}: {answer.text}")
        return left

    async def post_many(self, events: Sequence[Outgoing]) -> None:
        outcome = await self._publisher.send(events)
        if outcome.rejected:
            raise RuntimeError(f"ingest rejected {outcome.rejected[0]}")

    async def first_seen(self, key: Key, within: float) -> Seen:
        """When the alert appeared; TimeoutError after `within` seconds."""
        async with asyncio.timeout(within), self._news:
            await self._news.wait_for(lambda: key in self.seen)
        return self.seen[key]

    async def scored(self, relationships: Sequence[str], within: float = 120.0) -> None:
        """Wait until the API knows all of them and has scored what is loaded of each."""
        headers = {"authorization": f"Bearer {self._ready['api_key']}"}
        async with asyncio.timeout(within):
            for id in relationships:
                while True:
                    answer = await self._client.get(f"{self._ready['api']}/v1/relationships/{id}", headers=headers)
                    if answer.status_code == httpx.codes.OK and answer.json()["scores"]["at"]:
                        break
                    await asyncio.sleep(0.2)

    async def read(self) -> None:
        """Read the stream for ever."""
        headers = {"authorization": f"Bearer {self._ready['api_key']}"}
        url = f"{self._ready['api']}/v1/stream"
        async with self._client.stream("GET", url, headers=headers, params={"types": "alert"}, timeout=None) as stream:
            stream.raise_for_status()
            async for line in stream.aiter_lines():
                self.connected.set()
                if line.startswith("data: "):
                    await self._note(json.loads(line[6:]), Seen(perf_counter(), now_ms(), 0))
        raise RuntimeError("the stream ended")

    async def _note(self, alert: dict[str, Any], seen: Seen) -> None:
        key = (alert["relationship"], alert["rule"], alert["subject"])
        moment = round(1000 * datetime.fromisoformat(alert["moment"]).timestamp())
        async with self._news:
            self.seen.setdefault(key, msgspec.structs.replace(seen, moment=moment))
            self._news.notify_all()


@asynccontextmanager
async def on_the_line(ready: dict[str, str]) -> AsyncIterator[Line]:
    """Connected to the stream of the stack whose ready file this is."""
    async with httpx.AsyncClient(trust_env=False, timeout=30.0) as client:
        line = Line(client, ready)
        reading = asyncio.create_task(line.read())
        try:
            first, _ = await asyncio.wait(
                {reading, asyncio.create_task(line.connected.wait())}, return_when=asyncio.FIRST_COMPLETED
            )
            if reading in first:
                await reading
            yield line
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
