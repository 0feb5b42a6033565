"""A pytest plugin that takes one part of the suite: `-p tests.parts --part NAME`, a key of PARTS or `rest`.

tests/run.sh runs the parts, several at a time, each in a process of its own. What is named here stands on servers and
processes and mostly waits for them, or takes a core for a while, or is the domain, of which alone coverage is measured;
all else is the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

PARTS = {  # by directories and files in tests/
    "faults": frozenset({"e2e/test_faults.py", "e2e/test_recreated_topic.py"}),
    "e2e": frozenset({"e2e"}),
    "domain": frozenset({"domain"}),
    "contracts": frozenset({"contracts"}),
    "embedded": frozenset({"cli", "embedded"}),
    "scoring": frozenset({"scoring", "simulator"}),
}
REST = "rest"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--part", choices=(*PARTS, REST), help="only the tests of this part of the suite")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Whole directories of the other parts are not even imported, unless somebody names what to run."""
    if config.args_source is pytest.Config.ArgsSource.ARGS:
        return None
    if not collection_path.is_dir() or collection_path.parent != _tests(config):
        return None
    within = any(place.startswith(f"{collection_path.name}/") for place in PARTS.get(config.option.part, ()))
    return None if within or _is_mine(collection_path, config) else True


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    kept: Sequence[pytest.Item] = [item for item in items if _is_mine(item.path, config)]
    if len(kept) < len(items):
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept


def part_of(path: Path, tests: Path) -> str:
    """The part that a file or directory in `tests` belongs to."""
    inside = path.relative_to(tests).parts if path.is_relative_to(tests) else ()
    places = ["/".join(inside[:depth]) for depth in (2, 1)]  # a file goes before its directory
    return next((name for place in places for name, named in PARTS.items() if place in named), REST)


def _tests(config: pytest.Config) -> Path:
    return config.rootpath / "tests"


def _is_mine(path: Path, config: pytest.Config) -> bool:
    return config.option.part in (None, part_of(path, _tests(config)))
