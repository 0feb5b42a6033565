"""The benches: `python -m bench` runs all of them, `python -m bench NAME...` those named, `--list` names them.

Each is a module of its own with its own options (`python -m bench.NAME --help`); `--quick` is passed on, and with
`--json DIRECTORY` each writes its figures there as NAME.json. Exits with 1 where one of them missed a target.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

BENCHES = {
    "alerts": "from an event, or a rule's canonical moment, to the alert on the live stream",
    "corrections": "alerts of others while one relationship is corrected (needs Java 17 and Maven)",
    "dashboard": "painting and filtering 5,000 relationships in Chromium",
    "evaluation": "rules and scores at canonical moments, alone and in a storm; loading; replay",
    "ingest": "events a core takes in over HTTP, beside a bare uvicorn app (needs Java 17 and Maven)",
    "latency": "from event to stored state and alert under load (needs Java 17 and Maven)",
    "throughput": "scoring beside a bare loop and other stream processors (needs Java 17 and Maven)",
}


def main() -> None:
    """Run what was asked for, one after the other, each in a process of its own."""
    arguments = argparse.ArgumentParser(prog="python -m bench", description=__doc__.split("\n\n")[0])
    arguments.add_argument("names", nargs="*", metavar="NAME", help=f"out of {', '.join(BENCHES)}; all by default")
    arguments.add_argument("--list", action="store_true", help="say what there is")
    arguments.add_argument("--quick", action="store_true", help="fewer tries")
    arguments.add_argument("--json", type=Path, metavar="DIRECTORY", help="write NAME.json there")
    asked = arguments.parse_args()
    if unknown := set(asked.names) - set(BENCHES):
        arguments.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}")
    if asked.list:
        print("\n".join(f"{name:12}{text}" for name, text in BENCHES.items()))
        return
    if asked.json:
        asked.json.mkdir(parents=True, exist_ok=True)
    failed = [name for name in asked.names or BENCHES if run(name, asked.quick, asked.json)]
    if failed:
        sys.exit(f"Missed or failed: {', '.join(failed)}")


def run(name: str, quick: bool, directory: Path | None) -> int:
    """The exit status of one bench."""
    print(f"--- {name}: {BENCHES[name]}", flush=True)
    command = [sys.executable, "-m", f"bench.{name}"]
    command += ["--quick"] if quick else []
    command += ["--json", str(directory / f"{name}.json")] if directory else []
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    main()
