"""The pages on a phone: 390 px wide, with fingers instead of a mouse."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Site, picture, sign_in
from tests.browser.seed import LONG, RED

WIDTH = 390
READY = {
    "/": ".r-row[data-id]",
    "/alerts": ".r-alert",
    f"/alerts?q={LONG}&tab=all": "rapport-inbox[data-ready]",
    f"/relationships/{RED}": "canvas",
    f"/relationships/{LONG}": "canvas",
    "/login": "#key",
}


@pytest.fixture
def phone(browser: Browser, site: Site) -> Iterator[Page]:
    context = sign_in(browser, site, phone=True)
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("address", READY)
def test_no_page_scrolls_sideways(phone: Page, address: str) -> None:
    phone.goto(address)
    phone.locator(READY[address]).first.wait_for()
    assert phone.evaluate("[document.documentElement.scrollWidth <= innerWidth, innerWidth]") == [True, WIDTH]
    for button in phone.locator(".r-top button:visible").all():
        box = button.bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= WIDTH
    picture(phone, f"phone-{address.strip('/').partition('?')[0].replace('/', '-') or 'portfolio'}")


@pytest.mark.parametrize("width", [390, 600, 800, 1280])
def test_the_reason_of_an_alert_can_be_read(phone: Page, width: int) -> None:
    phone.set_viewport_size({"width": width, "height": 844})
    phone.goto("/alerts")
    reason = phone.locator(".r-reason").first
    box = reason.bounding_box()
    assert box is not None
    assert box["width"] >= 300
    assert reason.evaluate("node => node.scrollHeight <= node.clientHeight"), "none of it is cut"


def test_alerts_are_worked_by_touch(phone: Page, site: Site) -> None:
    id = site.alert("acct-280")
    phone.goto("/alerts")
    phone.wait_for_function("window.did_handshake === true")
    alert = phone.locator(f'.r-alert[data-id="{id}"]')
    alert.locator(".r-reason").tap()
    drawer = phone.locator(".r-drawer")
    expect(drawer.get_by_role("button", name="Acknowledge")).to_be_in_viewport()
    picture(phone, "phone-alert-details")
    drawer.get_by_role("button", name="Close details").tap()
    alert.get_by_role("button", name="Acknowledge").tap()
    expect(alert).to_have_count(0)


def test_the_portfolio_can_be_scrolled_to_its_end(phone: Page) -> None:
    phone.goto("/?sort=-ri")
    phone.locator(".r-row[data-id]").first.wait_for()
    phone.locator(".r-scroll").evaluate("box => box.scrollTo(0, box.scrollHeight)")
    last = phone.locator('.r-row[aria-rowindex="5001"]')
    expect(last).to_be_visible()
    end, box = last.bounding_box(), phone.locator(".r-scroll").bounding_box()
    assert end is not None
    assert box is not None
    assert abs(end["y"] + end["height"] - box["y"] - box["height"]) < 2
