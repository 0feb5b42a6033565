"""tests/run.sh: a process a part, one status, and arguments that select from all."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.embedded.stack import gone, until
from tests.parts import PARTS, REST, part_of

ROOT = Path(__file__).parents[2]
NAMED = ("RAPPORT_TEST_KAFKA", "RAPPORT_TEST_MONGO")
NAMES = (*PARTS, REST)


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


def shown(output: str) -> dict[str, str]:
    """What the run shows of each part."""
    _, *pieces = re.split(r"^== (\w+):\n", output, flags=re.MULTILINE)
    return dict(zip(pieces[::2], pieces[1::2], strict=True))


@pytest.fixture
def pretended(tmp_path: Path) -> str:
    """A Python that tells its arguments and ends with the status that is wanted of the part."""
    script = tmp_path / "python"
    cases = " ".join(f"*--part={name}*) exit ${name.upper()};;" for name in ("e2e", "domain", "embedded"))
    script.write_text(f'#!/bin/sh\necho "$@"\ncase "$*" in {cases} *) exit $OTHERS;; esac\n')
    script.chmod(0o755)
    return str(script)


@pytest.mark.parametrize(
    ("e2e", "domain", "embedded", "others", "status"),
    [
        *[(0, 0, 0, 0, 0), (1, 0, 0, 0, 1), (0, 1, 0, 0, 1), (0, 0, 1, 0, 1), (0, 0, 0, 2, 2), (5, 5, 5, 5, 5)],
        *[(5, 0, 5, 5, 0), (0, 5, 5, 5, 0), (5, 5, 1, 5, 1), (5, 5, 1, 0, 1), (1, 5, 5, 5, 1)],
    ],
)
def test_it_fails_if_any_part_fails_or_all_select_nothing(
    pretended: str, e2e: int, domain: int, embedded: int, others: int, status: int
) -> None:
    statuses = {"E2E": str(e2e), "DOMAIN": str(domain), "EMBEDDED": str(embedded), "OTHERS": str(others)}
    done = run("-k", "a or b", PYTHON=pretended, **statuses)
    assert done.returncode == status
    told = shown(done.stdout)
    assert told.keys() == {name for name in NAMES if statuses.get(name.upper(), str(others)) != "5"}
    for name, output in told.items():
        assert output.split()[:5] == ["-m", "pytest", "-p", "tests.parts", f"--part={name}"]
        assert output.split()[-4:] == ["-k", "a", "or", "b"]


def test_coverage_is_asked_of_the_domains_tests_and_named_servers_of_one_process(pretended: str) -> None:
    fine = {"E2E": "0", "DOMAIN": "0", "EMBEDDED": "0", "OTHERS": "0"}
    whole = shown(run(PYTHON=pretended, **fine).stdout)
    assert [name for name in NAMES if "--cov-fail-under=100" in whole[name]] == ["domain"]
    named = run(PYTHON=pretended, **{**fine, "OTHERS": "7"}, RAPPORT_TEST_KAFKA="127.0.0.1:9092")
    assert named.returncode == 7
    assert named.stdout.split() == ["-m", "pytest", "--cov=shared/domain", "--cov-branch", "--cov-fail-under=100"]


def test_every_test_belongs_to_one_part() -> None:
    chosen = {"embedded": "tests/embedded/test_ports.py", "rest": "tests/playbooks/test_loader.py"}
    done = run(*chosen.values(), "--collect-only", "--noconftest")
    assert done.returncode == 0, done.stdout
    told = shown(done.stdout)
    assert told.keys() == chosen.keys()
    for name, path in chosen.items():
        assert [part for part in told if path in told[part]] == [name]


def test_everything_that_a_part_names_is_there() -> None:
    tests = ROOT / "tests"
    assert {part_of(tests / name, tests) for parts in PARTS.values() for name in parts} == PARTS.keys()
    assert all((tests / name).exists() for parts in PARTS.values() for name in parts)
    assert part_of(tests / "e2e" / "test_faults.py", tests) == "faults"
    assert part_of(tests / "e2e" / "test_kills.py", tests) == "e2e"
    assert part_of(tests / "servers.py", tests) == REST


def test_a_test_that_hangs_ends_the_run_and_is_told(tmp_path: Path) -> None:
    (tmp_path / "test_hanging.py").write_text(
        "import asyncio, subprocess\n"
        "def test_hangs():\n"
        "    print('its child is', subprocess.Popen(['sleep', '600']).pid, flush=True)\n"
        "    asyncio.run(waits_for_nothing())\n"
        "async def waits_for_nothing():\n"
        "    await asyncio.Event().wait()\n"
    )
    pytest_here = [sys.executable, "-m", "pytest", "--rootdir", tmp_path, tmp_path]
    done = subprocess.run(
        [*pytest_here, "-s", "-p", "tests.deadline", "-o", "hang_seconds=1"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "test_hanging.py::test_hangs hangs" in done.stderr
    assert "in waits_for_nothing" in done.stderr
    child = re.search(r"its child is (\d+)", done.stdout)
    assert child
    until(lambda: gone(int(child[1])))
