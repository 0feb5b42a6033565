"""Ports are claimed before anything starts, and a taken one is named with the option that changes it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from shared.domain.errors import Misconfigured
from shared.embedded.ports import LOOPBACK, claim, free_port, listens


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as server:
        server.bind((LOOPBACK, 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_taken_port_is_named_with_its_option(taken: int) -> None:
    with pytest.raises(Misconfigured) as refusal:
        claim({"api-port": taken, "ingest-port": 0})
    assert str(refusal.value).splitlines() == [
        f"Port {taken} is taken: choose another with --api-port PORT (0 = any).",
        "Or stop what uses it: `rapport doctor` tells whether it is another stack.",
    ]


def test_every_taken_port_is_named_at_once(taken: int) -> None:
    with pytest.raises(Misconfigured, match=r"--api-port(.|\n)*--kafka-port"):
        claim({"api-port": taken, "kafka-port": taken})


def test_one_port_for_two_servers_is_refused() -> None:
    port = free_port()
    with pytest.raises(Misconfigured, match=f"Port {port} is given twice"):
        claim({"api-port": port, "ingest-port": port})


def test_zero_means_a_free_port_that_no_other_purpose_has() -> None:
    fixed = free_port()
    ports = claim({"a": 0, "b": 0, "c": fixed})
    assert ports["c"] == fixed
    assert len(set(ports.values())) == 3
    assert all(port > 0 for port in ports.values())


async def test_listening_is_seen(taken: int) -> None:
    await listens(taken)
    with pytest.raises(ConnectionRefusedError):
        await listens(free_port())


@pytest.mark.parametrize("steps", range(12))
async def test_a_cancellation_is_not_lost_whenever_it_comes(steps: int) -> None:
    asking = asyncio.create_task(listens(free_port()))
    for _ in range(steps):
        await asyncio.sleep(0)
    over = asking.done()
    asking.cancel()
    await asyncio.wait({asking})
    assert asking.cancelled() or over
