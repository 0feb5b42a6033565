"""Finding a browser to drive: one on the PATH, else playwright's own, else Debian's by apt."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

MISSING = (
    "no browser: there is none on the PATH (chromium, google-chrome), and neither `playwright install chromium` nor "
    "apt could install one. Install Chromium to run these tests"
)


def find_browser() -> str | None:
    """Path of a browser, installing one if need be; "" means playwright's own; None if there is none to be had."""
    on_path = _on_path()
    if on_path is not None:
        return on_path
    if _run([sys.executable, "-m", "playwright", "install", "chromium"]):
        return ""
    if os.geteuid() == 0 and shutil.which("apt-get") and _run(["apt-get", "install", "-y", "-q", "chromium"]):
        return _on_path()
    return None


def _on_path() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name)) is not None), None)


def _run(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=300, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
