"""The parts of ingest by themselves: which log it is, how many keys are remembered, how bodies are split."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.__main__ import Parts, run
from services.ingest.access import REMEMBERED, Access
from services.ingest.identity import relationship_of
from services.ingest.logidentity import LogIdentity
from services.ingest.readiness import Readiness
from services.ingest.sources.cloudevents import BATCH, JSON, events_of, media_type
from shared.domain.errors import Misconfigured, Poison, Unavailable
from shared.domain.keys import WRITE, hash_secret
from shared.storage.memory import MemoryStore
from shared.storage.store import ApiKey, Incarnation
from shared.stream.topics import INTERACTIONS
from shared.telemetry import Metrics
from tests.eventually import eventually
from tests.flows.ingest_stage import SECRET, Stage


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with Stage() as stage:
        yield stage


def identity_of(store: MemoryStore) -> LogIdentity:
    return LogIdentity(store, 4, Metrics("ingest"), there)


async def there() -> None:
    """The broker has its topics."""


async def test_the_log_is_unknown_until_it_has_been_read_and_again_when_it_is_doubted() -> None:
    store = MemoryStore()
    identity = identity_of(store)
    with pytest.raises(Unavailable, match="not been read yet"):
        identity.incarnation()
    await identity.refresh()
    with pytest.raises(Unavailable, match="rapport init"):
        identity.incarnation()
    watching = asyncio.create_task(identity.run())
    await store.set_incarnation(Incarnation(INTERACTIONS, "log-1", 4))
    await eventually(lambda: known(identity) == "log-1")
    await store.set_incarnation(Incarnation(INTERACTIONS, "log-2", 4))
    identity.doubt()
    assert known(identity) == ""
    await eventually(lambda: known(identity) == "log-2")
    watching.cancel()


def known(identity: LogIdentity) -> str:
    try:
        return identity.incarnation()
    except Unavailable:
        return ""


async def test_a_replaced_log_is_not_believed_before_its_topics_are_there(stage: Stage) -> None:
    stage.identity.doubt()
    stage.topics_missing = True  # the old incarnation is still in the store, the new broker is empty
    with pytest.raises(Unavailable, match="is missing"):
        await stage.identity.refresh()
    await stage.store.set_incarnation(Incarnation(INTERACTIONS, "log-2", 4))
    stage.topics_missing = False
    await stage.identity.refresh()
    assert known(stage.identity) == "log-2"


async def test_another_partition_count_ends_the_process() -> None:
    store = MemoryStore()
    await store.set_incarnation(Incarnation(INTERACTIONS, "log-1", 8))
    with pytest.raises(Misconfigured, match="has 8 partitions, RAPPORT_PARTITIONS says 4: set it to 8"):
        await identity_of(store).run()


class Silent(MemoryStore):
    """A store that can be switched off, and counts how often keys are asked for."""

    silent = False
    asked = 0

    async def incarnation(self, topic: str) -> Incarnation | None:
        if self.silent:
            raise Unavailable("MongoDB does not answer")
        return await super().incarnation(topic)

    async def key(self, id: str) -> ApiKey | None:
        self.asked += 1
        if self.silent:
            raise Unavailable("MongoDB does not answer")
        return await super().key(id)


async def test_a_silent_store_leaves_what_is_known_and_is_counted() -> None:
    store = Silent()
    await store.set_incarnation(Incarnation(INTERACTIONS, "log-1", 4))
    metrics = Metrics("ingest")
    identity = LogIdentity(store, 4, metrics, there)
    await identity.refresh()
    store.silent = True
    watching = asyncio.create_task(identity.run())

    def errors() -> float | None:
        return metrics.registry.get_sample_value("rapport_store_errors_total", {"operation": "incarnation"})

    await eventually(errors)
    assert identity.incarnation() == "log-1"
    watching.cancel()


async def test_the_store_is_asked_once_a_minute_for_a_key_whatever_secret_comes_with_it() -> None:
    store = Silent()
    await store.add_key(ApiKey("app", "acme", WRITE, hash_secret(SECRET), "app", 0))
    access = Access(store, lambda: 1_000)
    for _ in range(5):
        assert await access.tenant(f"rk_write_app_{SECRET}") == "acme"
    assert store.asked == 1
    store.silent = True
    with pytest.raises(Unavailable):
        await access.tenant(f"rk_write_other_{SECRET}")


async def test_no_more_keys_are_remembered_than_may_be() -> None:
    access = Access(Silent(), lambda: 1_000)
    for number in range(REMEMBERED + 10):
        with pytest.raises(Exception, match="No such key"):
            await access.tenant(f"rk_write_k{number}_{SECRET}")
    assert len(access._known) == REMEMBERED


def test_a_subject_is_a_relationship() -> None:
    assert relationship_of("acme", " Ann@Example.com ") == "Ann@Example.com"


JSON_ITEMS = st.lists(st.recursive(st.none() | st.text() | st.integers(), st.lists, max_leaves=5), max_size=5)


@given(JSON_ITEMS, st.sampled_from(["NaN", '"\\ud800"', "1e999", '"a\x01b"', "01e"]))
def test_an_array_with_one_broken_item_is_split_all_the_same(items: list[object], broken: str) -> None:
    good = [json.dumps(item) for item in items]
    body = f" [ {' , '.join([*good, broken])}\n] ".encode()
    if broken == "01e":
        with pytest.raises(Poison):
            events_of(BATCH, body)
    else:
        assert [bytes(raw).decode() for raw in events_of(BATCH, body)] == [*good, broken]
    assert [bytes(raw).decode().strip() for raw in events_of(JSON, f"[{','.join(good)}]".encode())] == good


def split_or_refused(body: bytes) -> str:
    try:
        events_of(BATCH, body)
    except Poison as poison:
        return poison.reason
    return "split"


@given(st.binary())
def test_any_body_is_split_or_refused(body: bytes) -> None:
    assert split_or_refused(body) in ("split", "malformed_json", "not_a_batch")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", ("", "utf-8")),
        ("Application/JSON", ("application/json", "utf-8")),
        ('application/json; charset="UTF-8"', ("application/json", "utf-8")),
        ("application/json;charset=latin-1; x=y", ("application/json", "latin-1")),
    ],
)
def test_media_types_are_read_with_their_charset(header: str, expected: tuple[str, str]) -> None:
    assert media_type(header) == expected


class OneRequest:
    """An HTTP server with a request under way, which is answered when it is told to stop."""

    def __init__(self) -> None:
        self.should_exit = False
        self.answered = False

    async def serve(self, sockets: list[socket.socket]) -> None:
        await eventually(lambda: self.should_exit)
        self.answered = True


class Lost:
    """A member whose log is gone."""

    async def run(self) -> None:
        raise Misconfigured("the topic was made anew")

    async def stop(self) -> None:
        """It has ended."""


async def test_requests_under_way_are_answered_when_the_inbox_ends_the_process(stage: Stage) -> None:
    server, ready = OneRequest(), Readiness(stage.store, stage.identity, there, lambda: 0)
    parts = Parts(server, Lost(), ready, identity_of(stage.store), stage.outbound)  # type: ignore[arg-type]
    with pytest.raises(ExceptionGroup) as raised, socket.socket() as listener:
        await run(parts, listener)
    assert [str(error) for error in raised.value.exceptions] == ["the topic was made anew"]
    assert server.answered
