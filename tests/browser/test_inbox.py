"""The alert inbox: live, and what one does in it."""

from __future__ import annotations

import json
import time

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from services.api.web.words import figure
from shared.domain.relationship.flags import Why
from tests.browser.conftest import ARTIFACTS, Site, picture, sign_in


def opened(page: Page, address: str = "/alerts") -> Page:
    page.goto(address)
    page.locator("rapport-inbox[data-ready]").wait_for()
    page.wait_for_function("window.did_handshake === true")
    return page


def selector(id: str) -> str:
    return f".r-alert[data-id={json.dumps(id)}]"


def row(page: Page, id: str) -> Locator:
    return page.locator(selector(id))


def test_a_new_alert_appears_without_reload_and_is_counted(page: Page, site: Site) -> None:
    opened(page)
    waiting = int(page.locator(".r-count").inner_text())
    seconds = []
    for number in range(5):
        begin = time.monotonic()
        id = site.alert(f"acct-{200 + number}")
        page.wait_for_function(f"document.querySelector({selector(id)!r})", polling=10, timeout=5_000)
        seconds.append(round(time.monotonic() - begin, 3))
    expect(page.locator(".r-count")).to_have_text(str(waiting + 5))
    print(f"a new alert was on the page after {seconds} s")
    ARTIFACTS.mkdir(exist_ok=True)
    (ARTIFACTS / "dashboard-alert-seconds.json").write_text(json.dumps(seconds))


def test_every_page_counts_and_announces_a_critical_alert(page: Page, site: Site) -> None:
    page.goto("/")
    page.wait_for_function("window.did_handshake === true")
    id = site.alert("acct-250", "critical")
    note = page.locator(".r-toast-critical")
    expect(note).to_contain_text("acct-250", timeout=5_000)
    picture(page, "toast-critical")
    box, bar = note.bounding_box(), page.locator(".r-top").bounding_box()
    assert box is not None
    assert bar is not None
    assert box["y"] + box["height"] <= bar["height"], "it lies on the bar, and covers nothing of the page"
    note.get_by_role("link").click()
    page.locator("rapport-inbox[data-ready]").wait_for()
    expect(page.locator(".r-drawer")).to_be_visible()
    expect(page.locator(".r-drawer")).to_have_attribute("data-id", id)


def test_acknowledging_and_resolving_by_buttons(page: Page, site: Site) -> None:
    id = site.alert("acct-260")
    opened(page)
    row(page, id).click()
    drawer = page.locator(".r-drawer")
    drawer.get_by_role("button", name="Acknowledge").click()
    expect(drawer.locator(".r-statechip")).to_have_text("Acknowledged")
    expect(row(page, id)).to_have_count(0)
    page.get_by_role("tab", name="Acknowledged").click()
    expect(row(page, id)).to_be_visible()
    row(page, id).hover()
    row(page, id).get_by_role("button", name="Resolve").click()
    expect(row(page, id)).to_have_count(0)
    page.get_by_role("tab", name="Resolved").click()
    expect(row(page, id)).to_have_attribute("data-state", "resolved")
    expect(drawer.locator(".r-steps")).to_contain_text("Resolved by Ann Okafor")
    page.reload()
    page.locator("rapport-inbox[data-ready]").wait_for()
    expect(row(page, id)).to_have_attribute("data-state", "resolved")


@pytest.mark.parametrize(
    ("why", "words"), [(Why.ENDED, "Cleared by itself"), (Why.RULE_OFF, "Cleared: its rule is off")]
)
def test_the_history_says_why_an_alert_was_closed(page: Page, site: Site, why: Why, words: str) -> None:
    id = site.cleared("acct-270", why)
    opened(page, "/alerts?tab=resolved")
    row(page, id).click()
    expect(page.locator(".r-drawer .r-steps li").first).to_contain_text(words)


def test_what_another_window_does_is_seen(page: Page, browser: Browser, site: Site) -> None:
    id = site.alert("acct-265")
    opened(page)
    context = sign_in(browser, site)
    other = opened(context.new_page())
    row(other, id).hover()
    row(other, id).get_by_role("button", name="Acknowledge").click()
    expect(row(page, id)).to_have_count(0)
    context.close()


def test_the_drawer_has_reason_advice_numbers_evidence_and_history(page: Page) -> None:
    opened(page)
    page.get_by_label("Search alerts").fill("exports")
    page.locator(".r-alert").first.click()
    drawer = page.locator(".r-drawer")
    for words in (
        "31 times in 7 days",
        "What to do",
        "Call the champion",
        "Numbers",
        "expected",
        "Evidence",
        "History",
    ):
        expect(drawer).to_contain_text(words)
    picture(page, "alert-details")
    page.keyboard.press("Escape")
    page.get_by_label("Search alerts").fill("migration plan")
    page.locator(".r-alert").first.click()
    expect(drawer.locator(".r-touch")).to_have_count(2)
    expect(drawer).to_contain_text("Message from them")
    picture(page, "alert-evidence")


