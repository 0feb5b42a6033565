"""`rapport replay`: what would have been flagged, and which scores there would have been, had it come live."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from typer.core import TyperCommand

from shared.cli.failing import or_fail
from shared.cli.outputs import Named, Outputs, keep_apart
from shared.cli.replayed import ENCODER, Tally, flag_line, score_line
from shared.domain.contract.events import Interaction, Millis
from shared.domain.contract.moments import rfc3339
from shared.domain.contract.times import parse_date_or_moment
from shared.domain.engine.replay import Flagged, Replay
from shared.domain.engine.terms import Terms
from shared.domain.errors import Misconfigured
from shared.load.arrivals import Arrivals
from shared.load.files import open_source
from shared.load.mapping import load_mapping
from shared.load.outgoing import Source
from shared.playbooks.loader import load_playbook
from shared.printable import printable

NO_MAPPING = "-"
PLAIN_EVERY = 5.0  # seconds between progress lines where there is no terminal
TOLD_EVERY = 1_000  # events
SEVERAL = ("--history", "--mapping", "--at")


class _SeveralValues(TyperCommand):
    """Options that take several values: `--history A B` is `--history A --history B`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        spread: list[str] = []
        option, filled = "", False
        for arg in args:
            if arg.startswith("--"):
                option, filled = arg, False
            elif option in SEVERAL:
                if filled:
                    spread.append(option)
                filled = True
            spread.append(arg)
        return super().parse_args(ctx, spread)


class _Job(msgspec.Struct, frozen=True):
    """What is asked for; `until` is None for as far as there is anything."""

    sources: list[tuple[str, Source]]
    terms: Terms
    at: list[Millis]
    until: Millis | None
    flags: Path | None
    scores: Path | None


replay_app = typer.Typer(add_completion=False)


@replay_app.command(cls=_SeveralValues)
def replay(
    history: Annotated[list[Path], typer.Option("--history", help="files of events, merged by time: as for load")],
    mapping: Annotated[
        list[str] | None,
        typer.Option("--mapping", help="YAML: one for all files, or one for each of them (- for none)"),
    ] = None,
    playbook: Annotated[
        Path | None, typer.Option("--playbook", help="rules and thresholds [default: built in]")
    ] = None,
    at: Annotated[
        list[str] | None, typer.Option("--at", help="moments for --scores: a date (00:00 UTC) or a time")
    ] = None,
    until: Annotated[
        str, typer.Option("--until", help="how far the clock goes [default: the last event or --at]")
    ] = "",
    flags: Annotated[
        Path | None, typer.Option("--flags", help="write each flag raised or cleared there (JSONL)")
    ] = None,
    scores: Annotated[Path | None, typer.Option("--scores", help="write scores at each --at there (JSONL)")] = None,
) -> None:
    """Run files of events through the engine as if they had come live: which flags, and which scores, and when."""

    def prepare() -> _Job:
        inputs: list[Named] = [("--history", file) for file in history]
        inputs += [("--mapping", Path(name)) for name in mapping or [] if name != NO_MAPPING]
        keep_apart([("--flags", flags), ("--scores", scores)], [*inputs, ("--playbook", playbook)])
        moments = [_moment("--at", text) for text in at or []]
        end = _moment("--until", until) if until else None
        if scores and not moments:
            raise Misconfigured("--scores needs a moment: --at 2026-01-31")
        if end is not None and moments and max(moments) > end:
            raise Misconfigured(
                f"--at {rfc3339(max(moments))} is after --until {rfc3339(end)}: the clock does not get there"
            )
        sources = _sources(history, mapping or [])
        return _Job(sources, Terms(load_playbook(playbook)), moments, end, flags, scores)

    for line in or_fail(lambda: list(_replay(prepare(), Console(stderr=True, highlight=False, emoji=False)))):
        typer.echo(printable(line))


