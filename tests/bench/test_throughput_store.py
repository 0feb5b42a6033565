"""The scaling bench's store: relationships that nobody has written, and what was written."""

from __future__ import annotations

from typing import Any

import msgspec

from bench.throughput_store import NAME, Server
from shared.storage.documents import document, parse
from shared.storage.store import DedupChunk

KEY = f"acme/{NAME.format(7)}"


def template() -> dict[str, dict[str, bytes]]:
    first = f"acme/{NAME.format(0)}"
    chunk = DedupChunk(id=f"{first}/5", tenant="acme", relationship=NAME.format(0), number=5, rev=3, newest=9)
    return {"dedup": {"/5": msgspec.msgpack.encode(document(chunk))}}


def read(raw: bytes) -> DedupChunk:
    return parse(msgspec.msgpack.decode(raw), DedupChunk)


def write(server: Server, base: int, writer: str, **fields: Any) -> list[str]:
    whole = {"tenant": "acme", "relationship": NAME.format(7), "rev": base + 1, "writer": writer, **fields}
    return server.write("dedup", [(f"{KEY}/5", base, writer, whole)])


def test_history_is_made_under_the_name_that_is_asked_for() -> None:
    (found,) = Server([template()]).of("dedup", [KEY])
    assert read(found).id == f"{KEY}/5"
    assert read(found).relationship == NAME.format(7)


def test_what_has_no_history_is_not_there() -> None:
    assert Server([template()]).get("dedup", [f"{KEY}/6", "0"]) == []


def test_what_was_written_is_kept_beside_the_history() -> None:
    server = Server([template()])
    assert write(server, 3, "one", newest=10) == []
    (found,) = server.of("dedup", [KEY])
    assert (read(found).newest, read(found).rev, read(found).number) == (10, 4, 5)


def test_a_write_at_another_revision_loses_unless_it_is_the_same_one_again() -> None:
    server = Server([template()])
    assert write(server, 2, "one") == [f"{KEY}/5"]
    assert write(server, 3, "one") == []
    assert write(server, 3, "one") == []
    assert write(server, 3, "two") == [f"{KEY}/5"]
