"""A store in a process of its own that knows any number of relationships with history, without holding them.

A relationship that was never written is made when it is asked for, from one of a few templates: real documents of
90 days that the engine itself has scored, under another name. What was written is kept. So the memory of a worker is
the worker's own, and several workers can share the store. `python -m bench.throughput_store TEMPLATES PORT`.

The worker's side encodes and parses documents as the MongoDB store does; the server's CPU time counts for nobody.
"""

from __future__ import annotations

import asyncio
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from bench.due_index import DueIndex
from shared.domain.columns.months import Month
from shared.domain.contract.events import Millis
from shared.domain.relationship.state import RelationshipState
from shared.domain.relationship.touchpoints import Touchpoint
from shared.embedded.ports import LOOPBACK
from shared.storage.documents import Document, document, parse
from shared.storage.lookup import lookup, written
from shared.storage.store import NEVER_DUE, DedupChunk, Due, Incarnation, PartitionState, Write

T = TypeVar("T")
NAME = "acct-{:07d}"  # all names are equally long, so that one can stand for another within encoded bytes
HEAD = 4  # bytes of a message's length
PERMITTED = 1 << 30  # bytes of a message

_pack, _unpack = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder().decode

Templates = list[dict[str, dict[str, bytes]]]
"""Of each template: collection → what follows the relationship's key in the document's id → the document."""


def put(found: Document, fields: Document) -> None:
    """Set values at dotted paths, making maps on the way."""
    for dotted, value in fields.items():
        here = found
        *parents, last = dotted.split(".")
        for parent in parents:
            here = here.setdefault(parent, {})
        here[last] = value


