"""The command `rapport`."""

from __future__ import annotations

import asyncio
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from shared.cli.failing import fail, or_fail

if TYPE_CHECKING:
    from shared.settings import Settings

Port = Annotated[int, typer.Option(min=0, max=65535, show_default=True)]
DataOption = Annotated[Path | None, typer.Option("--data", help="data directory [default: ~/.local/share/rapport]")]
ReadyFile = Annotated[Path | None, typer.Option(help="write addresses and keys there, as JSON, when all is ready")]

GROUPS = {
    "keys": ("shared.cli.keys", "Keys of machine clients: create, list, revoke."),
    "load": (
        "shared.cli.load",
        "Load history: a file (load file FILE) or a git repository (load git PATH).",
    ),
    "quarantine": ("shared.cli.quarantine", "What could not be accepted: list, show, send again."),
    "log": ("shared.cli.log", "The log of accepted events: show what lies in a partition."),
    "partitions": (
        "shared.cli.partitions",
        "Partitions of rapport.interactions: what is left to read, and growing their count.",
    ),
}
"""Groups of commands: the module of each, which has it as NAME_app, and what it is for."""

COMMANDS = {
    "playbook": (
        "shared.cli.playbook",
        "Check a playbook, and print all that it comes to: rules, thresholds, channels, next steps.",
    ),
    "replay": (
        "shared.cli.replay",
        "Run files of events through the engine as if they had come live: flags and scores.",
    ),
}
"""Commands that are taken in the same way."""


class _Commands(TyperGroup):
    """Takes a command's module when it is called: imports cost far more time than most commands' work."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        if name in GROUPS or name in COMMANDS:
            module, about = (GROUPS | COMMANDS)[name]
            of = get_group if name in GROUPS else get_command
            command = of(getattr(import_module(module), f"{name}_app"))
            command.name, command.help = name, about
        return name, command, rest


app = typer.Typer(cls=_Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
"""Everything under `rapport`."""
for _name, (_, _about) in (GROUPS | COMMANDS).items():
    app.add_typer(typer.Typer(), name=_name, help=_about)


@app.callback()
def rapport() -> None:
    """Rapport: live relationship intelligence on your own machines."""


@app.command()
def up(
    embedded: Annotated[bool, typer.Option("--embedded", help="run broker and store on this machine too")] = False,
    kafka: Annotated[str, typer.Option(help="use this Kafka (HOST:PORT) instead of the embedded broker")] = "",
    mongo: Annotated[str, typer.Option(help="use this MongoDB (mongodb://...) instead of the embedded store")] = "",
    data: DataOption = None,
    api_port: Port = 8080,
    ingest_port: Port = 8081,
    kafka_port: Port = 9092,
    mongo_port: Port = 27017,
    scoring_metrics_port: Port = 9101,
    alerts_metrics_port: Port = 9102,
    partitions: Annotated[int, typer.Option(min=1, max=1024, help="fixed when the data directory is new")] = 8,
    ready_file: ReadyFile = None,
    simulate: Annotated[bool, typer.Option("--simulate", help="with the portfolio of `rapport demo`")] = False,
) -> None:
    """Run the whole stack on this machine until Ctrl-C. A port of 0 means any free one."""
    from shared.embedded.run import run
    from shared.embedded.stack import Options

    if not embedded and not (kafka and mongo):
        fail(
            "Say --embedded to run broker and store on this machine, or name both: --kafka HOST:PORT --mongo URL.\n"
            "To run the services one by one, use `rapport ingest`, `scoring`, `alerts` and `api`."
        )
    options = Options(
        data=data or _default_data(),
        partitions=partitions,
        kafka=kafka,
        mongo=mongo,
        api_port=api_port,
        ingest_port=ingest_port,
        kafka_port=kafka_port,
        mongo_port=mongo_port,
        scoring_metrics_port=scoring_metrics_port,
        alerts_metrics_port=alerts_metrics_port,
        ready_file=ready_file,
        demo=simulate,
    )
    or_fail(lambda: run(options))


@app.command()
def demo(
    kafka: Annotated[str, typer.Option(help="use this Kafka (HOST:PORT) instead of the embedded broker")] = "",
    mongo: Annotated[str, typer.Option(help="use this MongoDB (mongodb://...) instead of the embedded store")] = "",
    data: DataOption = None,
    api_port: Port = 8080,
    ingest_port: Port = 8081,
    kafka_port: Port = 9092,
    mongo_port: Port = 27017,
    scoring_metrics_port: Port = 9101,
    alerts_metrics_port: Port = 9102,
    partitions: Annotated[int, typer.Option(min=1, max=1024, help="fixed when the data directory is new")] = 8,
    ready_file: ReadyFile = None,
) -> None:
    """Run the whole stack with a simulated portfolio: 12 months of 200 accounts, and live traffic."""
    up(
        embedded=True,
        kafka=kafka,
        mongo=mongo,
        data=data,
        api_port=api_port,
        ingest_port=ingest_port,
        kafka_port=kafka_port,
        mongo_port=mongo_port,
        scoring_metrics_port=scoring_metrics_port,
        alerts_metrics_port=alerts_metrics_port,
        partitions=partitions,
        ready_file=ready_file,
        simulate=True,
    )


@app.command()
def doctor(
    data: DataOption = None,
    kafka: Annotated[str, typer.Option(help="look at this Kafka too (HOST:PORT)")] = "",
    mongo: Annotated[str, typer.Option(help="look at this MongoDB too (mongodb://...)")] = "",
) -> None:
    """Say what runs, what does not, and what to do about it; status 1 if something needs attention.

    A stack that does not run is a fact, and nothing that needs attention. Give the same --data as to `rapport up`.
    """
    from shared.embedded.doctor import examine, report

    findings = asyncio.run(examine(data or _default_data(), kafka, mongo))
    typer.echo(report(findings))
    raise typer.Exit(0 if all(finding.well for finding in findings) else 1)


@app.command()
def init(
    new_incarnation: Annotated[
        bool, typer.Option(help="The topics were recreated by hand: take all of them for new logs. Stop the services.")
    ] = False,
) -> None:
    """Create the topics that are missing and record their incarnation: once, before the services start."""
    from shared.clock import new_id
    from shared.settings import read_settings
    from shared.storage.open import open_store
    from shared.topology import Established, establish

    async def work(settings: Settings) -> Established:
        store = open_store(settings)
        try:
            await store.prepare()
            return await establish(settings.kafka, store, settings.partitions, new_id, renew=new_incarnation)
        finally:
            await store.close()

    done = or_fail(lambda: asyncio.run(work(read_settings())))
    typer.echo(f"Created: {', '.join(done.created) or 'nothing, all topics exist'}")
    typer.echo(f"New incarnation: {', '.join(done.incarnated) or 'none'}")


def _service(name: str) -> None:
    # Replaces this process: signals and the exit status are the service's own.
    os.execv(sys.executable, [sys.executable, "-m", f"services.{name}"])  # noqa: S606


@app.command()
def ingest() -> None:
    """Run the service that takes events in."""
    _service("ingest")


@app.command()
def scoring() -> None:
    """Run the service that scores relationships."""
    _service("scoring")


@app.command()
def alerts() -> None:
    """Run the service that raises and delivers alerts."""
    _service("alerts")


@app.command()
def api() -> None:
    """Run the API and the dashboard."""
    _service("api")


def _default_data() -> Path:
    from shared.embedded.data import default_directory

    return default_directory(os.environ)
