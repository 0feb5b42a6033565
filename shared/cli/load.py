"""`rapport load file FILE` and `rapport load git PATH`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import IO, Annotated, Any, NoReturn

import httpx
import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from typer.core import TyperGroup

from shared.cli.outputs import keep_apart, open_stream, or_cannot_write
from shared.domain.errors import Misconfigured, Unavailable
from shared.domain.keys import WRITE, parse_key
from shared.load.files import open_source
from shared.load.git import GitHistory
from shared.load.loader import load
from shared.load.mapping import load_mapping
from shared.load.outgoing import Rejection, Source
from shared.load.publish import IngestClient
from shared.load.resume import Bookmark, state_directory
from shared.load.summary import Summary
from shared.printable import printable

ALL_ACCEPTED, SOME_REJECTED, WRONG_USE, UNAVAILABLE, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit codes; after the last two the same command goes on where it stopped."""

PLAIN_EVERY = 5.0  # seconds between progress lines where there is no terminal


class _FileOrCommand(TyperGroup):
    """A group whose default command is `file`, so that `load FILE` needs no word in between."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        asks_for_help = bool(args) and args[0] in ("--help", "-h")
        if args and args[0] not in self.commands and not asks_for_help:
            args = ["file", *args]
        return super().parse_args(ctx, args)


load_app = typer.Typer(cls=_FileOrCommand, no_args_is_help=True)

Ingest = Annotated[str, typer.Option("--ingest", envvar="RAPPORT_INGEST_URL", help="address of ingest")]
Key = Annotated[str, typer.Option("--write-key", envvar="RAPPORT_WRITE_KEY", help="write key; its tenant is loaded")]
AsLive = Annotated[bool, typer.Option("--as-live", help="as if it happened now: what it shows may raise alerts")]
Rejects = Annotated[Path | None, typer.Option("--rejects", help="write what is rejected to this file (JSONL)")]
Restart = Annotated[bool, typer.Option("--restart", help="from the beginning, even if a load was interrupted")]
Patience = Annotated[float, typer.Option("--patience", help="seconds to keep trying while ingest takes nothing")]
DEFAULT_INGEST = "http://127.0.0.1:8081"


class _Job(msgspec.Struct, frozen=True):
    """What both commands have in common."""

    ingest: str
    key: str
    as_live: bool
    rejects: Path | None
    restart: bool
    patience: float


@load_app.command("file")
def file_command(
    file: Annotated[Path, typer.Argument(help="a .jsonl, .csv or .parquet file; the first two also as .gz")],
    mapping: Annotated[Path | None, typer.Option("--mapping", help="YAML: what events a table's rows are")] = None,
    ingest: Ingest = DEFAULT_INGEST,
    write_key: Key = "",
    as_live: AsLive = False,
    rejects: Rejects = None,
    restart: Restart = False,
    patience: Patience = 60.0,
) -> None:
    """Load a file of events (JSONL), or of rows with a mapping (CSV, Parquet, JSONL). Loading it again is harmless."""
    job = _Job(ingest, write_key, as_live, rejects, restart, patience)

    def prepare() -> tuple[Source, tuple[str, ...]]:
        keep_apart([("--rejects", rejects)], [("FILE", file), ("--mapping", mapping)])
        source = open_source(file, load_mapping(mapping) if mapping else None, backfill=not as_live)
        state = file.stat()
        form = mapping.read_text(encoding="utf-8") if mapping else ""
        return source, (str(file.resolve()), str(state.st_size), str(state.st_mtime_ns), form)

    _run(job, prepare)


@load_app.command("git")
def git_command(
    path: Annotated[Path, typer.Argument(help="a git repository, with a working tree or bare")],
    branch: Annotated[str, typer.Option("--branch", help="branch, tag or commit to follow")] = "HEAD",
    since: Annotated[str, typer.Option("--since", help="only commits after this date, as git understands it")] = "",
    ingest: Ingest = DEFAULT_INGEST,
    write_key: Key = "",
    as_live: AsLive = False,
    rejects: Rejects = None,
    restart: Restart = False,
    patience: Patience = 60.0,
) -> None:
    """Load a repository's history: authors become relationships (community), commits what they contributed."""
    job = _Job(ingest, write_key, as_live, rejects, restart, patience)

    def prepare() -> tuple[Source, tuple[str, ...]]:
        history = GitHistory(path, branch, since, backfill=not as_live)
        return history, (history.name, history.head, since)

    _run(job, prepare)


