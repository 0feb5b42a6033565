"""Waiting for a condition with a deadline, in place of sleeping and hoping."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

Value = TypeVar("Value")


async def eventually(
    condition: Callable[[], Value | Awaitable[Value]], within: float = 10.0, every: float = 0.02
) -> Value:
    """The first true value of `condition` (a function or coroutine function); fails after `within` seconds."""
    value: Value | None = None
    try:
        async with asyncio.timeout(within):
            while True:
                answer = condition()
                value = await answer if isinstance(answer, Awaitable) else answer
                if value:
                    return value
                await asyncio.sleep(every)
    except TimeoutError:
        raise AssertionError(f"not within {within} s: {condition} (last: {value!r})") from None
