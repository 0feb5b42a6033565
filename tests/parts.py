"""A pytest plugin that takes one of the two parts of the suite: `-p tests.parts --part waiting|busy`.

`waiting` is what mostly waits, for servers, processes and time-outs; `busy` is all the rest. tests/run.sh has one
process run each, which makes good use of two cores. What uses real Kafka is in one part, so that one starts it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

WAITING = frozenset({"cli", "contracts", "e2e", "embedded"})  # directories in tests/


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--part", choices=("busy", "waiting"), help="only the tests of this part of the suite")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Whole directories of the other part are not even imported, unless somebody names what to run."""
    if config.args_source is pytest.Config.ArgsSource.ARGS:
        return None
    other = (
        collection_path.is_dir() and collection_path.parent == _tests(config) and not _is_mine(collection_path, config)
    )
    return True if other else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    kept: Sequence[pytest.Item] = [item for item in items if _is_mine(item.path, config)]
    if len(kept) < len(items):
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept


def _tests(config: pytest.Config) -> Path:
    return config.rootpath / "tests"


def _is_mine(path: Path, config: pytest.Config) -> bool:
    tests = _tests(config)
    first = path.relative_to(tests).parts[:1] if path.is_relative_to(tests) else ()
    return config.option.part is None or (config.option.part == "waiting") == bool(WAITING.intersection(first))