def _run(job: _Job, prepare: Callable[[], tuple[Source, tuple[str, ...]]]) -> NoReturn:
    """Does the load, prints the summary to standard output and everything else to standard error, and exits."""
    console = Console(stderr=True, highlight=False, emoji=False)
    started = perf_counter()
    try:
        key = parse_key(job.key)
        if key is None or key[0] != WRITE:
            raise Misconfigured("give the write key with --write-key or RAPPORT_WRITE_KEY (rk_write_…)")
        source, identity = prepare()
        bookmark = Bookmark(state_directory(), (*identity, job.ingest, key[1], str(job.as_live)))
        summary = asyncio.run(_load(job, source, bookmark, console))
    except Misconfigured as error:
        _stop(console, str(error), WRONG_USE)
    except Unavailable as error:
        _stop(console, f"{error}\nThe same command goes on where this one stopped.", UNAVAILABLE)
    except KeyboardInterrupt:
        _stop(console, "Interrupted. The same command goes on where this one stopped.", INTERRUPTED)
    for line in summary.lines(perf_counter() - started, again=not source.additive):
        typer.echo(printable(line))
    _warn_of_additive(console, source)
    raise typer.Exit(SOME_REJECTED if summary.rejected else ALL_ACCEPTED)


def _stop(console: Console, message: str, code: int) -> NoReturn:
    _say(console, message, "red")
    raise typer.Exit(code)


def _say(console: Console, message: str, style: str = "yellow") -> None:
    """A message in lines: what it quotes from files, git and ingest may hold anything."""
    shown = "\n".join(map(printable, message.split("\n")))
    console.print(shown, style=style, markup=False, soft_wrap=True)


def _warn_of_additive(console: Console, source: Source) -> None:
    if source.additive:
        _say(
            console,
            f"Note: {', '.join(sorted(source.additive))} add up, and their ids are remembered for a few days only: "
            "loading this again later counts them twice. usage.daily_total replaces a day's count instead.",
        )


async def _load(job: _Job, source: Source, bookmark: Bookmark, console: Console) -> Summary:
    if job.restart:
        bookmark.remove()
    behind = bookmark.read()
    if behind.line:
        console.print(f"going on behind line {behind.line:,}, where an earlier load was interrupted", markup=False)
    limits = httpx.Limits(max_connections=8)
    with _rejects_file(job.rejects, appending=bool(behind.line)) as answered, _progress(source, console) as progress:
        async with httpx.AsyncClient(timeout=httpx.Timeout(30.0, connect=5.0), limits=limits) as client:
            publisher = IngestClient(
                client,
                job.ingest,
                job.key,
                patience=job.patience,
                on_wait=lambda why: _say(console, why),
            )
            return await load(source, publisher, bookmark, on_progress=progress, on_answered=answered)


@contextmanager
def _rejects_file(path: Path | None, appending: bool) -> Iterator[Callable[[Sequence[Rejection]], None]]:
    """What is to be told of every stretch that was answered, and writes what was rejected of it."""
    if path is None:
        yield lambda _rejections: None
        return
    with or_cannot_write("--rejects", path):
        stream = open_stream(path)
        file = stream or path.open("ab")
    with file:
        rejects = _Rejects(file, earlier=stream is None and not appending)
        yield rejects.add
        rejects.add(())


class _Rejects:
    """A file of rejects. What it holds of an `earlier` load stays until this one has come to something.

    It is written before the bookmark moves, for where this load is interrupted the next one only adds to it.
    """

    def __init__(self, file: IO[bytes], earlier: bool) -> None:
        self._file = file
        self._earlier = earlier

    def add(self, rejections: Sequence[Rejection]) -> None:
        if self._earlier:
            self._file.truncate(0)
            self._earlier = False
        self._file.writelines(msgspec.json.encode(one) + b"\n" for one in rejections)
        self._file.flush()


@contextmanager
def _progress(source: Source, console: Console) -> Iterator[Callable[[int, Summary], None]]:
    """A bar on a terminal, a line every few seconds anywhere else."""
    if not (console.is_terminal and sys.stderr.isatty()):
        last = perf_counter()

        def line(done: int, summary: Summary) -> None:
            nonlocal last
            if perf_counter() - last >= PLAIN_EVERY:
                last = perf_counter()
                share = f"{100 * done / source.total:.0f} % " if source.total else ""
                console.print(f"{share}accepted {summary.accepted:,} rejected {summary.rejected:,}", markup=False)

        yield line
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[counts]}"),
    )
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task(printable(source.name[:40]), total=source.total or None, counts="")

        def show(done: int, summary: Summary) -> None:
            bar.update(task, completed=done, counts=f"{summary.accepted:,} accepted, {summary.rejected:,} rejected")

        yield show
