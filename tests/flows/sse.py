"""A client of the live stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tests.flows.api_world import ACME, key_of


class Sse:
    """What a client has read of a stream."""

    def __init__(self, lines: AsyncIterator[str], response: httpx.Response) -> None:
        self._lines = lines
        self.response = response
        self.last_id = ""
        self.comments: list[str] = []

    async def line(self) -> tuple[str, str]:
        """The next line as field and text; StopAsyncIteration when the stream ends."""
        async with asyncio.timeout(10):
            field, _, text = (await anext(self._lines)).partition(": ")
        if field == "id":
            self.last_id = text
        elif field == "" and text:
            self.comments.append(text)
        return field, text

    async def next(self) -> tuple[str, dict[str, Any]]:
        """The next event with data: its name and data."""
        name, data = "message", ""
        while True:
            field, text = await self.line()
            if field == "event":
                name = text
            elif field == "data":
                data += text
            elif (field, text) == ("", "") and data:
                return name, json.loads(data)

    async def connected(self) -> Sse:
        """Read up to the first id, which comes at once."""
        while not self.last_id:
            await self.line()
        return self

    async def to_the_end(self) -> None:
        """Read until the server ends the stream."""
        try:
            while True:
                await self.line()
        except StopAsyncIteration:
            return


@asynccontextmanager
async def listening(url: str, after: str = "", types: str = "", tenant: str = ACME) -> AsyncIterator[Sse]:
    headers = {"Authorization": f"Bearer {key_of(tenant)}"} | ({"Last-Event-ID": after} if after else {})
    params = {"types": types} if types else {}
    async with (
        httpx.AsyncClient(base_url=url, timeout=10) as client,
        client.stream("GET", "/v1/stream", headers=headers, params=params) as response,
    ):
        assert response.status_code == 200, await response.aread()
        lines = response.aiter_lines()
        yield await Sse(lines, response).connected()
