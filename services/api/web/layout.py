"""The frame around every page: navigation with the count of open alerts, notices, keys, and what is live."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

import msgspec
from fastapi import Request
from nicegui import ui

from services.api.auth import Principal
from services.api.web.desk import Changes, Desk
from services.api.web.theme import BOOT, THEME_COOKIE, svg, sprite, variables
from shared.domain.events import JsonObject

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


class Look(msgspec.Struct, frozen=True):
    """What pages need to be drawn: where the static files are, and the notice to show above all pages, if any."""

    static: str
    notice: Callable[[], str]


def is_dark(request: Request) -> bool:
    """Whether this browser shows the dark theme (it says so in a cookie)."""
    return request.cookies.get(THEME_COOKIE) == "dark"


def html(markup: str, tag: str = "div") -> ui.html:
    """Markup of our own making; anything from outside must have been escaped."""
    return ui.html(markup, sanitize=False, tag=tag)


@contextmanager
def frame(look: Look, active: str, title: str, who: Principal, desk: Desk, scripts: tuple[str, ...] = ()) -> Iterator[None]:
    """Everything around a page's content; what is built inside becomes the content."""
    ui.page_title(f"{title} · Rapport")
    _head(look, scripts)
    html(_top(active, who, desk.open_alerts) + _strips(look.notice(), desk.trouble) + _help(), "div")
    with ui.element("main").classes("r-page" + (" r-narrow" if active == "relationship" else "")):
        yield


def _head(look: Look, scripts: tuple[str, ...]) -> None:
    modules = "".join(f'<script type="module" src="{look.static}/{name}"></script>' for name in ("rapport.js", *scripts))
    ui.add_head_html(
        f'<style>{variables()}</style><script>{BOOT}</script><link rel="stylesheet" href="{look.static}/rapport.css">{modules}'
    )
    ui.add_body_html(sprite())


def _top(active: str, who: Principal, count: int) -> str:
    links = "".join(
        f'<a class="r-nav" href="{href}"{" aria-current=page" if key == active else ""}>{svg(icon)}<span>{word}</span>'
        + (_count(count) if key == "alerts" else "")
        + "</a>"
        for key, href, icon, word in NAV
    )
    name = escape(f"{who.tenant} · {who.name}")
    return f"""<header class="r-top"><a class="r-brand" href="/">{svg("logo")}<span>Rapport</span></a>
<nav aria-label="Main" style="display:flex;gap:4px">{links}</nav><span class="r-gap"></span>
<span class="r-who" title="Signed in: {name}">{name}</span>
<button class="r-ghost r-square r-help-open" title="Keyboard shortcuts (?)" aria-label="Keyboard shortcuts">{svg("keyboard")}</button>
<button class="r-ghost r-square r-theme" title="Dark or light" aria-label="Switch between dark and light">{svg("moon")}</button>
<form method="post" action="/logout" style="display:flex"><button class="r-ghost r-square" title="Sign out"
 aria-label="Sign out">{svg("exit")}</button></form></header>"""


def _count(count: int) -> str:
    shown = "999+" if count > 999 else str(count)
    return f'<span class="r-count" aria-label="{count} open alerts"{" hidden" if not count else ""}>{shown}</span>'


def _strips(notice: str, trouble: str) -> str:
    banner = f'<div class="r-notice" role="note">{svg("info")}<span>{escape(notice)}</span></div>' if notice else ""
    hidden = "" if trouble else " hidden"
    strip = f'<div class="r-trouble" id="r-trouble" role="alert"{hidden}>{svg("watch")}<span>{escape(trouble)}</span></div>'
    height = f"<style>:root{{--strips:{37 if notice else 0}px}}</style>"
    return height + banner + strip


def _help() -> str:
    rows = "".join(
        "<span>" + " ".join(f"<kbd>{escape(key)}</kbd>" for key in keys.split(" ")) + f"</span><span>{escape(word)}</span>"
        for keys, word in KEYS
    )
    return f"""<dialog class="r-dialog" id="r-help" aria-label="Keyboard shortcuts"><header><h2>Keyboard</h2>
<button class="r-ghost r-square r-help-close" aria-label="Close">{svg("close")}</button></header>
<div class="r-keys">{rows}</div></dialog>"""


def live(desk: Desk, on_changes: Callable[[Changes], None], on_theme: Callable[[bool], None] | None = None) -> None:
    """Tell this page of the desk's changes for as long as its browser is there; `on_theme(dark)` when that is switched."""
    client = ui.context.client
    anchor = ui.element("span").props("id=r-live hidden")
    if on_theme is not None:
        anchor.on("theme", lambda event: on_theme(bool(event.args["detail"]["dark"])), ["detail"])

    def told(changes: Changes) -> None:
        with client:
            ui.run_javascript(f"window.rapportLive({msgspec.json.encode(_news(changes)).decode()})")
            on_changes(changes)

    client.on_delete(desk.watch(told))


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
        toasts.append({"text": f"{len(critical) - MAX_TOASTS} more critical alerts", "severity": "critical", "href": "/alerts"})
    return {"open": changes.open_alerts, "toasts": toasts, "trouble": changes.trouble}
