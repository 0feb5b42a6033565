"""`rapport partitions`: how far the consumer groups have come, and growing the partition count."""

from __future__ import annotations

import json
from typing import Annotated, Any

import msgspec
import typer

from shared.cli.opening import with_store
from shared.clock import new_id
from shared.settings import Settings
from shared.storage.store import Store
from shared.stream.cluster import KafkaCluster, Position
from shared.stream.reader import KafkaReader
from shared.topology_growth import SERVICES, Grown, Growth, Topology, topology

partitions_app = typer.Typer()

Kafka = Annotated[str, typer.Option(help="bootstrap servers [default: RAPPORT_KAFKA]")]
AsJson = Annotated[bool, typer.Option("--json", help="as one JSON object")]


@partitions_app.callback(invoke_without_command=True)
def partitions(context: typer.Context) -> None:
    """Without a command: `show`."""
    if context.invoked_subcommand is None:
        show()


@partitions_app.command()
def show(as_json: AsJson = False, kafka: Kafka = "") -> None:
    """Show count, incarnation, and by partition the end of each log and what its readers have committed."""

    async def work(settings: Settings, store: Store) -> Topology:
        await store.prepare()
        return await topology(KafkaCluster(kafka or settings.kafka), store)

    found = with_store(work)
    typer.echo(json.dumps(described(found)) if as_json else report(found))


@partitions_app.command()
def grow(
    to: Annotated[int, typer.Option(min=1, help="the new count, for good: it cannot be made smaller")],
    kafka: Kafka = "",
) -> None:
    """Raise the count while all services but the API are stopped. It can be given again after any failure."""

    async def work(settings: Settings, store: Store) -> Grown:
        await store.prepare()
        where = kafka or settings.kafka
        reader = KafkaReader(where)
        try:
            return await Growth(KafkaCluster(where), reader, store, new_id(), typer.echo).to(to)
        finally:
            await reader.close()

    done = with_store(work)
    if done.before == done.after:
        typer.echo(f"There are {done.after} partitions already. Nothing was changed.")
        return
    typer.echo(f"{done.moved} relationships belong to another partition now. New incarnation: {done.incarnation}")
    typer.echo(f"Set RAPPORT_PARTITIONS={done.after} for every service, and start them.")


def described(found: Topology) -> dict[str, Any]:
    """For programs; `left` is what a group has not finished with."""
    return {
        "partitions": found.partitions,
        "incarnation": found.incarnation,
        "growing_to": found.growing_to(),
        "groups": [
            {
                "group": reading.group,
                "topic": reading.topic,
                "members": list(reading.members),
                "positions": [{**msgspec.structs.asdict(at), "left": at.left} for at in reading.positions],
            }
            for reading in found.readings
        ],
    }


def report(found: Topology) -> str:
    """Lines for people."""
    lines = [f"{found.partitions} partitions, incarnation {found.incarnation}"]
    if found.growing_to():
        lines.append(
            f"Growing to {found.growing_to()} was interrupted: repeat `rapport partitions grow --to "
            f"{found.growing_to()}`."
        )
    lines.append("")
    lines += _aligned([_header(found), *(_row(found, number) for number in range(_most(found)))])
    lines.append("")
    for reading in found.readings:
        who = ", ".join(reading.members) or "nobody"
        lines.append(f"{SERVICES[reading.group]} has {reading.left} records of {reading.topic} to read; members: {who}")
    return "\n".join(lines)


def _header(found: Topology) -> list[str]:
    return ["partition", *(text for reading in found.readings for text in (reading.topic, "committed", "left"))]


def _row(found: Topology, number: int) -> list[str]:
    cells = [str(number)]
    for reading in found.readings:
        cells += _cells(reading.positions[number]) if number < len(reading.positions) else ["-", "-", "-"]
    return cells


def _cells(at: Position) -> list[str]:
    return [str(at.end), "-" if at.committed is None else str(at.committed), str(at.left)]


def _most(found: Topology) -> int:
    return max(len(reading.positions) for reading in found.readings)


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows]
