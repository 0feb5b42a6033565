"""Three workers, every fault in turn: in the end all is as if one worker had read the log in peace."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from shared.clock import now_ms
from tests.e2e.faults import faults
from tests.e2e.trial import Trial, undergo
from tests.servers import needs_real_kafka

OUTAGE = 8.0  # seconds; the soak takes longer
EVERY = ("kill", "store down", "pause", "broker restart", "engine fails")

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.e2e,
    pytest.mark.embedded,
    pytest.mark.skipif(sys.platform != "linux", reason="stops processes by signals"),
]


async def test_after_every_fault_the_state_is_that_of_a_quiet_run(tmp_path: Path) -> None:
    needs_real_kafka()
    seed = int(os.environ.get("RAPPORT_SEED", now_ms() % 1_000_000))
    print(f"seed {seed}: RAPPORT_SEED repeats it")
    table = faults(OUTAGE)

    outcome = await undergo(Trial(seed, [table[name] for name in EVERY]), tmp_path)

    assert not outcome.differences
    assert outcome.alerts > outcome.relationships
    assert outcome.records > outcome.sent
    assert outcome.restarts["scoring-1"] >= 1  # its engine failed
    assert outcome.expelled  # the zombie, at least
