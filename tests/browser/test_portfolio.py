"""The portfolio with 5,000 relationships."""

from __future__ import annotations

import json
import re

from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import ARTIFACTS, Site, picture, sign_in
from tests.browser.seed import LONG, LONG_NAME, THIN, UNKNOWN
from tests.browser.site import NOTICE

PAINTED = "performance.getEntriesByName('rapport:rows-painted').length > 0"


def opened(page: Page, address: str = "/") -> Page:
    page.goto(address)
    page.wait_for_function(PAINTED)
    return page


def rows(page: Page) -> Locator:
    return page.locator("rapport-portfolio .r-row[data-id]")


def shown(page: Page) -> int:
    """How many relationships the page says it shows."""
    return int(page.locator(".r-total").inner_text().split()[0].replace(",", ""))


def expect_shown(page: Page, count: int) -> None:
    """Wait until the page says that it shows so many relationships."""
    expect(page.locator(".r-total")).to_have_text(re.compile(rf"^{count:,} "))


def test_all_relationships_are_there_the_worst_first(page: Page) -> None:
    opened(page)
    expect_shown(page, 5_000)
    expect(page.get_by_role("note")).to_have_text(NOTICE)
    numbers = [int(text) for text in rows(page).locator(".r-c-num:nth-child(3)").all_inner_texts()]
    assert len(numbers) > 10
    assert numbers == sorted(numbers)
    assert len(page.locator(".r-row[data-id]").all()) < 60, "only what is in view exists"
    picture(page, "portfolio-5000")


def test_search_and_filters_narrow_it_and_are_kept_in_the_address(page: Page) -> None:
    opened(page)
    page.get_by_label("Search relationships").fill("kestrel analytics")
    expect(page.locator(".r-total")).to_contain_text("of 5,000")
    assert 0 < shown(page) < 500
    assert all("Kestrel Analytics" in name for name in rows(page).locator("a").all_inner_texts())

    narrowed = page.locator(".r-total").inner_text()
    page.get_by_label("Filter by segment").select_option("enterprise")
    expect(page.locator(".r-total")).not_to_have_text(narrowed)
    assert set(rows(page).locator(".r-c-seg").all_inner_texts()) == {"enterprise"}
    found = shown(page)
    picture(page, "portfolio-filtered")
    opened(page, page.url)
    expect_shown(page, found)  # the address brings the filters back

    page.get_by_role("button", name="Clear filters").click()
    expect_shown(page, 5_000)


def test_bands_count_and_filter(page: Page) -> None:
    opened(page)
    chip = page.get_by_role("button", name=re.compile("At risk"))
    count = int(chip.locator(".r-band-count").inner_text().replace(",", ""))
    chip.click()
    expect_shown(page, count)
    assert set(rows(page).locator(".r-c-band").all_inner_texts()) == {"At risk"}
    expect(page.get_by_role("button", name=re.compile("At risk"))).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name=re.compile("At risk")).click()
    expect_shown(page, 5_000)


def test_bands_are_as_wide_as_the_table(page: Page) -> None:
    opened(page)
    for width in (1280, 1920):
        page.set_viewport_size({"width": width, "height": 900})
        last, table = page.locator(".r-band-chip").last.bounding_box(), page.locator(".r-table").bounding_box()
        assert last is not None
        assert table is not None
        assert abs(last["x"] + last["width"] - table["x"] - table["width"]) < 1


def test_it_sorts_both_ways_and_what_has_no_value_comes_last(page: Page) -> None:
    opened(page)
    page.locator(".r-head").get_by_role("button", name="Relationship").click()
    names = [name.lower() for name in rows(page).locator("a").all_inner_texts()]
    assert names == sorted(names)
    page.locator(".r-head").get_by_role("button", name="RI").click()
    page.locator(".r-head").get_by_role("button", name="RI").click()
    expect(page.locator('.r-head [aria-sort="descending"]')).to_contain_text("RI")
    page.locator(".r-scroll").evaluate("box => box.scrollTo(0, box.scrollHeight)")
    expect(rows(page).last.locator(".r-c-num").first).to_have_text("–")


def test_it_is_worked_by_keys_alone(page: Page, site: Site) -> None:
    opened(page)
    page.keyboard.press("/")
    expect(page.get_by_label("Search relationships")).to_be_focused()
    page.keyboard.type("acct-42")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("j")
    page.keyboard.press("k")
    current = page.locator(".r-row.r-current")
    expect(current).to_have_count(1)
    id = current.get_attribute("data-id")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{site.url}/relationships/{id}")
    page.wait_for_function("window.did_handshake === true")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    picture(page, "keyboard-help")
    page.keyboard.press("Escape")
    page.keyboard.type("ga")  # one right after the other
    expect(page).to_have_url(f"{site.url}/alerts")


