"""Giving up what takes too long, with one timer for all of it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Deadline:
    """The same time limit for many tasks. A timer for each, as of `asyncio.timeout`, costs as much CPU time as holding
    an event to the contract does; most of them are taken down long before they are due."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._due: dict[asyncio.Task[Any], float] = {}  # in the order in which they are due
        self._timer: asyncio.TimerHandle | None = None

    async def within(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`. Raises TimeoutError when it is not there after `seconds`; `work` is then cancelled.

        Work that needs not wait for anything costs nothing: most bodies are there when they are asked for.
        """
        try:
            waits_for = work.send(None)
        except StopIteration as done:
            result: T = done.value
            return result
        return await self._watched(_Begun(work, waits_for))

    async def _watched(self, work: _Begun[T]) -> T:
        task = asyncio.current_task()
        assert task is not None
        cancelled = task.cancelling()
        loop = asyncio.get_running_loop()
        self._due[task] = loop.time() + self.seconds
        if self._timer is None:
            self._timer = loop.call_later(self.seconds, self._overdue)
        try:
            return await work
        except asyncio.CancelledError:
            if task not in self._due and task.uncancel() <= cancelled:
                raise TimeoutError from None
            raise
        finally:
            self._due.pop(task, None)

    def _overdue(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        for task, due in list(self._due.items()):
            if due > loop.time():
                self._timer = loop.call_at(due, self._overdue)
                return
            del self._due[task]
            task.cancel()


class _Begun(Generic[T]):
    """The rest of a coroutine that has been run until it first had to wait, for `waits_for`."""

    def __init__(self, coroutine: Coroutine[Any, Any, T], waits_for: Any) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, T]:
        waits_for = self._waits_for
        while True:
            try:
                try:
                    answer = yield waits_for
                except BaseException as error:  # noqa: BLE001 - not swallowed: it is the coroutine's, as with await
                    waits_for = self._coroutine.throw(error)
                else:
                    waits_for = self._coroutine.send(answer)
            except StopIteration as done:
                result: T = done.value
                return result
