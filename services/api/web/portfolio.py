"""The portfolio page: every relationship of the tenant in one table."""

from __future__ import annotations

from nicegui import ui

from services.api.auth import Principal
from services.api.web.desk import Changes, Desk
from services.api.web.layout import Look, call, live, shell
from services.api.web.markup import el

TAG = "rapport-portfolio"

# Asked for while the page is still being read, so that rows and scripts arrive at about the same time.
EARLY = '<link rel="preload" as="fetch" crossorigin href="/dashboard/portfolio.json">'


def portfolio_page(look: Look, who: Principal, desk: Desk) -> None:
    """Build the page for this client."""
    ui.add_head_html(EARLY)
    shell(look, "portfolio", "Portfolio", who, desk, ("portfolio.js",), el(TAG, ""))

    def changed(changes: Changes) -> None:
        if changes.reset:
            call(TAG, "reload")
        elif changes.rows is not None:
            call(TAG, "apply", changes.rows)

    live(desk, changed)
