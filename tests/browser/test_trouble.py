"""The store being down: pages say so, keep what they show, and recover by themselves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site, picture


@pytest.fixture(autouse=True)
def answering(site: Site) -> Iterator[None]:
    yield
    site.store("up")


def test_a_page_opened_while_the_store_is_down_says_so_and_recovers(page: Page, site: Site) -> None:
    site.store("down")
    answer = page.goto("/")
    assert answer is not None
    assert answer.status == 503
    expect(page.get_by_role("heading", name="The store does not answer")).to_be_visible()
    picture(page, "store-down")
    site.store("up")
    expect(page.get_by_role("heading", name="Portfolio")).to_be_visible(timeout=15_000)


def test_an_open_inbox_keeps_what_it_shows_and_says_that_it_may_be_old(page: Page, site: Site) -> None:
    id = site.alert("acct-300")
    page.goto("/alerts")
    row = page.locator(f'.r-alert[data-id="{id}"]')
    row.click()
    page.wait_for_function("window.did_handshake === true")
    site.store("down")
    page.locator(".r-drawer").get_by_role("button", name="Acknowledge").click()
    expect(page.locator(".r-toast-warning")).to_contain_text("nothing was changed")
    picture(page, "alerts-store-down")
    expect(row).to_be_visible()
    site.store("up")
    page.locator(".r-drawer").get_by_role("button", name="Acknowledge").click()
    expect(page.locator(".r-drawer .r-statechip")).to_have_text("Acknowledged")


def test_pages_that_come_and_go_while_much_happens_do_no_harm(page: Page, site: Site) -> None:
    for number in range(12):
        site.alert(f"acct-{320 + number}")
        site.score(f"acct-{320 + number}", 33.0)
        page.goto(("/", "/alerts", f"/relationships/acct-{320 + number}")[number % 3], wait_until="commit")
        site.sign_in("demo").get("/alerts").raise_for_status()  # a client that never opens its connection
    page.goto("/alerts")
    page.locator("rapport-inbox[data-ready]").wait_for()
    page.wait_for_function("window.did_handshake === true")
    id = site.alert("acct-350")
    expect(page.locator(f'.r-alert[data-id="{id}"]')).to_be_visible()


def test_a_page_whose_connection_was_cut_catches_up(page: Page, site: Site) -> None:
    page.goto("/alerts")
    page.locator("rapport-inbox[data-ready]").wait_for()
    page.wait_for_function("window.did_handshake === true")
    page.context.set_offline(True)
    page.evaluate("window.socket.io.engine.close()")
    id = site.alert("acct-355")
    page.context.set_offline(False)
    expect(page.locator(f'.r-alert[data-id="{id}"]')).to_be_visible(timeout=20_000)
