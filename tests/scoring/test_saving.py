"""What a crash between two writes leaves behind, at every call."""

from __future__ import annotations

import pytest

from tests.scoring.test_purity import Story, crashing, undisturbed

MESSAGE = ("message.received", {"person": "ana", "id": "m1"})


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    "story",
    [
        # the clock record alone brings the evaluation, whose score goes from the state to the month
        [("acct-1", 0, False, MESSAGE), ("acct-1", 90, False, ("clock", {}))],
        [
            ("acct-1", 0, False, MESSAGE),
            ("acct-1", 90, False, ("event.retracted", {"about": "m1"})),
            ("acct-1", 90, False, ("clock", {})),
        ],
    ],
)
async def test_a_crash_between_two_writes(story: Story, after: bool) -> None:
    quiet, told_quiet = await undisturbed(story)
    for fuse in range(1, 40):
        crashed, published = await crashing(story, 1, fuse, after)
        assert crashed == quiet
        assert published == told_quiet
