"""The page of one relationship."""

from __future__ import annotations

from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Site, picture, sign_in
from tests.browser.seed import LONG, LONG_NAME, RED, THIN, UNKNOWN


def opened(page: Page, id: str) -> Page:
    page.goto(f"/relationships/{id}")
    page.locator("canvas").first.wait_for()
    page.wait_for_function("window.did_handshake === true")
    return page


def options(page: Page) -> str:
    """The chart's options as the browser has them."""
    return "getElement(document.querySelector('.nicegui-echart').id.slice(1)).chart.getOption()"


def test_scores_reasons_flags_people_and_promises(page: Page) -> None:
    opened(page, RED)
    expect(page.get_by_role("heading", level=1)).to_contain_text("Cobalt")
    expect(page.get_by_role("img", name="Relationship Intelligence: 31 of 100, At risk")).to_be_visible()
    main = page.locator("main")
    for words in (
        "“exports” was used 31 times in 7 days where 143 are usual",
        "Mutual benefit",
        "no evidence",
        "Confidence high (70\u00a0%)",
        "maria.lopez@example.com",
        "Migration plan for the second plant",
        "overdue",
    ):
        expect(main).to_contain_text(words)
    picture(page, "relationship")


def test_the_chart_draws_use_what_is_usual_and_the_flagged_drop(page: Page) -> None:
    opened(page, RED)
    expect(page.get_by_label("Feature")).to_have_value("exports")
    usual, use, today = page.evaluate(options(page) + ".series")
    assert len(use["data"]) == len(usual["data"]) == len(today["data"]) == 90
    assert use["data"][-1] is None, "a day that is not over is drawn by itself"
    assert today["data"][-2] == use["data"][-2]
    assert today["data"][:-2] == [None] * 88
    assert today["data"][-1] is not None
    assert max(value for value in usual["data"] if value is not None) > 5
    assert max(use["data"][-7:-1]) < max(use["data"][:80]) / 2
    assert len(use["markArea"]["data"]) == 1
    page.get_by_label("Feature").select_option("reports")
    page.wait_for_function(f"{options(page)}.series[1].markArea.data.length === 0")


def test_green_flags_have_a_heading_of_their_own(page: Page) -> None:
    opened(page, RED)
    for heading, words in (("Red flags", "“exports” was used 31 times"), ("Green flags", "19 of 20 seats in use")):
        panel = page.locator("section", has=page.get_by_role("heading", name=heading))
        expect(panel).to_contain_text(words)
        expect(panel.locator(".r-flagcard")).to_have_count(2 if heading == "Red flags" else 1)
    opened(page, UNKNOWN)
    expect(page.get_by_role("heading", name="Green flags")).to_be_hidden()


def test_the_evidence_unfolds(page: Page) -> None:
    opened(page, RED)
    page.get_by_text("Evidence", exact=True).first.click()
    expect(page.locator("details[open] table")).to_contain_text("exports")


def test_the_timeline_pages_on_and_strikes_what_was_retracted(page: Page) -> None:
    opened(page, RED)
    entries = page.locator(".r-col .r-touch")
    before = page.locator(".r-touch.r-struck").first
    expect(before).to_contain_text("retracted")
    assert "line-through" in before.locator("b").evaluate("node => getComputedStyle(node).textDecorationLine")
    first = entries.count()
    page.get_by_role("button", name="Show earlier").click()
    expect(entries).to_have_count(first + 25)
    page.get_by_role("button", name="Show earlier").click()
    expect(entries).to_have_count(first + 35)
    expect(page.get_by_role("button", name="Show earlier")).to_be_hidden()


def test_a_changed_score_is_shown_without_reload(page: Page, site: Site) -> None:
    opened(page, "acct-30")
    for index in (22.0, 88.0):
        site.score("acct-30", index)
        expect(page.locator(".r-gauge text").first).to_have_text(str(int(index)), timeout=5_000)


def test_the_chart_changes_its_colours_with_the_theme(page: Page) -> None:
    opened(page, RED)
    before = page.evaluate(options(page) + ".series[1].lineStyle.color")
    page.get_by_role("button", name="Switch between dark and light").click()
    page.wait_for_function(f"{options(page)}.series[1].lineStyle.color !== {before!r}")
    picture(page, "relationship-dark")


def test_without_evidence_it_says_what_is_missing(page: Page) -> None:
    opened(page, UNKNOWN)
    main = page.locator("main")
    expect(main).to_contain_text("No evidence")
    expect(main).to_contain_text("No score yet")
    expect(main).to_contain_text("No red flag stands")
    picture(page, "relationship-no-evidence")


def test_a_score_by_little_evidence_is_not_called_healthy(page: Page) -> None:
    opened(page, THIN)
    expect(page.locator(".r-heroname .r-badge")).to_have_text("Little evidence")
    ring = page.get_by_role("img", name="Relationship Intelligence: 89 of 100, Little evidence")
    expect(ring).to_have_class("r-little")
    expect(page.locator(".r-gauge").first).to_contain_text("Confidence low (14\u00a0%)")
    picture(page, "relationship-little-evidence")


def test_the_legend_shows_the_drop_as_the_chart_does(page: Page) -> None:
    opened(page, RED)
    for _ in ("light", "dark"):
        swatch = page.locator(".r-l-drop")
        expect(swatch).to_have_class("r-l-drop r-red")
        colour = swatch.evaluate("node => getComputedStyle(node).getPropertyValue('--fill')")
        page.wait_for_function(f"{options(page)}.series[1].markArea.itemStyle.color === {colour!r}")
        page.get_by_role("button", name="Switch between dark and light").click()


def test_long_names_do_not_break_the_page(page: Page) -> None:
    opened(page, LONG)
    expect(page.get_by_role("heading", level=1)).to_have_attribute("title", LONG_NAME)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    picture(page, "relationship-long-name")


def test_a_flag_leads_to_its_alert(page: Page) -> None:
    opened(page, RED)
    page.get_by_role("link", name="Open the alert").first.click()
    expect(page.locator(".r-drawer h2")).to_contain_text("“exports” was used 31 times")


def test_an_unknown_relationship_is_not_found(page: Page, site: Site) -> None:
    answer = page.goto("/relationships/nobody")
    assert answer is not None
    assert answer.status == 404
    expect(page.get_by_role("heading", name="There is no such relationship")).to_be_visible()
    picture(page, "relationship-not-found")


def test_another_tenants_relationship_is_not_found(browser: Browser, site: Site) -> None:
    context = sign_in(browser, site, "empty")
    answer = context.new_page().goto(f"/relationships/{RED}")
    assert answer is not None
    assert answer.status == 404
    context.close()
