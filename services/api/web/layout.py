"""The frame around every page: navigation with the count of open alerts, notices, keys, and what is live."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from fastapi import Request
from nicegui import ui

from services.api.auth import Principal
from services.api.web.desk import Changes, Desk
from services.api.web.markup import Markup, el, icon, join
from services.api.web.theme import BOOT, THEME_COOKIE, sprite, variables
from shared.domain.contract.events import JsonObject

NAV = (("portfolio", "/", "people", "Portfolio"), ("alerts", "/alerts", "bell", "Alerts"))

KEYS = (
    ("/", "Search"),
    ("j k", "Next, previous"),
    ("Enter", "Open"),
    ("a", "Acknowledge the alert"),
    ("r", "Resolve the alert"),
    ("c", "Comment on the alert"),
    ("Esc", "Close, or clear the search"),
    ("g p", "Go to the portfolio"),
    ("g a", "Go to the alerts"),
    ("?", "These keys"),
)

MAX_TOASTS = 3
STRIP_HEIGHT = 37  # px, as in rapport.css


class Look(msgspec.Struct, frozen=True):
    """What pages need to be drawn: where the static files are, and the notice to show above all pages, if any."""

    static: str
    notice: str


def is_dark(request: Request) -> bool:
    """Whether this browser shows the dark theme (it says so in a cookie)."""
    return request.cookies.get(THEME_COOKIE) == "dark"


def html(markup: str, tag: str = "div") -> ui.html:
    """Markup of our own making; anything from outside must have been escaped."""
    return ui.html(markup, sanitize=False, tag=tag)


def shell(
    look: Look,
    active: str,
    title: str,
    who: Principal,
    desk: Desk,
    scripts: tuple[str, ...] = (),
    content: Markup | None = None,
) -> None:
    """Everything around a page's content. `content` given as markup stands beside NiceGUI's own elements.

    What is markup is painted at once: it does not wait until the framework has loaded.
    """
    ui.page_title(f"{title} · Rapport")
    modules = [f'<script type="module" async src="{look.static}/{name}"></script>' for name in ("rapport.js", *scripts)]
    style = f'<link rel="stylesheet" href="{look.static}/rapport.css">'
    ui.add_head_html(f"<style>{variables()}</style><script>{BOOT}</script>{style}{''.join(modules)}")
    around = join(Markup(sprite()), _top(active, who, desk.open_alerts), _strips(look.notice, desk.trouble), _help())
    main = el("main", "r-page r-static", content) if content is not None else None
    ui.add_body_html(join(around, main))


def _top(active: str, who: Principal, count: int) -> Markup:
    links = [
        el(
            "a",
            "r-nav",
            icon(shape),
            el("span", "", word),
            _count(count) if key == "alerts" else None,
            href=href,
            aria_current="page" if key == active else None,
        )
        for key, href, shape, word in NAV
    ]
    name = f"{who.tenant} · {who.name}"
    leave = _tool("exit", "Sign out", type="submit")
    return el(
        "header",
        "r-top",
        el("a", "r-brand", icon("logo"), el("span", "", "Rapport"), href="/"),
        el("nav", "r-navs", *links, aria_label="Main"),
        el("span", "r-gap"),
        el("span", "r-who", name, title=f"Signed in: {name}"),
        _tool("keyboard", "Keyboard shortcuts (?)", "r-help-open"),
        _tool("moon", "Switch between dark and light", "r-theme"),
        el("form", "", leave, method="post", action="/logout"),
    )


def _tool(shape: str, word: str, css: str = "", type: str = "button") -> Markup:
    return el("button", f"r-ghost r-square {css}", icon(shape), title=word, aria_label=word, type=type)


def _count(count: int) -> Markup:
    shown = "999+" if count > 999 else str(count)
    return el("span", "r-count", shown, aria_label=f"{count} open alerts", hidden=None if count else "")


def _strips(notice: str, trouble: str) -> Markup:
    hidden = None if trouble else ""
    return join(
        Markup(f"<style>:root{{--strips:{STRIP_HEIGHT if notice else 0}px}}</style>"),
        el("div", "r-notice", icon("info"), el("span", "", notice), role="note") if notice else None,
        el("div", "r-trouble", icon("watch"), el("span", "", trouble), id="r-trouble", role="alert", hidden=hidden),
    )


def _help() -> Markup:
    rows = [
        join(el("span", "", *(el("kbd", "", key) for key in keys.split(" "))), el("span", "", word))
        for keys, word in KEYS
    ]
    return el(
        "dialog",
        "r-dialog",
        el("header", "", el("h2", "", "Keyboard"), _tool("close", "Close", "r-help-close")),
        el("div", "r-keys", *rows),
        id="r-help",
        aria_label="Keyboard shortcuts",
    )


def live(desk: Desk, on_changes: Callable[[Changes], None]) -> ui.element:
    """Tell this page of the desk's changes while its browser is there.

    Answers the element on which the page's scripts raise their events (`tell` in rapport.js).
    """
    client = ui.context.client
    anchor = ui.element("span").props("id=r-live hidden")

    def told(changes: Changes) -> None:
        with client:
            ui.run_javascript(f"window.rapportLive?.({msgspec.json.encode(_news(changes)).decode()})")
            on_changes(changes)

    client.on_delete(desk.watch(told))
    return anchor


def call(tag: str, method: str, *values: object) -> None:
    """Call a method of the page's custom element `tag` in the browser, as soon as it is defined there."""
    written = ",".join(msgspec.json.encode(value).decode() for value in values)
    ui.run_javascript(
        f"customElements.whenDefined('{tag}').then(() => document.querySelector('{tag}').{method}({written}))"
    )


def _news(changes: Changes) -> JsonObject:
    critical = [alert for alert in changes.fresh if alert["severity"] == "critical"]
    toasts: list[dict[str, Any]] = [
        {
            "text": f"{alert['name'] or alert['relationship']}: {alert['reason']}",
            "severity": "critical",
            "href": f"/alerts?id={alert['id']}",
        }
        for alert in critical[:MAX_TOASTS]
    ]
    if len(critical) > MAX_TOASTS:
        toasts.append(
            {"text": f"{len(critical) - MAX_TOASTS} more critical alerts", "severity": "critical", "href": "/alerts"}
        )
    return {"open": changes.open_alerts, "toasts": toasts, "trouble": changes.trouble}