def _moment(option: str, text: str) -> Millis:
    try:
        return parse_date_or_moment(text)
    except ValueError as error:
        raise Misconfigured(f"{option}: {error}, and no day such as 2026-01-31") from error


def _sources(files: Sequence[Path], mappings: Sequence[str]) -> list[tuple[str, Source]]:
    """Each file with its name and mapping."""
    if len(mappings) > 1 and len(mappings) != len(files):
        raise Misconfigured(
            f"there are {len(files)} files and {len(mappings)} mappings: give one --mapping for all of them, or one for"
            f" each in their order ({NO_MAPPING} where a file needs none)"
        )
    named = mappings if len(mappings) > 1 else [*mappings, NO_MAPPING][:1] * len(files)
    loaded = {name: load_mapping(Path(name)) for name in dict.fromkeys(named) if name != NO_MAPPING}
    return [
        (str(file), open_source(file, loaded.get(name), backfill=False))
        for file, name in zip(files, named, strict=True)
    ]


def _replay(job: _Job, console: Console) -> Iterator[str]:
    """Do it, and say in lines what came of it."""
    started = perf_counter()
    with Outputs() as outputs:
        flags, scores = _into(outputs, "--flags", job.flags), _into(outputs, "--scores", job.scores)
        arrivals = _arrivals(job, console)
        until = _end(job, arrivals)
        replay, tally = Replay(job.terms), Tally(job.at)
        with _progress(console, "replaying", arrivals.accepted) as progress:
            for found in replay.run(_counted(arrivals, until, tally, progress), until, job.at):
                tally.note(found)
                if isinstance(found, Flagged):
                    flags(flag_line(found))
                else:
                    scores(score_line(found))
    yield from tally.lines(arrivals, replay, perf_counter() - started)


def _arrivals(job: _Job, console: Console) -> Arrivals:
    arrivals = Arrivals()
    for name, source in job.sources:
        with _progress(console, f"reading {name}", source.total) as progress:
            arrivals.read(name, source, progress)
    if not arrivals.accepted:
        raise Misconfigured("\n".join(["There is no event to replay.", *arrivals.first_rejected]))
    return arrivals


def _end(job: _Job, arrivals: Arrivals) -> Millis:
    """How far the clock goes. Raises Misconfigured where it would not get to any event."""
    if job.until is None:
        return max([arrivals.last, *job.at])
    if job.until < arrivals.first:
        first, last = rfc3339(arrivals.first), rfc3339(arrivals.last)
        several = arrivals.accepted > 1
        who = f"All {arrivals.accepted:,} events lie" if several else "The only event lies"
        when = f"the first is of {first}, the last of {last}" if several else f"it is of {first}"
        raise Misconfigured("\n".join([f"{who} after --until {rfc3339(job.until)}: {when}.", *arrivals.first_rejected]))
    return job.until


def _counted(
    events: Iterable[Interaction], until: Millis, tally: Tally, progress: Callable[[int], None]
) -> Iterator[Interaction]:
    for event in events:
        tally.events += event.time <= until
        if tally.events % TOLD_EVERY == 0:
            progress(tally.events)
        yield event


def _into(outputs: Outputs, option: str, path: Path | None) -> Callable[[Any], None]:
    """Where lines go: into a file, if one is named."""
    if path is None:
        return lambda _line: None
    write = outputs.lines_into(option, path)
    return lambda line: write(ENCODER.encode(line))


@contextmanager
def _progress(console: Console, what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, a line every few seconds anywhere else."""
    what = printable(what)
    if console.is_terminal and sys.stderr.isatty():
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(what[-40:], total=total or None)
            yield lambda done: bar.update(task, completed=done)
        return
    last = perf_counter()

    def line(done: int) -> None:
        nonlocal last
        if perf_counter() - last >= PLAIN_EVERY:
            last = perf_counter()
            share = f": {100 * done / total:.0f} %" if total else ""
            console.print(f"{what}{share}", markup=False, soft_wrap=True)

    yield line
