"""The real application in a process of its own, and a browser that is signed in to it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.browser.chromium import FLAGS, MISSING, find_browser
from tests.browser.site import FULL, key_of

ROOT = Path(__file__).parents[2]
ARTIFACTS = ROOT / "artifacts"
START_SECONDS = 60


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


class Site:
    """A running application: its address, and what the tests can make happen in it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = httpx.Client(base_url=url, timeout=10, trust_env=False)

    def alert(self, relationship: str, severity: str = "warning") -> str:
        return str(self._post(f"/_test/alert/{relationship}?severity={severity}").json()["id"])

    def cleared(self, relationship: str, why: str) -> str:
        return str(self._post(f"/_test/cleared/{relationship}/{why}").json()["id"])

    def score(self, relationship: str, index: float) -> None:
        self._post(f"/_test/score/{relationship}/{index}")

    def store(self, state: str) -> None:
        self._post(f"/_test/store/{state}")

    def revoke(self, tenant: str) -> None:
        self._post(f"/_test/revoke/{tenant}")

    def sign_in(self, tenant: str) -> httpx.Client:
        """A client with a session of its own, without a browser."""
        client = httpx.Client(base_url=self.url, timeout=30, trust_env=False)
        client.post("/login", data={"key": key_of(tenant)})
        return client

    def get(self, path: str) -> httpx.Response:
        return self._client.get(path)

    def _post(self, path: str) -> httpx.Response:
        return self._client.post(path).raise_for_status()

    def ready(self) -> bool:
        try:
            return self._client.get("/login").status_code == 200
        except httpx.TransportError:
            return False


def start_site(count: int = 5_000) -> tuple[subprocess.Popen[bytes], Site]:
    """Start the application with `count` relationships on a free port and wait until it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tests.browser.site", str(port), str(count)]
    process = subprocess.Popen(command, cwd=ROOT)
    site = Site(f"http://127.0.0.1:{port}")
    deadline = time.monotonic() + START_SECONDS
    while not site.ready():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise AssertionError(f"the site did not start (exit code {process.poll()})")
        time.sleep(0.1)
    return process, site


@pytest.fixture(scope="package")
def site() -> Iterator[Site]:
    process, site = start_site()
    yield site
    process.terminate()
    process.wait(60)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    path = find_browser()
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    # Ends with this package: while it runs, its event loop occupies the thread that other tests need for theirs.
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path or None, args=FLAGS)
        yield browser
        browser.close()


WITHIN_MS = 30_000  # a deadline for a machine that runs other tests beside this one
expect.set_options(timeout=WITHIN_MS)  # it does not go by the context's

DESK = {"viewport": {"width": 1440, "height": 900}}
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


def sign_in(
    browser: Browser, site: Site, tenant: str = FULL, *, dark: bool = False, phone: bool = False
) -> BrowserContext:
    """A browser window that is signed in to a tenant."""
    context = browser.new_context(
        **(PHONE if phone else DESK), color_scheme="dark" if dark else "light", base_url=site.url
    )
    context.set_default_timeout(WITHIN_MS)
    # As the form does it, without painting the form and the page behind it each time; test_session.py uses the form.
    answer = context.request.post("/login", form={"key": key_of(tenant)}, max_redirects=0)
    assert answer.status == 303
    return context


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[Page]:
    """A page of a fresh window, signed in to the full tenant; errors on its console fail the test."""
    context = sign_in(browser, site)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert errors == []


def picture(page: Page, name: str) -> None:
    """Keep a screenshot among the artefacts of the run."""
    folder = ARTIFACTS / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"{name}.png")
