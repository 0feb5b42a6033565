"""Live scoring says what Replay says: field by field, for a month of many accounts in which every rule speaks."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from shared.domain.contract.days import day_of
from shared.domain.contract.events import Interaction, Millis
from shared.domain.rules.table import RULES
from tests.scoring.in_turns import InTurns
from tests.scoring.lives import story
from tests.scoring.month import GUARD, Steps, steps, terms
from tests.scoring.on_broker import OnBroker
from tests.scoring.picture import Picture, differences, replayed

SHOWN = 40  # differences


def dates_of(spans: Steps) -> list[Millis]:
    """Some of the steps' ends, the last among them: then scores are looked at."""
    ends = [end for _, end in spans if day_of(end) == day_of(end + GUARD)]
    return [*ends[:: len(ends) // 5], spans[-1][1]]


async def compared(live: InTurns | OnBroker, events: Sequence[Interaction], seed: int) -> None:
    """Live and replayed are the same, and every rule has spoken and fallen silent again."""
    spans = list(steps(events, seed))
    dates = dates_of(spans)
    picture = await live.live(spans, dates)
    assert live.world.quarantined == 0
    expected = replayed(events, terms(), live.world.now, dates)
    assert differences(picture, expected)[:SHOWN] == []
    for rule in RULES:
        assert raised_by(rule, expected) == {True, False}, rule


def raised_by(rule: str, picture: Picture) -> set[bool]:
    """Whether flags of this rule were raised, and cleared."""
    said = (change for changes in picture.changes.values() for change in changes)
    return {change["raised"] for change in said if change["rule"] == rule}


@pytest.mark.parametrize(("seed", "memory"), [(1, 1 << 30), pytest.param(2, 1, marks=pytest.mark.soak)])
async def test_turn_by_turn(seed: int, memory: int) -> None:
    """Also where a worker keeps nothing in memory, and when it is killed."""
    await compared(InTurns(seed, memory), story(seed, 40), seed)


@pytest.mark.embedded
async def test_on_the_embedded_broker(tansu_bootstrap: str) -> None:
    await compared(OnBroker(tansu_bootstrap, 15_000), story(3, 200), 3)


@pytest.mark.kafka
@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10, 13))
async def test_on_apache_kafka(kafka_bootstrap: str, seed: int) -> None:
    await compared(OnBroker(kafka_bootstrap, 30_000), story(seed, 500), seed)
