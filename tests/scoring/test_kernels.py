"""The compiled loops say what their source says; tests/domain holds the source itself against slow references."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.columns.series import kernels
from shared.domain.engine.evaluation import warm_up
from shared.domain.engine.terms import Terms
from shared.playbooks.loader import load_playbook
from tests.examples import examples

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
        "_last_days": (ring, today[0], days),
        "_between": (ring, 0, end),
        "_days_between": (ring, rings[-1], 0, end),
        "_weeks_known": (ring, today[0], WINDOW, WEEKS),
    }


@settings(max_examples=examples(50), deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(36, 80), st.integers(0, 36), st.booleans())
def test_each_compiled_loop_says_what_its_source_says(
    seed: int, rows: int, length: int, days: int, decimals: bool
) -> None:
    chance = np.random.default_rng(seed)
    rings = chance.poisson(0.7, (rows, length)) * (chance.random((rows, length)) if decimals else 1.0)
    asked = arguments(rings, chance.integers(20_000, 20_100, rows), days)
    loops = {name: loop for name, loop in vars(kernels()).items() if hasattr(loop, "py_func")}
    assert asked.keys() == loops.keys()
    for name, loop in loops.items():
        for fast, plain in zip(listed(loop(*asked[name])), listed(loop.py_func(*asked[name])), strict=True):
            assert np.array_equal(fast, plain, equal_nan=np.issubdtype(np.asarray(fast).dtype, np.floating)), name


def test_after_warming_up_all_is_compiled() -> None:
    """Nothing has to wait for a compiler while events come in."""
    warm_up(Terms(load_playbook(None)))
    loops = {name: loop for name, loop in vars(kernels()).items() if hasattr(loop, "py_func") and name[0] != "_"}
    assert {name: len(loop.signatures) for name, loop in loops.items()} == dict.fromkeys(loops, 1)


def listed(found: Any) -> tuple[Any, ...]:
    return found if isinstance(found, tuple) else (found,)


def test_without_a_place_to_keep_them_loops_are_compiled_all_the_same() -> None:
    script = "from shared.compiled import compiled; loop = compiled(lambda x: x + 1); print(loop(2), loop.signatures)"
    found = subprocess.run(
        [sys.executable, "-c", script],
        env={"NUMBA_CACHE_DIR": "/dev/null/nowhere"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout == "3 [(int64,)]\n"
