"""Disturb scoring for as long as you like, on real Kafka: `make soak ARGS="--minutes 10 --rounds 3"`.

The long form of tests/e2e/test_faults.py. Each round starts Kafka, a store, ingest, alerts and several scoring workers
of its own and sends traffic with duplicates, out of order and late. Meanwhile every fault happens once, then others by
chance: kill -9, a pause longer than the session, an exception in the engine, the broker or the store gone for 30 s. In
the end what is stored is compared, field by field, with what one worker makes of the same log in peace, and with what
was sent. Exits with 1 on any difference, and where a round did not come to its end; a round is repeated with
`--rounds 1 --seed` and the seed it has printed.

Before the rounds it runs what `make test` leaves to it: the tests that are marked `soak`, and the properties of the
domain and of scoring with many more examples (tests/examples.py). `--no-tests` leaves them out, and so does `--seed`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import traceback
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

import msgspec

from shared.clock import now_ms
from tests.e2e.faults import faults
from tests.e2e.trial import Outcome, Trial, undergo

SECONDS_A_FAULT = 18.0  # on an idle machine, with an outage of 30 s now and then
LOGS = Path("artifacts") / "soak"
SHOWN = 20  # differences
EXAMPLES = 300  # of each property
HANG_SECONDS = 1_800  # that one of the tests may take


def main() -> None:
    """Run the rounds, print what came of each, and write it if asked to."""
    asked = arguments()
    failed = [] if asked.no_tests or asked.seed is not None else tested()
    seed = now_ms() % 1_000_000 if asked.seed is None else asked.seed
    rounds = [
        soaked(round, trial(seed + round, asked.minutes, asked.workers, asked.outage)) for round in range(asked.rounds)
    ]
    table(rounds)
    if asked.json:
        asked.json.write_text(json.dumps({"seed": seed, "outage": asked.outage, "rounds": rounds}, indent=1))
    wrong = {name: [one["seed"] for one in rounds if one[name]] for name in ("differences", "unfinished")}
    if any(wrong.values()):
        found = "; ".join(f"{name}: seeds {seeds}" for name, seeds in wrong.items() if seeds)
        failed.append(f"Of {len(rounds)} rounds, {found}. Their logs are in {LOGS}.")
    else:
        print(f"{len(rounds)} of {len(rounds)} rounds: nothing lost, nothing doubled.")
    if failed:
        sys.exit("\n".join(failed))


def tested() -> list[str]:
    """Run the tests that are left to the soak, and say which have failed."""
    many = {**os.environ, "RAPPORT_EXAMPLES": str(EXAMPLES)}
    runs = {"the soak": ("-m", "soak"), "the domain and scoring": ("tests/domain", "tests/scoring")}
    hang = ("-o", f"hang_seconds={HANG_SECONDS}")
    results = {
        name: subprocess.run([sys.executable, "-m", "pytest", *hang, *chosen], env=many, check=False).returncode
        for name, chosen in runs.items()
    }
    return [f"Of the tests of {name}, some failed." for name, result in results.items() if result]


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="of faults a round, about (default 10)")
    parser.add_argument("--quick", action="store_true", help="every fault once, with outages of 8 s")
    parser.add_argument("--rounds", type=int, default=1, help="how many, one after another (default 1)")
    parser.add_argument("--workers", type=int, default=3, help="scoring workers (default 3)")
    parser.add_argument("--outage", type=float, default=30.0, help="seconds that broker or store stay away (30)")
    parser.add_argument("--seed", type=int, help="of the first round (default: chance); the others count up")
    parser.add_argument("--no-tests", action="store_true", help="only the rounds")
    parser.add_argument("--json", type=Path, help="write the outcomes there")
    asked = parser.parse_args()
    if asked.quick:
        asked.minutes, asked.outage = 0.0, 8.0
    return asked


def trial(seed: int, minutes: float, workers: int, outage: float) -> Trial:
    """Every fault once in any order, then any of them until the time is over; static membership every other time."""
    chance = Random(seed)
    table = list(faults(outage).values())
    chosen = chance.sample(table, len(table))
    while len(chosen) < minutes * 60 / SECONDS_A_FAULT:
        chosen.append(chance.choice(table))
    return Trial(seed, chosen, workers, relationships=10 * len(chosen), instances=chance.random() < 0.5)


def soaked(number: int, trial: Trial) -> dict[str, Any]:
    """One round. What it has logged is kept where something is wrong."""
    membership = "static" if trial.instances else "dynamic"
    print(f"round {number + 1}, seed {trial.seed}, {membership} membership", flush=True)
    here = LOGS / str(trial.seed)
    shutil.rmtree(here, ignore_errors=True)
    here.mkdir(parents=True)
    began = monotonic()

    def say(text: str) -> None:
        print(f"  {monotonic() - began:6.1f} s  {text}", flush=True)

    try:
        outcome = asyncio.run(undergo(trial, here, say))
    except Exception as error:  # noqa: BLE001 - not swallowed: the round counts as failed, and the next one begins
        traceback.print_exception(error)
        outcome = Outcome(trial.seed, [fault.name for fault in trial.faults], unfinished=repr(error))
    for difference in outcome.differences[:SHOWN]:
        print(f"  differs: {difference}")
    if not outcome.differences and not outcome.unfinished:
        shutil.rmtree(here)
    return {**msgspec.to_builtins(outcome), "seconds": round(monotonic() - began, 1)}


def table(rounds: list[dict[str, Any]]) -> None:
    """One line a round."""
    columns = ("seed", "seconds", "sent", "repeated", "records", "relationships", "alerts", "restarts", "expelled")
    shown = [{**one, "restarts": sum(one["restarts"].values()), "faults": len(one["faults"])} for one in rounds]
    print("  ".join(f"{name:>13}" for name in ("faults", *columns, "differences")))
    for one in shown:
        values = [one[name] for name in ("faults", *columns)]
        result = "not finished" if one["unfinished"] else len(one["differences"])
        print("  ".join(f"{value:>13}" for value in [*values, result]))


if __name__ == "__main__":
    main()
