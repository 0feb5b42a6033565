"""The portfolio page: every relationship of the tenant in one table."""

from __future__ import annotations

import msgspec
from nicegui import ui

from services.api.auth import Principal
from services.api.web.desk import Changes, Desk
from services.api.web.layout import Look, frame, live

# Asked for before the framework has loaded, so that both are there at about the same time.
EARLY = """<script>
window.rapportRows = fetch("/dashboard/portfolio.json", {credentials: "same-origin"}).then(async (answer) => {
  if (answer.status === 401) { location.assign("/login"); throw new Error("signed out"); }
  if (!answer.ok) throw new Error((await answer.json()).detail);
  return answer.json();
});
window.rapportRows.catch(() => {});
</script>"""


def portfolio_page(look: Look, who: Principal, desk: Desk) -> None:
    """Build the page for this client."""
    ui.add_head_html(EARLY)
    with frame(look, "portfolio", "Portfolio", who, desk, ("portfolio.js",)):
        table = ui.element("rapport-portfolio")

        def changed(changes: Changes) -> None:
            if changes.reset:
                table.run_method("reload")
            elif changes.rows is not None:
                table.run_method("apply", msgspec.to_builtins(changes.rows))

        live(desk, changed)
