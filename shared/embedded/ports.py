"""Loopback ports: finding free ones, and saying which option changes one that is taken."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping

from shared.domain.errors import Misconfigured

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """A loopback port that nothing listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def is_taken(port: int) -> bool:
    """Whether something listens on this loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return True
        return False


def claim(wanted: Mapping[str, int]) -> dict[str, int]:
    """Ports by purpose: those given, and free ones for 0. Raises Misconfigured naming each port that is taken.

    A purpose is the option's name without its dashes: `api-port` for `--api-port`.
    """
    taken = [(purpose, port) for purpose, port in wanted.items() if port and is_taken(port)]
    if taken:
        lines = [f"Port {port} is taken: choose another with --{purpose} PORT (0 = any)." for purpose, port in taken]
        raise Misconfigured(
            "\n".join([*lines, "Or stop what uses it: `rapport doctor` tells whether it is another stack."])
        )
    given = [port for port in wanted.values() if port]
    twice = sorted({port for port in given if given.count(port) > 1})
    if twice:
        raise Misconfigured(f"Port {twice[0]} is given twice: every server needs its own.")
    return {purpose: port or _unused(given) for purpose, port in wanted.items()}


def _unused(given: list[int]) -> int:
    port = free_port()
    while port in given:
        port = free_port()
    given.append(port)
    return port


async def listens(port: int) -> None:
    """Returns when something accepts a connection on this loopback port at once; raises OSError otherwise."""
    await reaches(LOOPBACK, port)


async def reaches(host: str, port: int) -> None:
    """Returns when something accepts a connection there within a second; raises OSError or TimeoutError."""
    async with asyncio.timeout(1.0):
        _, writer = await asyncio.open_connection(host, port)
    writer.close()
    await writer.wait_closed()
