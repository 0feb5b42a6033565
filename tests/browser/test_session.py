"""Signing in and out."""

from __future__ import annotations

from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Site, picture, sign_in
from tests.browser.site import FULL, key_of


def test_one_signs_in_with_an_api_key_and_comes_to_the_page_one_wanted(browser: Browser, site: Site) -> None:
    page = browser.new_page(base_url=site.url)
    page.goto("/alerts?tab=all")
    expect(page).to_have_url(f"{site.url}/login?next=/alerts%3Ftab%3Dall")
    picture(page, "sign-in")
    page.get_by_label("API key").fill(key_of(FULL))
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(f"{site.url}/alerts?tab=all")
    expect(page.get_by_role("heading", name="Alerts")).to_be_visible()
    page.context.close()


def test_a_wrong_key_is_refused_in_words_and_the_secret_stays_out_of_addresses_and_cookies(
    browser: Browser, site: Site
) -> None:
    page = browser.new_page(base_url=site.url)
    page.goto("/login")
    page.get_by_label("API key").fill(key_of(FULL)[:-1] + "x")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("not a valid API key")
    picture(page, "sign-in-refused")
    page.get_by_label("API key").fill(key_of(FULL))
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Portfolio")).to_be_visible()
    secret = key_of(FULL).rsplit("_", 1)[1]
    kept = str(page.context.cookies()) + page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
    assert secret not in page.url + kept
    page.context.close()


def test_signing_out_ends_the_session(page: Page, site: Site) -> None:
    page.goto("/")
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(f"{site.url}/login")
    page.goto("/")
    expect(page.get_by_label("API key")).to_be_visible()


def test_a_revoked_key_ends_the_session(browser: Browser, site: Site) -> None:
    context = sign_in(browser, site, "brief")
    page = context.new_page()
    page.goto("/")
    expect(page.get_by_role("heading", name="Portfolio")).to_be_visible()
    site.revoke("brief")
    page.goto("/alerts")
    expect(page.get_by_label("API key")).to_be_visible()
    context.close()


def test_nobody_is_led_elsewhere_by_a_crafted_link(browser: Browser, site: Site) -> None:
    page = browser.new_page(base_url=site.url)
    page.goto("/login?next=//example.com/")
    page.get_by_label("API key").fill(key_of(FULL))
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(f"{site.url}/")
    page.context.close()


def test_data_and_pages_need_a_session(site: Site) -> None:
    assert site.get("/dashboard/portfolio.json").status_code == 401
    assert site.get("/dashboard/alerts.json").status_code == 401
    assert site.get("/relationships/acct-1").status_code == 303