def test_scripts_write_numbers_as_the_server_does(page: Page) -> None:
    opened(page)
    written = """async (values) => {
        const { figure } = await import(document.querySelector('script[src$="rapport.js"]').src);
        return values.map(figure);
    }"""
    values = [63355.33, 79200, 100.4, 53.076, -0.5, 0, 0.00002, -0.00002]
    values += [0.125, 2.675, 1.005, 100.5, 150.5, -0.125, -100.5, 99.995, 1e21, 1e300]  # halves, also as decimal text
    values += [0.001, 0.0025, -0.004, 0.005, 0.0099, 0.00999]
    assert page.evaluate(written, values) == [figure(value) for value in values]


def toasted(page: Page, script: str) -> Locator:
    """The toast one sees after a script with `toast`, on a page whose time stands still."""
    page.clock.install()
    page.goto("/alerts")
    page.locator("rapport-inbox[data-ready]").wait_for()
    page.clock.pause_at(time.time() + 60)
    page.evaluate(f"""async () => {{
        const {{ toast }} = await import(document.querySelector('script[src$="rapport.js"]').src);
        {script}
    }}""")
    return page.locator(".r-toast:visible")


def test_toasts_are_seen_in_turn_the_critical_ones_first(page: Page) -> None:
    seen = toasted(
        page,
        """toast("by the way");
        for (const text of ["first", "second"]) toast(text, { severity: "critical", href: "/alerts" });
        toast("refused", { severity: "warning" });""",
    )
    for text, seconds in (("first", 12), ("second", 12), ("refused", 5), ("by the way", 5)):
        page.clock.run_for(seconds * 1000 - 1)
        expect(seen).to_have_text(text)
        page.clock.run_for(1)
    expect(page.locator(".r-toast")).to_have_count(0)


def test_a_toast_put_away_makes_room_for_the_next_and_many_are_told_as_one(page: Page) -> None:
    critical = '{ severity: "critical", href: "/alerts?id=x" }'
    seen = toasted(page, f"for (let number = 1; number < 9; number++) toast(`alert ${{number}}`, {critical});")
    for text in ("alert 1", "alert 2", "alert 3", "alert 4"):
        page.clock.run_for(11_000)  # what one toast leaves of its time is not taken from the next
        expect(seen).to_have_text(text)
        seen.get_by_role("button", name="Dismiss").click()
    expect(seen).to_have_text("More critical alerts")
    expect(seen.get_by_role("link")).to_have_attribute("href", "/alerts")
    seen.get_by_role("button", name="Dismiss").click()
    expect(page.locator(".r-toast")).to_have_count(0)


def test_a_comment_is_kept(page: Page, site: Site) -> None:
    id = site.alert("acct-270")
    opened(page)
    row(page, id).click()
    page.get_by_label("Comment").fill("Called them: <b>back</b> on Monday.")
    page.locator(".r-drawer").get_by_role("button", name="Comment").click()
    expect(page.locator(".r-drawer .r-steps")).to_contain_text("Called them: <b>back</b> on Monday.")


def test_it_is_worked_by_keys_alone(page: Page, site: Site) -> None:
    opened(page)
    page.keyboard.press("j")
    first = page.evaluate("document.activeElement.dataset.id")
    page.keyboard.press("j")
    second = page.evaluate("document.activeElement.dataset.id")
    assert first != second
    page.keyboard.press("k")
    assert page.evaluate("document.activeElement.dataset.id") == first
    page.keyboard.press("Enter")
    expect(page.locator(".r-drawer")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".r-drawer")).to_be_hidden()
    page.keyboard.press("a")
    expect(row(page, first)).to_have_count(0)
    page.keyboard.press("r")  # acts on nothing: the alert it was meant for has left the list
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.dataset.id") == second
    expect(row(page, second)).to_have_attribute("data-state", "open")
    page.get_by_role("tab", name="Acknowledged").click()
    row(page, first).focus()
    page.keyboard.press("r")
    expect(row(page, first)).to_have_count(0)


def test_filters_by_severity_and_state(page: Page) -> None:
    opened(page)
    page.get_by_label("Filter by severity").select_option("critical")
    severities = {node.get_attribute("data-severity") for node in page.locator(".r-alert").all()}
    assert severities == {"critical"}
    page.get_by_role("tab", name="All").click()
    page.get_by_label("Filter by severity").select_option("")
    states = {node.get_attribute("data-state") for node in page.locator(".r-alert").all()}
    assert states == {"open", "acknowledged", "resolved"}
    picture(page, "alerts-all")


def test_it_is_dark_in_the_dark(browser: Browser, site: Site) -> None:
    context = sign_in(browser, site, dark=True)
    page = opened(context.new_page())
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.locator(".r-alert").first.click()
    picture(page, "alerts-dark")
    context.close()
