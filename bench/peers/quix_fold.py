"""Row `quix`: the shared fold with the state store of Quix Streams. `python -m bench.peers.quix_fold LOG OUT STATES`.

Event ids, counters and daily sums are keys of the relationship's state (RocksDB, without a changelog topic); the score
is made anew with each event, since state can be reached only there. Checkpoints every FLUSH_SECONDS.
Needs the environment of bench/requirements.txt.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any, TypedDict

import msgspec
from quixstreams import Application
from quixstreams.state import State as KeyState
from rocksdict import AccessType, Options, Rdict

from bench.peers.fold import (
    DAY,
    FLUSH_SECONDS,
    WINDOW,
    Cell,
    State,
    cell_of,
    decode,
    engagement,
    id_of,
    window_of,
    write_states,
)
from bench.peers.measure import Log, Stopwatch

STATE = "state"  # the key of a Whole


class Whole(TypedDict):
    """What is kept of a relationship as a whole: uses and touches by day, and the score."""

    days: dict[str, list[float]]
    score: int | None


def fold(value: bytes, key: Any, received: int, headers: Any, state: KeyState) -> int | None:
    """One event into its relationship's state; the score."""
    event = decode(value)
    name = "id:" + id_of(event)
    seen = state.get(name)
    whole: Whole = state.get(STATE) or Whole(days={}, score=None)
    if seen is not None and received - seen <= WINDOW:
        return whole["score"]
    state.set(name, received)
    (metric, person, day), amount = cell_of(event)
    counter = f"{metric}\t{person}\t{day}"
    state.set(counter, state.get(counter, 0) + amount)
    use = metric.startswith("use:")
    sums = whole["days"].setdefault(str(day), [0, 0])
    sums[0 if use else 1] += amount
    whole["score"] = score = score_of(whole["days"], received // DAY)
    state.set(STATE, whole)
    return score


def score_of(days: dict[str, list[float]], today: int) -> int | None:
    """The score of these sums of uses and touches by day, as of today."""
    windows = [0.0, 0.0, 0.0, 0.0]
    for day, (uses, touches) in days.items():
        age = today - int(day)
        window = window_of("use:", age)
        if window >= 0:
            windows[window] += uses
            windows[window + 2] += touches
    return engagement(windows)


def run(log: Log, watch: Stopwatch, directory: str) -> None:
    """Fold the whole log, up to the last checkpoint."""
    app = Application(
        broker_address=log.bootstrap,
        consumer_group=f"quix-{os.getpid()}",
        auto_offset_reset="earliest",
        commit_interval=FLUSH_SECONDS,
        state_dir=directory,
        use_changelog_topics=False,
        auto_create_topics=False,
        loglevel="WARNING",
    )
    frame = app.dataframe(app.topic(log.topic, key_deserializer="bytes", value_deserializer="bytes"))

    def started(value: bytes, key: Any, received: int, headers: Any, state: KeyState) -> int | None:
        watch.begin()
        return fold(value, key, received, headers, state)

    frame.apply(started, stateful=True, metadata=True)
    app.run(count=log.events, collect=False)
    watch.end()


def states(directory: str) -> dict[str, State]:
    """What the state store holds, read back from its files."""
    scores: dict[str, int | None] = {}
    cells: dict[str, dict[Cell, float]] = {}
    for place in Path(directory).glob("*/default/*/*"):
        stored = Rdict(str(place), Options(raw_mode=True), access_type=AccessType.read_only())
        for raw, value in stored.items():
            key, _, quoted = raw.decode().partition("|")
            name = msgspec.json.decode(quoted)
            if name == STATE:
                scores[key] = msgspec.json.decode(value)["score"]
            elif not name.startswith("id:"):
                metric, person, day = name.split("\t")
                cells.setdefault(key, {})[metric, person, int(day)] = msgspec.json.decode(value)
        stored.close()
    return {key: (scores[key], cells[key]) for key in scores}


def main() -> None:
    log, watch = Log(Path(sys.argv[1])), Stopwatch()
    with tempfile.TemporaryDirectory(prefix="rapport-bench-quix-") as directory:
        run(log, watch, directory)
        watch.write(Path(sys.argv[2]), log.events, write_states(Path(sys.argv[3]), states(directory)))


if __name__ == "__main__":
    main()
