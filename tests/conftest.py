"""Fixtures for all tests."""

from __future__ import annotations

from hypothesis import settings

pytest_plugins = ["tests.deadline", "tests.servers"]

settings.register_profile("patient", parent=settings.default, deadline=None)  # a machine may pause in any example
settings.load_profile("patient")
