"""The doctor says what runs, what does not, and what to do about it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from shared.embedded import doctor
from shared.embedded.data import DataDirectory, Running
from shared.embedded.doctor import BACKLOG_MOST, Finding, Waiting, examine, report
from shared.embedded.ports import LOOPBACK, free_port
from shared.embedded.stack import Options
from shared.stream.admin import ensure_topics
from shared.stream.cluster import KafkaCluster
from shared.stream.ports import Message
from shared.stream.publisher import KafkaPublisher
from shared.stream.topics import INTERACTIONS


@asynccontextmanager
async def http_server(status: str, body: bytes = b"the store does not answer") -> AsyncIterator[str]:
    """Answers every request with `status` and the body."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
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
    stopped = Finding("stack", True, "does not run", "start it", note=True)
    assert report([findings[0], stopped]).splitlines() == [
        "ok   api    is ready",
        "note stack  does not run",
        "            → start it",
        "Nothing is wrong.",
    ]


def with_ports(monkeypatch: pytest.MonkeyPatch, **ports: int) -> dict[str, int]:
    """Ports that are wanted unless others are named: these, and else free ones."""
    wanted = {purpose: free_port() for purpose in Options(Path()).ports()}
    wanted |= {f"{name}-port": port for name, port in ports.items()}
    monkeypatch.setattr(Options, "ports", lambda _: wanted)
    return wanted


async def test_without_a_stack_it_says_how_to_start_one_and_which_ports_are_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = with_ports(monkeypatch)
    found = named(await examine(tmp_path / "none"))
    assert (found["stack"].well, found["stack"].note) == (True, True), "that it is stopped is a fact"
    assert "rapport up --embedded" in found["stack"].advice
    assert found["data"].seen.endswith("(made on the first start)")
    assert found["embedded broker"].well
    assert found["embedded store"].well
    assert [found[purpose].seen for purpose in ports] == [f"{port} is free" for port in ports.values()]


async def test_the_ports_of_another_stack_are_told_from_those_of_other_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = b"# HELP rapport_x x\n# TYPE rapport_x counter\nrapport_x 1.0\n"
    async with (
        http_server("200 OK", b"a page of something else") as other,
        http_server("200 OK", b"# TYPE process_x gauge\n" + metrics) as api,
        http_server("200 OK") as kafka,
    ):
        where = {
            "api": urlsplit(api).port or 0,
            "kafka": urlsplit(kafka).port or 0,
            "ingest": urlsplit(other).port or 0,
        }
        with_ports(monkeypatch, **where)
        found = named(await examine(tmp_path))
        with_ports(monkeypatch, kafka=where["kafka"])
        alone = named(await examine(tmp_path))
    assert "another Rapport stack runs on this machine" in found["stack"].seen
    assert "rapport doctor --data DIR" in found["stack"].advice
    assert (found["api-port"].word, found["api-port"].seen) == (
        "note",
        f"{where['api']} is taken by another Rapport stack",
    )
    assert (found["kafka-port"].word, "as it seems" in found["kafka-port"].seen) == ("note", True)
    assert (found["ingest-port"].word, "by another program" in found["ingest-port"].seen) == ("BAD", True)
    assert (alone["kafka-port"].word, "Rapport" in alone["stack"].seen) == ("BAD", False)


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
    assert found["backlog"] == Finding("backlog", True, "0 events wait to be scored")
    assert found["mongo"].well
    assert "api-port" not in found, "its ports are taken by the stack itself"


@pytest.mark.embedded
async def test_a_large_backlog_needs_attention_until_scoring_has_read_it(
    tmp_path: Path, fresh_tansu: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ensure_topics(fresh_tansu, 2)
    publisher = KafkaPublisher(fresh_tansu)
    await publisher.publish(INTERACTIONS, 1, [Message(b"{}")] * BACKLOG_MOST)
    found = named(await examine(tmp_path, kafka=fresh_tansu))
    assert (found["backlog"].well, found["backlog"].seen) == (True, "10,000 events wait to be scored")
    await publisher.publish(INTERACTIONS, 0, [Message(b"{}")])
    await publisher.close()
    monkeypatch.setattr(doctor, "WATCH_SECONDS", 0.5)
    monkeypatch.setattr(doctor, "WATCH_EVERY", 0.2)
    found = named(await examine(tmp_path, kafka=fresh_tansu))
    assert not found["backlog"].well
    assert found["backlog"].seen.startswith("10,001 events wait to be scored, and it does not fall")
    assert "more scoring workers" in found["backlog"].advice


def looks(monkeypatch: pytest.MonkeyPatch, *looks: Waiting) -> None:
    """What is seen of the backlog, look by look; the last one again and again."""
    coming = iter(looks)

    async def look(_: object, last: list[Waiting] = []) -> Waiting:  # noqa: B006
        last[:] = [next(coming, *last[-1:])]
        return last[0]

    monkeypatch.setattr(doctor, "_waiting", look)
    monkeypatch.setattr(doctor, "WATCH_SECONDS", 0.05)
    monkeypatch.setattr(doctor, "WATCH_EVERY", 0.01)


@pytest.mark.parametrize(
    ("then", "on_stack", "named_kafka"),
    [
        (Waiting(80_000, 40_000), "note", "note"),
        (Waiting(110_000, 40_000), "note", "BAD"),  # history comes in faster than it is scored
        (Waiting(100_000, 20_000), "BAD", "BAD"),
    ],
)
async def test_a_backlog_that_is_worked_off_is_nothing_bad(
    monkeypatch: pytest.MonkeyPatch, then: Waiting, on_stack: str, named_kafka: str
) -> None:
    cluster = KafkaCluster(f"{LOOPBACK}:1")
    for embedded, word in ((True, on_stack), (False, named_kafka)):
        looks(monkeypatch, Waiting(100_000, 20_000), Waiting(100_000, 20_000), then)
        found = await doctor.backlog(cluster, embedded)
        assert (found.word, "more scoring workers" in found.advice) == (word, not embedded and word == "BAD")
        assert ("20,000 were scored" in found.seen) == (word == "note")
        assert ("after loading history" in found.advice) == (embedded and word == "note")


async def test_what_an_ended_stack_left_behind_is_not_taken_for_a_running_one(tmp_path: Path) -> None:
    DataDirectory(tmp_path).keep_running(Running(os.getpid(), {"api": "http://127.0.0.1:1/readyz"}))
    found = named(await examine(tmp_path))
    assert "api" not in found
    assert found["stack"].note


@pytest.mark.embedded
async def test_a_kafka_without_our_topics_is_told_apart_from_none(tmp_path: Path, fresh_tansu: str) -> None:
    found = named(await examine(tmp_path, kafka=fresh_tansu, mongo=f"mongodb://{LOOPBACK}:{free_port()}"))
    assert "lacks rapport.inbox" in found["kafka"].seen
    assert found["kafka"].advice == "create the topics: rapport init"
    assert not found["mongo"].well
    found = named(await examine(tmp_path, kafka=f"{LOOPBACK}:{free_port()}"))
    assert found["kafka"].advice == "start Kafka there, or name another with --kafka"
