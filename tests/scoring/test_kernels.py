"""The compiled loops say what their source says; tests/domain holds the source itself against slow references."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.columns.series import Series, kernels
from shared.domain.engine.evaluation import warm_up
from shared.domain.engine.terms import Terms
from shared.playbooks.loader import load_playbook
from tests.examples import examples

ROOT = Path(__file__).parents[2]

WINDOW, WEEKS = 7, 4


def arguments(rings: Any, today: Any, days: int) -> dict[str, tuple[Any, ...]]:
    """For each loop what it may be asked."""
    places, others = np.arange(len(rings))[::-1].copy(), np.arange(len(rings))
    known = np.array([days % (WEEKS + 1)] * len(rings))
    ring, end = rings[0], days % rings.shape[1]
    series = rings, places, today
    return {
        "counts": (*series, days),
        "sums": (*series, days),
        "days_with": (rings, places, others, today, days),
        "used": (*series, days),
        "levels": (*series, np.linspace(0, 1, len(rings)), WINDOW, WEEKS),
        "spreads": (*series, WINDOW, known),
        "_parts": (float(ring[0]),),
        "_exact": (float(ring[0]),),
        "_last_days": (ring, today[0], days),
        "_between": (ring, 0, end),
        "_days_between": (ring, rings[-1], 0, end),
        "_weeks_known": (ring, today[0], WINDOW, WEEKS),
    }


@settings(max_examples=examples(50), deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 9),
    st.integers(36, 80),
    st.integers(0, 36),
    st.booleans(),
    st.floats(1, 1e13),
)
def test_each_compiled_loop_says_what_its_source_says(
    seed: int, rows: int, length: int, days: int, decimals: bool, scale: float
) -> None:
    chance = np.random.default_rng(seed)
    rings = np.floor(chance.poisson(0.7, (rows, length)) * scale) * (chance.random((rows, length)) if decimals else 1.0)
    asked = arguments(rings, chance.integers(20_000, 20_100, rows), days)
    loops = {name: loop for name, loop in vars(kernels()).items() if hasattr(loop, "py_func")}
    assert asked.keys() == loops.keys()
    for name, loop in loops.items():
        for fast, plain in zip(listed(loop(*asked[name])), listed(loop.py_func(*asked[name])), strict=True):
            assert np.array_equal(fast, plain, equal_nan=np.issubdtype(np.asarray(fast).dtype, np.floating)), name


@settings(max_examples=examples(50), deadline=None)
@given(st.lists(st.integers(0, 10**12), min_size=90, max_size=90), st.integers(0, 399))
def test_large_whole_counts_add_up_exactly(counts: list[int], today: int) -> None:
    ring = np.zeros((1, 400))
    for ago, count in enumerate(counts):
        ring[0, (today - ago) % 400] = count
    assert Series(ring, np.zeros(1, np.int64), np.array([today])).sums(90).tolist() == [sum(counts)]


def test_after_warming_up_all_is_compiled() -> None:
    """Nothing has to wait for a compiler while events come in."""
    warm_up(Terms(load_playbook(None)))
    loops = {name: loop for name, loop in vars(kernels()).items() if hasattr(loop, "py_func") and name[0] != "_"}
    assert {name: len(loop.signatures) for name, loop in loops.items()} == dict.fromkeys(loops, 1)


def listed(found: Any) -> tuple[Any, ...]:
    return found if isinstance(found, tuple) else (found,)


LOOP = """
from shared.compiled import compiled
@compiled
def loop(count):
    return count + 1
print(loop(2), loop.signatures, sum(loop.stats.cache_hits.values()))
"""


def compiling(script: Path, kept: str) -> str:
    """What a process says that needs this loop, and keeps it there."""
    found = subprocess.run(
        [sys.executable, str(script)],
        env={"NUMBA_CACHE_DIR": kept, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return found.stdout


def test_loops_are_compiled_wherever_they_can_or_cannot_be_kept(tmp_path: Path) -> None:
    script, kept = tmp_path / "looping.py", tmp_path / "kept"
    script.write_text(LOOP)
    anew, kept_before = "3 [(int64,)] 0\n", "3 [(int64,)] 1\n"
    assert compiling(script, "/dev/null/nowhere") == anew
    assert compiling(script, str(kept)) == anew
    assert compiling(script, str(kept)) == kept_before
    for damaged in (".nbi", ".nbc"):
        for file in kept.rglob(f"*{damaged}"):
            file.write_bytes(b"")
        assert compiling(script, str(kept)) == anew
        assert compiling(script, str(kept)) == kept_before
