"""A member as a process of its own, to be killed and stopped: `python -m tests.contracts.member_process OPTIONS JSON`.

It appends what happens to a file, a line each: `applied|stored NAME PARTITION POSITION` and
`assigned|revoked NAME PARTITIONS`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence

import msgspec

from shared.stream.member import KafkaMember
from shared.stream.ports import Batch, NeverBehind


class Options(msgspec.Struct, frozen=True):
    bootstrap: str
    group: str
    topic: str
    name: str
    journal: str
    flush_ms: int = 50
    session_ms: int = 6_000
    instance: str = ""


class Journal(NeverBehind):
    """A processor whose state is the file."""

    def __init__(self, name: str, path: str) -> None:
        self._name = name
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._unflushed: list[tuple[int, int]] = []
        self._positions: dict[int, int] = {}

    async def assigned(self, partitions: Sequence[int]) -> None:
        self._write([f"assigned {self._name} {','.join(map(str, partitions))}"])

    async def apply(self, batch: Batch) -> int:
        self._unflushed += [(batch.partition, record.offset) for record in batch.records]
        self._positions[batch.partition] = batch.records[-1].offset + 1
        self._write([f"applied {self._name} {batch.partition} {record.offset}" for record in batch.records])
        return len(batch.records)

    def full(self) -> bool:
        return False

    async def flush(self) -> Mapping[int, int]:
        self._write([f"stored {self._name} {partition} {offset}" for partition, offset in self._unflushed])
        self._unflushed.clear()
        return dict(self._positions)

    async def revoked(self, partitions: Sequence[int]) -> None:
        self._write([f"revoked {self._name} {','.join(map(str, partitions))}"])
        self._unflushed.clear()
        self._positions.clear()

    def _write(self, lines: list[str]) -> None:
        os.write(self._file, "".join(f"{line}\n" for line in lines).encode())


async def main(options: Options) -> None:
    member = KafkaMember(
        bootstrap=options.bootstrap,
        group=options.group,
        topic=options.topic,
        processor=Journal(options.name, options.journal),
        instance=options.instance,
        flush_min_ms=options.flush_ms,
        flush_max_ms=options.flush_ms,
        session_timeout_ms=options.session_ms,
    )
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, lambda: asyncio.ensure_future(member.stop()))
    await member.run()


if __name__ == "__main__":
    asyncio.run(main(msgspec.json.decode(sys.argv[1], type=Options)))
