"""How fast the dashboard paints and filters in Chromium: `python -m bench.dashboard`.

Wall times are what a user waits; they suffer when other things run on the machine, so the main thread's own CPU time
is measured beside them. "Cold" is a browser that has nothing in its cache, "warm" one that was here before. The
server's first reading of a portfolio is measured apart.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from statistics import median
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.chromium import FLAGS, MISSING, find_browser
from tests.browser.conftest import Site, start_site
from tests.browser.site import FULL, key_of

PAINTED = "performance.getEntriesByName('rapport:rows-painted').length > 0"
PAINT = "performance.getEntriesByName('rapport:rows-painted')[0].startTime"
FIRST = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
WORDS = ("n", "no", "nor", "nort", "north", "iris", "kestrel analytics", "ben", "acct-42", "enterprise", "")

FILTER = """async (word) => {
  const table = document.querySelector('rapport-portfolio');
  const begin = performance.now();
  table.set('q', word);
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  return performance.now() - begin;
}"""


def main() -> None:
    """Measure, print, and write the figures if asked to."""
    arguments = argparse.ArgumentParser(prog="python -m bench.dashboard", description=__doc__)
    arguments.add_argument("--rows", type=int, default=5_000, help="relationships")
    arguments.add_argument("--repeat", type=int, default=5, help="browsers that come with an empty cache")
    arguments.add_argument("--quick", action="store_const", const=1, dest="repeat", help="one browser only")
    arguments.add_argument("--json", type=Path, help="write the figures there")
    asked = arguments.parse_args()
    path = find_browser()
    if path is None:
        raise SystemExit(MISSING)
    process, site = start_site(asked.rows)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=path or None, args=FLAGS)
            figures = {"rows": asked.rows, "load": os.getloadavg()[0], **measured(browser, site, asked.repeat)}
            browser.close()
    finally:
        process.terminate()
        process.wait(10)
    for name, value in figures.items():
        print(f"{name:32} {value}")
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1))


def measured(browser: Browser, site: Site, repeat: int) -> dict[str, Any]:
    """Milliseconds by what was measured: median and slowest."""
    cold: list[float] = []
    warm: list[float] = []
    first: list[float] = []
    filters: list[float] = []
    cpu: list[float] = []
    begin = time.monotonic()
    site.sign_in(FULL).get("/dashboard/portfolio.json").raise_for_status()
    first_read = 1000 * (time.monotonic() - begin)
    for _ in range(repeat):
        context = browser.new_context(viewport={"width": 1440, "height": 900}, base_url=site.url)
        context.request.post("/login", form={"key": key_of(FULL), "next": "/login"})  # loads nothing into the cache
        page = context.new_page()
        for found in (cold, warm):
            page.goto("/")
            page.wait_for_function(PAINTED)
            found.append(page.evaluate(PAINT))
        first.append(page.evaluate(FIRST))
        for word in WORDS:
            wall, used = filtered(page, word)
            filters.append(wall)
            cpu.append(used)
        context.close()
    return {
        "first reading by the server, ms": f"{first_read:.0f} (store in memory)",
        "rows painted, cold, ms": spread(cold),
        "rows painted, warm, ms": spread(warm),
        "first contentful paint, warm, ms": spread(first),
        "filter until painted, ms": spread(filters),
        "filter, main thread CPU, ms": spread(cpu),
    }


def filtered(page: Page, word: str) -> tuple[float, float]:
    """Wall time until the filtered table is painted, and the CPU time the page's main thread has spent on it."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    before = _task_seconds(session.send("Performance.getMetrics"))
    wall = float(page.evaluate(FILTER, word))
    used = _task_seconds(session.send("Performance.getMetrics")) - before
    session.detach()
    return wall, 1000 * used


def _task_seconds(answer: dict[str, Any]) -> float:
    return next(float(metric["value"]) for metric in answer["metrics"] if metric["name"] == "TaskDuration")


def spread(values: list[float]) -> str:
    """Median and slowest."""
    return f"median {median(values):.0f}, slowest {max(values):.0f} of {len(values)}"


if __name__ == "__main__":
    main()