def test_a_changed_score_arrives_without_reload(page: Page, site: Site) -> None:
    opened(page)
    page.get_by_label("Search relationships").fill("acct-4999")
    row = page.locator('.r-row[data-id="acct-4999"]')
    expect(row).to_be_visible()
    for index, band in ((12.0, "At risk"), (91.0, "Healthy")):
        site.score("acct-4999", index)
        expect(row.locator(".r-c-num").first).to_have_text(str(int(index)), timeout=5_000)
        expect(row.locator(".r-c-band")).to_have_text(band)


def test_long_names_are_cut_and_said_in_full_by_a_tooltip(page: Page) -> None:
    opened(page)
    page.get_by_label("Search relationships").fill(LONG_NAME[:30])
    link = page.locator(f'.r-row[data-id="{LONG}"] a')
    expect(link).to_have_attribute("title", LONG_NAME)
    assert link.evaluate("a => a.scrollWidth > a.clientWidth"), "it is longer than its column"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page does not grow by it"
    picture(page, "portfolio-long-name")


def test_what_has_no_evidence_says_so(page: Page) -> None:
    opened(page, f"/?q={UNKNOWN}&band=unknown")
    row = page.locator(f'.r-row[data-id="{UNKNOWN}"]')
    expect(row.locator("a")).to_have_text(UNKNOWN)
    expect(row.locator(".r-c-band")).to_have_text("No evidence")
    expect(row.locator(".r-c-seen")).to_have_text("never")


def test_a_score_by_little_evidence_is_found_under_that_and_not_under_healthy(page: Page) -> None:
    opened(page, "/?band=little")
    row = page.locator(f'.r-row[data-id="{THIN}"]')
    expect(row.locator(".r-c-band")).to_have_text("Little evidence")
    expect(row.locator(".r-c-num").first).to_have_text("89")
    expect_shown(page, 1)
    page.get_by_role("button", name=re.compile("Healthy")).click()
    page.get_by_label("Search relationships").fill(THIN)
    expect(rows(page).first.locator(".r-c-band")).to_have_text("Healthy")
    assert THIN not in [one.get_attribute("data-id") for one in rows(page).all()]


def test_the_time_last_seen_is_not_cut(page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 800})
    opened(page)
    cell = rows(page).first.locator(".r-c-seen")
    cut = "node => { node.textContent = '59 minutes ago'; return node.scrollWidth > node.clientWidth; }"
    assert not cell.evaluate(cut)


def test_nothing_found_says_so_and_offers_the_way_back(page: Page) -> None:
    opened(page)
    page.get_by_label("Search relationships").fill("no such company")
    expect(page.get_by_role("heading", name="Nothing matches these filters")).to_be_visible()
    picture(page, "portfolio-nothing-found")
    page.locator(".r-state").get_by_role("button", name="Clear filters").click()
    expect_shown(page, 5_000)


def test_a_portfolio_without_relationships_says_how_they_come(browser: Browser, site: Site) -> None:
    context = sign_in(browser, site, "empty")
    page = opened(context.new_page())
    expect(page.get_by_role("heading", name="No relationships yet")).to_be_visible()
    expect(page.locator(".r-state")).not_to_contain_text("null")
    picture(page, "portfolio-empty")
    page.goto("/alerts")
    expect(page.get_by_role("heading", name="Nothing waits for you")).to_be_visible()
    picture(page, "alerts-empty")
    context.close()


def test_dark_mode_is_switched_by_hand_and_kept(page: Page) -> None:
    opened(page)
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="Switch between dark and light").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    opened(page)
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    picture(page, "portfolio-dark")


def test_nothing_is_fetched_from_elsewhere(page: Page, site: Site) -> None:
    addresses: list[str] = []
    page.on("request", lambda request: addresses.append(request.url))
    opened(page)
    page.goto("/relationships/acct-1")
    page.locator("canvas").first.wait_for()
    own = (site.url, site.url.replace("http", "ws"), "data:", "blob:")
    assert [address for address in addresses if not address.startswith(own)] == []


def test_the_times_of_painting_and_filtering_are_recorded(page: Page) -> None:
    opened(page)
    paint = page.evaluate("performance.getEntriesByName('rapport:rows-painted')[0].startTime")
    page.get_by_label("Search relationships").press_sequentially("north", delay=60)
    page.wait_for_function("performance.getEntriesByName('rapport:filter').length >= 5")
    filters = page.evaluate("performance.getEntriesByName('rapport:filter').map(entry => entry.duration)")
    assert paint > 0
    assert len(filters) >= 5
    ARTIFACTS.mkdir(exist_ok=True)
    figures = {"rows": 5_000, "first_paint_ms": round(paint), "filter_ms": [round(one) for one in filters]}
    (ARTIFACTS / "dashboard-timings.json").write_text(json.dumps(figures, indent=1))
