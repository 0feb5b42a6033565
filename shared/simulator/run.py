"""The simulator at work: load the history once, catch up after a stop, then send live traffic until told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from time import perf_counter

import httpx
import msgspec

from shared.domain.contract.days import iso
from shared.domain.contract.events import DAY, HOUR, MINUTE, SECOND, Millis
from shared.domain.errors import Misconfigured, Unavailable
from shared.load.publish import IngestClient, Outcome
from shared.simulator.accounts import CUSTOMER_TO_TRY, PARTNER_TO_TRY, Account, portfolio
from shared.simulator.history import account_history, beginning, calm_since, missed
from shared.simulator.incidents import IDS, after_live, incident_accounts, incident_history
from shared.simulator.live import Live
from shared.simulator.plan import Planned, outgoing
from shared.simulator.state import State, write_state

CHUNK = 8_000  # events sent together
TICK = 0.5  # seconds between two looks at what has happened
LONGEST_TICK = MINUTE  # after a stall no more than this is made up for
REPORT_EVERY = MINUTE
SAVE_EVERY = 10 * SECOND
QUIET = frozenset({IDS[1]})  # has fallen silent for good


class Options(msgspec.Struct, frozen=True):
    """What to simulate, and where the state is kept."""

    accounts: int
    months: int
    seed: int
    state: Path | None = None


class Simulator:
    """Sends with `publisher`; `clock` gives milliseconds; `say` prints a line; ends when `stop` is set."""

    def __init__(
        self,
        options: Options,
        publisher: IngestClient,
        clock: Callable[[], Millis],
        say: Callable[[str], None],
        stop: asyncio.Event,
    ) -> None:
        self._options, self._publisher, self._clock, self._say, self._stop = options, publisher, clock, say, stop

    async def load_history(self) -> State | None:
        """Sends the months before now, the incidents' accounts last; None if told to stop before it was all sent."""
        options, started = self._options, self._clock()
        since = (started // DAY - options.months * 365 // 12) * DAY
        calm = calm_since(started)
        accounts = portfolio(options.seed, options.accounts, started)
        self._say(f"loading {options.months} months of history of {len(accounts) + len(IDS)} accounts as backfill")
        begun = perf_counter()
        sent = await self._send(
            (
                planned
                for account in accounts
                for planned in account_history(options.seed, account, since, started, calm)
            ),
            backfill=True,
        )
        live = self._clock()
        incidents = [
            *(one for account in incident_accounts(options.seed, live) for one in beginning(account, since)),
            *incident_history(options.seed, live, since, calm),
        ]
        sent += await self._send(incidents, backfill=True)
        if self._stop.is_set():
            return None
        self._say(f"{sent:,} events of history in {perf_counter() - begun:.0f} s")
        state = State(options.seed, options.accounts, live, started)
        write_state(options.state, state)
        return state

    async def catch_up(self, state: State) -> State:
        """Sends what would have happened while the simulator was stopped, as backfill; the state after that."""
        now = self._clock()
        if state.sent_until and now - state.sent_until > MINUTE:
            calm = calm_since(state.live_since)
            planned = missed(state.seed, self._everybody(state), state.sent_until, now, calm, QUIET)
            sent = await self._send(planned, backfill=True)
            self._say(f"caught up with {(now - state.sent_until) / HOUR:.1f} hours: {sent:,} events")
            return msgspec.structs.replace(state, sent_until=now)
        return state

    async def run_live(self, state: State) -> None:
        """Sends live traffic until told to stop."""
        calm = calm_since(state.live_since)
        after = state.sent_until or self._clock()
        live = Live(state.seed, self._everybody(state), after, calm, QUIET)
        sent, reported, saved = 0, 0, after
        while not self._stop.is_set():
            now = self._clock()
            sent += await self._send(live.between(max(after, now - LONGEST_TICK), now), backfill=False)
            if reported == 0 or now - reported >= REPORT_EVERY:
                self._say(f"live traffic: {live.rate():.0f} events a second on average, {sent:,} sent")
                reported = now
            if now - saved >= SAVE_EVERY:
                write_state(self._options.state, msgspec.structs.replace(state, sent_until=now))
                saved = now
            after = now
            await self._wait(TICK)
        write_state(self._options.state, msgspec.structs.replace(state, sent_until=after))

    def _everybody(self, state: State) -> list[Account]:
        incidents = incident_accounts(state.seed, state.live_since)
        regular = portfolio(state.seed, state.accounts, state.live_since)
        return [*regular, *(after_live(account) for account in incidents)]

    async def _send(self, planned: Iterable[Planned], backfill: bool) -> int:
        """Sends all of it; how many were accepted. An event that is not accepted is a defect of the simulator."""
        events = (outgoing(one, backfill) for one in planned)
        total = 0
        while chunk := list(islice(events, CHUNK)):
            if self._stop.is_set():
                break
            outcome: Outcome = await self._publisher.send(chunk)
            if outcome.rejected:
                first = outcome.rejected[0]
                raise Misconfigured(
                    f"ingest rejected {len(outcome.rejected)} events of the simulator, first {first.id}: {first.detail}"
                )
            total += outcome.accepted
            if total % (CHUNK * 5) == 0:
                self._say(f"{total:,} events sent")
        return total

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return


async def is_known(client: httpx.AsyncClient, api: str, key: str, patience: float = 60.0) -> bool:
    """Whether the API knows the account that is loaded last; waits for it to answer, then `Unavailable`."""
    waited = 0.0
    while True:
        try:
            url = f"{api.rstrip('/')}/v1/relationships/{IDS[-1]}"
            response = await client.get(url, headers={"authorization": f"Bearer {key}"})
            why = f"{response.status_code}"
            if response.status_code in (200, 404):
                return response.status_code == 200
            if response.status_code in (401, 403):
                raise Misconfigured("the API does not accept this key; name another with --api-key or RAPPORT_API_KEY")
        except httpx.TransportError as error:
            why = str(error) or type(error).__name__
        if waited >= patience:
            raise Unavailable(f"the API at {api} does not say what it knows ({why}); is it running?")
        await asyncio.sleep(0.5)
        waited += 0.5


def things_to_try(ingest: str, now: Millis) -> Iterator[str]:
    """Shell commands that post a detractor's answer and a planned price change, with the key in RAPPORT_WRITE_KEY."""
    answer = '"instrument":"nps","score":2,"person":"dana@acme-robotics.example","text":"Support is slow"'
    change = f'"change":"+12 % on all plans","effective_at":"{iso(now + 30 * DAY)[:10]}"'
    for title, type, subject, data in (
        ("a detractor answers a survey", "survey.answered", CUSTOMER_TO_TRY, answer),
        ("a price change is planned for a partner", "price.change_planned", PARTNER_TO_TRY, change),
    ):
        yield f"try it: {title}"
        yield (
            f"""curl -s {ingest.rstrip("/")}/v1/events -H "Authorization: Bearer $RAPPORT_WRITE_KEY" """
            f"""-H 'Content-Type: application/cloudevents+json' -d '{{"specversion":"1.0","id":"'$(date +%s%N)'","""
            f""""source":"curl","type":"{type}","time":"'$(date -u +%FT%TZ)'","subject":"{subject}","""
            f""""data":{{{data}}}}}'"""
        )