class Server:
    """The documents. Methods are called by name, with what a worker sent; documents travel encoded."""

    def __init__(self, templates: Templates) -> None:
        self._templates = templates
        self._kept: dict[str, dict[str, bytes]] = {}  # collection → id → document
        self._suffixes: dict[tuple[str, str], set[str]] = {}  # collection and relationship → written ids' ends
        self._due: defaultdict[int, DueIndex] = defaultdict(DueIndex)  # partition → relationships that were written

    def get(self, collection: str, ids: list[str]) -> list[bytes]:
        """Documents by id; missing ones are left out."""
        found = (self._one(collection, id) for id in ids)
        return [doc for doc in found if doc is not None]

    def of(self, collection: str, keys: list[str]) -> list[bytes]:
        """All documents of these relationships."""
        found = []
        for key in keys:
            suffixes = set(self._template(key).get(collection, ())) | self._suffixes.get((collection, key), set())
            found += self.get(collection, [key + suffix for suffix in sorted(suffixes)])
        return found

    def add(self, collection: str, docs: dict[str, bytes]) -> None:
        """Insert those that are missing."""
        kept = self._kept.setdefault(collection, {})
        for id, doc in docs.items():
            kept.setdefault(id, doc)

    def write(self, collection: str, writes: list[tuple[str, int, str, dict[str, Any]]]) -> list[str]:
        """Each is id, base revision, writer and what to set; the ids of those that lost."""
        kept = self._kept.setdefault(collection, {})
        lost = []
        for id, base, writer, fields in writes:
            raw = self._one(collection, id)
            found = _unpack(raw) if raw is not None else {"_id": id, "rev": 0}
            if found["rev"] == base:
                put(found, fields)
                kept[id] = _pack(found)
                self._note(collection, id, found)
            elif (found["rev"], found.get("writer")) != (base + 1, writer):
                lost.append(id)
        return lost

    def expect(self, partition: int, ids: Iterable[str], at: Millis) -> None:
        """These are due then, although nobody has written them. All others were made such that it is after all else."""
        for id in ids:
            self._due[partition].put(id, at)

    def due(self, partition: int, now: Millis, limit: int, after: tuple[Millis, str]) -> list[tuple[str, Millis]]:
        """What is due, first things first."""
        return self._due[partition].first(now, limit, after)

    def earliest_due(self, partitions: list[int]) -> dict[int, Millis]:
        """When the first of each of these partitions is due."""
        found = {number: self._due[number].earliest() for number in partitions}
        return {number: at for number, at in found.items() if at}

    def _note(self, collection: str, id: str, found: Document) -> None:
        if collection == "relationships":
            self._due[found["partition"]].put(id, found.get("next_due_at", 0))
        elif "relationship" in found:
            key = f"{found['tenant']}/{found['relationship']}"
            self._suffixes.setdefault((collection, key), set()).add(id[len(key) :])

    def _one(self, collection: str, id: str) -> bytes | None:
        kept = self._kept.get(collection, {}).get(id)
        if kept is not None:
            return kept
        end = id.find("/", id.find("/") + 1)
        key, suffix = (id, "") if end < 0 else (id[:end], id[end:])
        made = self._template(key).get(collection, {}).get(suffix)
        return made.replace(NAME.format(0).encode(), key.partition("/")[2].encode()) if made is not None else None

    def _template(self, key: str) -> dict[str, dict[str, bytes]]:
        name = key.partition("/")[2]
        if not name.startswith("acct-"):
            return {}
        return self._templates[int(name[5:]) % len(self._templates)]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one worker until it goes."""
        while size := await reader.read(HEAD):
            size += await reader.readexactly(HEAD - len(size)) if len(size) < HEAD else b""
            method, arguments = _unpack(await reader.readexactly(int.from_bytes(size, "big")))
            answer = _pack(getattr(self, method)(*arguments))
            writer.write(len(answer).to_bytes(HEAD, "big") + answer)
            await writer.drain()
        writer.close()


class RemoteStore:
    """Implements `StateStore` on a Server."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._turn = asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def _call(self, method: str, *arguments: Any) -> Any:
        async with self._turn:
            if self._streams is None:
                self._streams = await asyncio.open_connection(LOOPBACK, self._port, limit=PERMITTED)
            reader, writer = self._streams
            asked = _pack((method, arguments))
            writer.write(len(asked).to_bytes(HEAD, "big") + asked)
            await writer.drain()
            size = int.from_bytes(await reader.readexactly(HEAD), "big")
            return _unpack(await reader.readexactly(size))

    async def _parsed(self, method: str, collection: str, ids: Sequence[str], kind: type[T]) -> dict[str, T]:
        docs = [_unpack(raw) for raw in await self._call(method, collection, list(ids))]
        return {doc["_id"]: parse(doc, kind) for doc in docs}

    async def prepare(self) -> None:
        """Nothing to prepare."""

    async def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()

    async def incarnation(self, topic: str) -> Incarnation | None:
        return (await self._parsed("get", "meta", [topic], Incarnation)).get(topic)

    async def set_incarnation(self, incarnation: Incarnation) -> None:
        doc = {"_id": incarnation.topic, **document(incarnation)}
        await self._call("add", "meta", {incarnation.topic: _pack(doc)})

    async def states(self, ids: Sequence[str]) -> dict[str, RelationshipState]:
        return await self._parsed("get", "relationships", ids, RelationshipState)

    async def months(self, ids: Sequence[str], since: str) -> list[Month]:
        found = await self._parsed("of", "months", ids, Month)
        return [found[id] for id in sorted(found) if found[id].month >= since]

    async def months_by_id(self, ids: Sequence[str]) -> dict[str, Month]:
        return await self._parsed("get", "months", ids, Month)

    async def dedup_chunks(self, ids: Sequence[str], newest_after: Millis) -> list[DedupChunk]:
        found = await self._parsed("of", "dedup", ids, DedupChunk)
        return [found[id] for id in sorted(found) if found[id].newest > newest_after]

    async def touchpoints(self, ids: Sequence[str]) -> dict[str, Touchpoint]:
        return await self._parsed("get", "timeline", ids, Touchpoint)

    async def whole_timeline(self, tenant: str, relationship: str) -> list[Touchpoint]:
        raise NotImplementedError("the bench's traffic has no corrections")

    async def add_touchpoints(self, entries: Sequence[Touchpoint]) -> None:
        docs = [document(entry) for entry in entries]
        for doc in docs:
            put(doc, lookup(doc["_id"], doc))
        await self._call("add", "timeline", {doc["_id"]: _pack(doc) for doc in docs})

    async def write(self, writes: Sequence[Write]) -> list[str]:
        by_collection: dict[str, list[tuple[str, int, str, Document]]] = {}
        for write in writes:
            sent = (write.id, write.base, write.fields["writer"], written(write))
            by_collection.setdefault(write.collection, []).append(sent)
        lost: list[str] = []
        for collection, mine in by_collection.items():
            lost += await self._call("write", collection, mine)
        return lost

    async def partition_state(self, partition: int) -> PartitionState | None:
        return (await self._parsed("get", "partitions", [str(partition)], PartitionState)).get(str(partition))

    async def due(self, partition: int, now: Millis, limit: int, after: Due = NEVER_DUE) -> list[Due]:
        found = await self._call("due", partition, now, limit, (after.at, after.id))
        return [Due(id, int(at)) for id, at in found]

    async def states_of_partition(self, partition: int, after: str, limit: int) -> list[RelationshipState]:
        return []  # nobody has flags that another topic of updates was told of

    async def earliest_due(self, partitions: Sequence[int]) -> dict[int, Millis]:
        found = await self._call("earliest_due", list(partitions))
        return {int(number): at for number, at in found.items()}

    async def purge_dedup(self, partition: int, newest_before: Millis) -> int:
        return 0  # of what never was asked for, nothing is kept


class LocalStore(RemoteStore):
    """The same on a Server within this process."""

    def __init__(self, server: Server) -> None:
        super().__init__(0)
        self._server = server

    async def _call(self, method: str, *arguments: Any) -> Any:
        return getattr(self._server, method)(*arguments)


async def serve(templates: Templates, port: int) -> None:
    """Until killed."""
    server = Server(templates)
    async with await asyncio.start_server(server.serve, LOOPBACK, port, limit=PERMITTED) as listening:
        await listening.serve_forever()


if __name__ == "__main__":
    stored = msgspec.msgpack.decode(Path(sys.argv[1]).read_bytes(), type=Templates)
    asyncio.run(serve(stored, int(sys.argv[2])))
