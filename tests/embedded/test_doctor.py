"""The doctor says what runs, what does not, and what to do about it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from shared.embedded.data import DataDirectory, Running
from shared.embedded.doctor import BACKLOG_MOST, Finding, examine, report
from shared.embedded.ports import LOOPBACK, free_port
from shared.stream.admin import ensure_topics
from shared.stream.ports import Message
from shared.stream.publisher import KafkaPublisher
from shared.stream.topics import INTERACTIONS


@asynccontextmanager
async def http_server(status: str) -> AsyncIterator[str]:
    """Answers every request with `status` and the body `the store does not answer`."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = b"the store does not answer"
        writer.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, LOOPBACK, 0)
    async with server:
        yield f"http://{LOOPBACK}:{server.sockets[0].getsockname()[1]}/readyz"


def named(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.subject: finding for finding in findings}


def test_the_report_lists_everything_and_advises_where_something_is_wrong() -> None:
    findings = [Finding("api", True, "is ready"), Finding("kafka", False, "does not answer", "start it")]
    assert report(findings).splitlines() == [
        "ok   api    is ready",
        "BAD  kafka  does not answer",
        "            → start it",
        "1 of 2 need attention.",
    ]
    assert report(findings[:1]).endswith("All is well.")


async def test_without_a_stack_it_says_how_to_start_one_and_which_ports_are_free(tmp_path: Path) -> None:
    found = named(await examine(tmp_path / "none"))
    assert not found["stack"].well
    assert "rapport up --embedded" in found["stack"].advice
    assert found["data"].seen.endswith("(made on the first start)")
    assert found["embedded broker"].well
    assert found["embedded store"].well
    assert {"api-port", "ingest-port", "kafka-port", "mongo-port"} <= set(found)


@pytest.mark.embedded
async def test_a_running_stack_is_asked_part_by_part(tmp_path: Path, fresh_tansu: str, mongo_url: str) -> None:
    data = DataDirectory(tmp_path)
    await ensure_topics(fresh_tansu, 4)
    async with http_server("200 OK") as well, http_server("503 Service Unavailable") as ill:
        with data.locked():
            gone = f"http://{LOOPBACK}:{free_port()}/readyz"
            probes = {"api": well, "ingest": ill, "alerts": gone, "kafka": fresh_tansu, "mongo": mongo_url}
            data.keep_running(Running(os.getpid(), probes))
            found = named(await examine(tmp_path))
    assert found["stack"].well
    assert found["api"].well
    assert not found["ingest"].well
    assert "answers 503: the store does not answer" in found["ingest"].seen
    assert "look at its lines in the log" in found["ingest"].advice
    assert not found["alerts"].well
    assert found["kafka"].seen == f"answers at {fresh_tansu}, with all topics"
    assert found["backlog"] == Finding("backlog", True, "0 events wait to be scored", found["backlog"].advice)
    assert found["mongo"].well
    assert "api-port" not in found, "its ports are taken by the stack itself"


@pytest.mark.embedded
async def test_a_large_backlog_needs_attention_until_scoring_has_read_it(tmp_path: Path, fresh_tansu: str) -> None:
    await ensure_topics(fresh_tansu, 2)
    publisher = KafkaPublisher(fresh_tansu)
    await publisher.publish(INTERACTIONS, 1, [Message(b"{}")] * BACKLOG_MOST)
    found = named(await examine(tmp_path, kafka=fresh_tansu))
    assert (found["backlog"].well, found["backlog"].seen) == (True, "10,000 events wait to be scored")
    await publisher.publish(INTERACTIONS, 0, [Message(b"{}")])
    await publisher.close()
    found = named(await examine(tmp_path, kafka=fresh_tansu))
    assert (found["backlog"].well, found["backlog"].seen) == (False, "10,001 events wait to be scored")
    assert "more scoring workers" in found["backlog"].advice


async def test_what_an_ended_stack_left_behind_is_not_taken_for_a_running_one(tmp_path: Path) -> None:
    DataDirectory(tmp_path).keep_running(Running(os.getpid(), {"api": "http://127.0.0.1:1/readyz"}))
    found = named(await examine(tmp_path))
    assert "api" not in found
    assert not found["stack"].well


@pytest.mark.embedded
async def test_a_kafka_without_our_topics_is_told_apart_from_none(tmp_path: Path, fresh_tansu: str) -> None:
    found = named(await examine(tmp_path, kafka=fresh_tansu, mongo=f"mongodb://{LOOPBACK}:{free_port()}"))
    assert "lacks rapport.inbox" in found["kafka"].seen
    assert found["kafka"].advice == "create the topics: rapport init"
    assert not found["mongo"].well
    found = named(await examine(tmp_path, kafka=f"{LOOPBACK}:{free_port()}"))
    assert found["kafka"].advice == "start Kafka there, or name another with --kafka"
