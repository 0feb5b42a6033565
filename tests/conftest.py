"""Fixtures for all tests, and which of them are left to the soak."""

from __future__ import annotations

import pytest
from hypothesis import settings

pytest_plugins = ["tests.deadline", "tests.servers"]

settings.register_profile("patient", parent=settings.default, deadline=None)  # a machine may pause in any example
settings.load_profile("patient")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is marked `soak` is run only where the mark is asked for: `-m soak`."""
    if "soak" in config.option.markexpr:
        return
    left = [item for item in items if item.get_closest_marker("soak")]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if item not in left]
