"""`python -m shared.simulator`: the demo's portfolio, from start to SIGTERM."""

from __future__ import annotations

import asyncio
import signal
from functools import partial
from pathlib import Path
from typing import Annotated

import httpx
import typer

from shared.clock import now_ms
from shared.domain.errors import Misconfigured, Unavailable
from shared.load.publish import IngestClient
from shared.simulator.run import Options, Simulator, is_known, things_to_try
from shared.simulator.state import State, read_state, write_state

say = partial(print, flush=True)


def main(
    ingest: Annotated[str, typer.Option(help="address of ingest")] = "http://127.0.0.1:8081",
    write_key: Annotated[str, typer.Option(envvar="RAPPORT_WRITE_KEY", help="write key of the tenant")] = "",
    api: Annotated[str, typer.Option(help="address of the API; empty: only the state file tells what is loaded")] = "",
    api_key: Annotated[str, typer.Option(envvar="RAPPORT_API_KEY", help="API key of the same tenant")] = "",
    accounts: Annotated[int, typer.Option(min=2, max=5_000, help="beside the three of the incidents")] = 200,
    months: Annotated[int, typer.Option(min=4, max=24, help="of history")] = 12,
    seed: Annotated[int, typer.Option(help="another seed is another portfolio")] = 7,
    state: Annotated[Path | None, typer.Option(help="remembers what was loaded, and until when")] = None,
) -> None:
    """Load an invented portfolio's history once, then send live traffic with three incidents until stopped."""
    options = Options(accounts, months, seed, state)
    try:
        asyncio.run(_simulate(options, ingest, write_key, api, api_key))
    except (Misconfigured, Unavailable) as error:
        typer.echo(f"simulator: {error}", err=True)
        raise typer.Exit(2 if isinstance(error, Misconfigured) else 3) from error


async def _simulate(options: Options, ingest: str, write_key: str, api: str, api_key: str) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    async with httpx.AsyncClient(timeout=30.0) as client:
        publisher = IngestClient(client, ingest, write_key, patience=float("inf"), on_wait=say)
        work = asyncio.create_task(
            _work(Simulator(options, publisher, now_ms, say, stop), options, client, ingest, api, api_key)
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait((work, stopped), return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            # It ends by itself unless it waits for an ingest that has gone.
            await asyncio.wait((work,), timeout=3.0)
            work.cancel()
        stopped.cancel()
        try:
            await work
        except asyncio.CancelledError:
            say("stopped while waiting for ingest")


async def _work(
    simulator: Simulator, options: Options, client: httpx.AsyncClient, ingest: str, api: str, api_key: str
) -> None:
    known = read_state(options.state)
    if known is None and api and await is_known(client, api, api_key):
        known = State(options.seed, options.accounts, now_ms())
        write_state(options.state, known)
    if known is None:
        known = await simulator.load_history()
    else:
        say("the history is there already; live traffic goes on")
        known = await simulator.catch_up(known)
    if known is not None:
        for line in things_to_try(ingest, now_ms()):
            say(line)
        await simulator.run_live(known)


if __name__ == "__main__":
    typer.run(main)
