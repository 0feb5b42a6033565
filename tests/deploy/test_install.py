"""Installing from the lock: what it must and must not hold, and what is said where Python is too old."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "deploy/requirements.lock")


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_names_no_index_and_every_file_by_its_hash(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert not re.search(r"^\s*-", text.replace("    --hash", ""), re.MULTILINE), "no options of pip"
    entries = re.split(r"\n(?=\S)", text.strip())
    assert len(entries) > 50
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry and entry[0] != "#"] == []


def test_the_lock_has_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    named = {re.split(r"[\[<>=~!; ]", line)[0].lower().replace("_", "-") for group in groups for line in group}
    locked = set(re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    assert named <= locked


def test_without_a_fitting_python_it_says_what_to_install(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "env", "dirname", "cat", "cksum", "rm", "touch"):
        (tools / name).symlink_to(shutil.which(name) or name)
    for name in ("python3", "python3.11", "python3.12", "python3.13"):
        (tools / name).write_text("#!/bin/sh\nexit 1\n")
        (tools / name).chmod(0o755)
    script = str(ROOT / "deploy" / "venv.sh")
    command = [str(tools / "bash"), script, str(tmp_path / "venv")]
    done = subprocess.run(command, env={"PATH": str(tools)}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Rapport needs Python 3.11, 3.12 or 3.13 with its venv module" in done.stderr
    assert "make PYTHON=" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_ci_runs_exactly_the_documented_test_command() -> None:
    text = (ROOT / ".ci" / "run").read_text()
    assert "set -euo pipefail" in text
    assert "export CI=true" in text
    assert re.search(r"^make test </dev/null$", text, re.MULTILINE)
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
