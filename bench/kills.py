"""Kill services during traffic for as long as you like: `python -m bench.kills [--minutes N] [--kafka real]`.

The long form of tests/e2e/test_kills.py. A stack of its own takes usage and touchpoints over HTTP, and kill -9 takes
ingest, scoring, alerts and the API in turn, again and again, each when the one before is back. What is left in the end
(uses by relationship, feature, person and day; the timelines; what happened to each alert; what the live stream has
shown) is compared with what was sent. Exits with 1 where anything is missing or double.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec

from bench.stack import BROKERS, EMBEDDED, kafka_running
from shared.clock import now_ms
from shared.embedded.keyring import TENANT
from tests.e2e.kills import RATE, Outcome, disturbed
from tests.e2e.traffic import Picture, planned
from tests.embedded.stack import NAMES

SECONDS_A_KILL = 8  # all four within half a minute: a service that lived for so long is started again at once
EVENTS_EACH = 1_500  # of a relationship


def main() -> None:
    """Run, print what was compared, and write it if asked to."""
    arguments = argparse.ArgumentParser(prog="python -m bench.kills", description=__doc__.split("\n\n")[0])
    arguments.add_argument("--minutes", type=float, default=10.0, help="of traffic (default 10)")
    arguments.add_argument("--quick", action="store_const", const=2.0, dest="minutes", help="two minutes")
    arguments.add_argument("--kafka", choices=BROKERS, default=EMBEDDED, help="on which broker")
    arguments.add_argument("--json", type=Path, help="write the figures there")
    asked = arguments.parse_args()
    figures = soaked(asked.minutes, asked.kafka)
    for name, value in figures.items():
        print(f"{name:28} {value}")
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1))
    if figures["differences"]:
        sys.exit("What is left differs from what was sent.")


def soaked(minutes: float, kafka: str) -> dict[str, Any]:
    """Figures of one run."""
    count = round(minutes * 60 * RATE)
    plan = planned(count, TENANT, max(20, count // EVENTS_EACH), now_ms())
    times = max(1, round(minutes * 60 / (SECONDS_A_KILL * len(NAMES))))
    began = monotonic()
    with ExitStack() as opened:
        here = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="rapport-kills-")))
        arguments = [] if kafka == EMBEDDED else ["--kafka", opened.enter_context(kafka_running(here / "kafka"))]
        outcome = disturbed(here, plan, *arguments, times=times)
    return {
        "broker": kafka,
        "minutes": round((monotonic() - began) / 60, 1),
        "events sent": outcome.sent + len(plan.last),
        "requests repeated": outcome.repeated,
        "services killed": outcome.kills,
        "uses counted": round(sum(sum(uses.values()) for uses in outcome.found.uses.values())),
        "timeline entries": sum(entries.total() for entries in outcome.found.entries.values()),
        "alerts": len(outcome.found.alerts),
        "alerts on the live stream": len(outcome.streamed),
        "differences": differences(outcome),
    }


def differences(outcome: Outcome) -> list[str]:
    """In words, where what was found is not what was sent."""
    published = []
    for field in msgspec.structs.fields(Picture):
        found, expected = getattr(outcome.found, field.name), getattr(outcome.expected, field.name)
        different = [key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key)]
        published += [f"{field.name} of {key}" for key in different]
    missing = outcome.expected.alerts.keys() - outcome.streamed
    return sorted(published) + [f"not streamed: {id}" for id in sorted(missing)]


if __name__ == "__main__":
    main()
