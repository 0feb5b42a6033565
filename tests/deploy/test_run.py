"""tests/run.sh: two processes, one status, and arguments that select from either."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMED = ("RAPPORT_TEST_KAFKA", "RAPPORT_TEST_MONGO")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name not in NAMED}
    return subprocess.run(
        [str(ROOT / "tests" / "run.sh"), *arguments],
        env={**env, "PYTHON": sys.executable, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def pretended(tmp_path: Path) -> str:
    """A Python that tells its arguments and ends with the status that is wanted of the part."""
    script = tmp_path / "python"
    script.write_text('#!/bin/sh\necho "$@"\ncase "$*" in *--part=waiting*) exit $WAITING;; *) exit $BUSY;; esac\n')
    script.chmod(0o755)
    return str(script)


@pytest.mark.parametrize(
    ("busy", "waiting", "status"),
    [(0, 0, 0), (1, 0, 1), (0, 1, 1), (2, 1, 2), (5, 0, 0), (0, 5, 0), (5, 1, 1), (1, 5, 1), (5, 5, 5)],
)
def test_it_fails_if_either_fails_or_both_select_nothing(pretended: str, busy: int, waiting: int, status: int) -> None:
    done = run("-k", "a or b", PYTHON=pretended, BUSY=str(busy), WAITING=str(waiting))
    assert done.returncode == status
    first, _, second = done.stdout.partition("== beside these, tests that mostly wait:")
    assert first.split() == ["-m", "pytest", "-p", "tests.parts", "--part=busy", "-k", "a", "or", "b"]
    assert second.split()[-4:] == ["-k", "a", "or", "b"]


def test_coverage_is_asked_of_the_whole_and_named_servers_of_one_process(pretended: str) -> None:
    whole = run(PYTHON=pretended, BUSY="0", WAITING="0").stdout
    assert whole.count("--cov-fail-under=100") == 1
    assert whole.index("--cov-fail-under=100") < whole.index("== beside")
    named = run(PYTHON=pretended, BUSY="0", WAITING="7", RAPPORT_TEST_KAFKA="127.0.0.1:9092")
    assert named.stdout.split() == ["-m", "pytest", "--cov=shared/domain", "--cov-branch", "--cov-fail-under=100"]


def test_every_test_belongs_to_one_part() -> None:
    chosen = ("tests/embedded/test_ports.py", "tests/playbooks/test_loader.py")
    done = run(*chosen, "--collect-only")
    assert done.returncode == 0, done.stdout
    first, _, second = done.stdout.partition("== beside these")
    assert "tests/playbooks/test_loader.py" in first
    assert "tests/playbooks/test_loader.py" not in second
    assert "tests/embedded/test_ports.py" in second
    assert "tests/embedded/test_ports.py" not in first
