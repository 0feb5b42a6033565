"""The Python environment of the peers, made from bench/requirements.txt when it is missing or older."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from functools import cache
from pathlib import Path

BENCH = Path(__file__).parents[1]
REQUIREMENTS = BENCH / "requirements.txt"
PLACE = BENCH / ".peers"


@cache
def peers_python() -> Path:
    """Its interpreter. Installs anew where the requirements are newer."""
    stamp, python = PLACE / ".installed", PLACE / "bin" / "python"
    if not stamp.exists() or stamp.stat().st_mtime < REQUIREMENTS.stat().st_mtime:
        print(f"installing {REQUIREMENTS.name} into {PLACE.name}", file=sys.stderr, flush=True)
        shutil.rmtree(PLACE, ignore_errors=True)
        venv.create(PLACE, with_pip=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*command, "-r", str(REQUIREMENTS)], check=True)
        stamp.touch()
    return python
