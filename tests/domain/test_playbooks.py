from __future__ import annotations

import pytest

from shared.domain.columns.row import TOTAL_DAYS
from shared.domain.playbooks.model import default_playbook
from shared.domain.rules.baseline import days_needed
from shared.domain.rules.table import RULES
from shared.domain.rules.usage import LONGEST_LOOK, DropParams


def test_a_baseline_reaches_no_further_than_counts_are_kept() -> None:
    assert days_needed(LONGEST_LOOK, 0) + 2 < TOTAL_DAYS  # early days and late evaluations need room
    assert DropParams(window_days=26, baseline_weeks=52).window_days == 26
    with pytest.raises(ValueError, match=r"window_days \+ 7 × baseline_weeks \(391\) must not be above 390"):
        DropParams(window_days=27, baseline_weeks=52)


def test_critical_is_not_below_warn() -> None:
    with pytest.raises(ValueError, match=r"critical \(0.1\) must not be below warn \(0.2\)"):
        DropParams(critical=0.1)


def test_every_rule_has_its_own_thresholds() -> None:
    book = default_playbook()
    assert list(book.rules) == list(RULES)
    assert all(type(settings.params) is RULES[name].params for name, settings in book.rules.items())
    assert all(settings.advice for settings in book.rules.values())
