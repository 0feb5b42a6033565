"""Events that systems write to Kafka themselves: the same contract, the same quarantine, nothing lost."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.ingest.inbox import KEY_HEADER, PAUSES
from shared.domain.keys import format_key
from shared.stream.ports import Headers, Message
from shared.stream.topics import INBOX
from tests.flows.ingest_stage import SECRET, WRITE_KEY, Stage, event


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with Stage() as stage:
        yield stage


def record(what: Any, key: str | None = WRITE_KEY, *headers: tuple[str, bytes]) -> Message:
    body = what if isinstance(what, bytes) else json.dumps(what).encode()
    with_key: Headers = () if key is None else ((KEY_HEADER, key.encode()),)
    return Message(body, headers=(*with_key, *headers), timestamp=1)


async def test_what_is_accepted_is_handed_on_in_order_and_the_rest_set_aside(stage: Stage) -> None:
    await stage.add_key("other", "write", "globex")
    other = format_key("write", "other", SECRET)
    sent = [
        record(event(1, id="a")),
        record(event(1, id="b"), other),
        record(event(1, id="bad", type=7)),
        record(b"\xff\x00"),
        record(event(1, id="c")),
    ]
    await stage.log.publisher().publish(INBOX, 2, sent)
    assert await stage.member.drain() == 5
    assert stage.member.committed[2] == 5
    published = [(found.tenant, found.id) for found in stage.published()]
    assert sorted(published) == [("acme", "a"), ("acme", "c"), ("globex", "b")]
    assert published.index(("acme", "a")) < published.index(("acme", "c"))
    assert [(kept.tenant, kept.source, kept.reason, kept.origin) for kept in stage.quarantine()] == [
        ("acme", "inbox", "invalid_attribute", f"{INBOX}/2/2"),
        ("acme", "inbox", "malformed_json", f"{INBOX}/2/3"),
    ]
    assert stage.metric("rapport_events_in_total", source="inbox") == 5


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (None, "invalid_key"),
        ("rk_write_caf\u00e9", "invalid_key"),
        (format_key("write", "nobody", SECRET), "unknown_key"),
        (format_key("api", "reader", SECRET), "wrong_key"),
    ],
)
async def test_without_a_valid_key_a_record_belongs_to_nobody(stage: Stage, key: str | None, reason: str) -> None:
    await stage.log.publisher().publish(INBOX, 0, [record(event(1), key), record(event(2))])
    await stage.member.drain()
    assert [found.id for found in stage.published()] == ["e-2"]
    [kept] = stage.quarantine()
    assert (kept.tenant, kept.reason, KEY_HEADER in kept.detail) == ("", reason, True)
    assert SECRET not in kept.detail


async def test_binary_mode_has_its_attributes_in_record_headers(stage: Stage) -> None:
    attributes = [(f"ce_{name}", str(value).encode()) for name, value in event(7).items() if name != "data"]
    await stage.log.publisher().publish(INBOX, 0, [record({"feature": "export"}, WRITE_KEY, *attributes)])
    await stage.member.drain()
    [found] = stage.published()
    assert (found.id, found.relationship, bytes(found.data)) == ("e-7", "acct-7", b'{"feature":"export"}')


async def test_what_cannot_be_read_is_set_aside_and_those_after_it_are_handed_on(stage: Stage) -> None:
    nothing: Any = None
    deep = b"[" * 100_000 + b"]" * 100_000
    attributes = [(f"ce_{name}", str(value).encode()) for name, value in event(8).items() if name != "data"]
    key = (KEY_HEADER, WRITE_KEY.encode())
    sent = [
        Message(nothing, headers=(key,), timestamp=1),
        Message(nothing, timestamp=1),
        record(event(1), None, (KEY_HEADER, nothing)),
        record({}, WRITE_KEY, *attributes, ("ce_subject", nothing)),
        record(deep),
        record(b'{"data":' * 1_000 + b"1" + b"}" * 1_000),
        record(deep, WRITE_KEY, *attributes),
        Message(nothing, headers=(key, *attributes), timestamp=1),
        record(event(9)),
    ]
    await stage.log.publisher().publish(INBOX, 0, sent)
    assert await stage.member.drain() == len(sent)
    assert [found.id for found in stage.published()] == ["e-9"]
    assert {kept.origin.rsplit("/", 1)[1]: kept.reason for kept in stage.quarantine()} == {
        "0": "malformed_json",
        "1": "invalid_key",
        "2": "invalid_key",
        "3": "invalid_attribute",
        "4": "too_large",
        "5": "unstorable",
        "6": "too_large",
        "7": "missing_field",
    }


async def test_while_the_broker_is_silent_it_tries_again_and_commits_nothing(stage: Stage) -> None:
    paused: list[float] = []

    async def sleep(pause: float) -> None:
        paused.append(pause)
        assert stage.member.committed == {}
        if len(paused) == 8:
            stage.broker.after = None
            await stage.identity.refresh()

    stage.inbox._sleep = sleep
    stage.broker.after = 0
    await stage.log.publisher().publish(INBOX, 0, [record(event(number)) for number in range(3)])
    await stage.member.drain()
    assert paused == [*PAUSES, PAUSES[-1], PAUSES[-1]]
    assert {found.id for found in stage.published()} == {"e-0", "e-1", "e-2"}
    assert stage.member.committed[0] == 3


async def test_after_a_crash_records_are_handed_on_again_rather_than_lost(stage: Stage) -> None:
    await stage.log.publisher().publish(INBOX, 0, [record(event(1))])
    await stage.member.step()
    await stage.member.kill()
    again = stage.log.member(INBOX, stage.inbox)
    assert await again.drain() == 1
    assert [found.id for found in stage.published()] == ["e-1", "e-1"]
    assert again.committed[0] == 1
