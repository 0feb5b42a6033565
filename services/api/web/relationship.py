"""The page of one relationship: scores with their reasons, flags, use against what is usual, and the timeline."""

from __future__ import annotations

import asyncio

import msgspec
from fastapi import Request
from nicegui import background_tasks, ui
from nicegui.events import GenericEventArguments

from services.api.auth import Principal
from services.api.deps import Deps
from services.api.web import parts
from services.api.web.charts import tone_of, usage_options
from services.api.web.desk import Changes, Desk
from services.api.web.layout import Look, html, is_dark, live, shell
from services.api.web.markup import Markup, el, icon
from services.api.web.series import EVERYTHING, SHOWN_DAYS, UsageSeries, drop_of, features_of, usage_series
from services.api.web.theme import polarity_of
from services.api.web.words import TouchpointWords, touchpoint_words
from shared.domain.columns.months import Cell, cells_of
from shared.domain.contract.days import day_of, month_of
from shared.domain.contract.events import Millis
from shared.domain.errors import Unavailable
from shared.domain.relationship.state import RelationshipState
from shared.domain.relationship.touchpoints import Touchpoint, touchpoint_id
from shared.domain.rules.declaration import Polarity
from shared.storage.store import Page, Store

TIMELINE_PAGE = 25
HISTORY_DAYS = SHOWN_DAYS + 70  # what is drawn, and the baseline before it
EVIDENCE_EVENTS = 60


class Snapshot(msgspec.Struct, frozen=True):
    """What the page shows at one moment."""

    state: RelationshipState
    cells: list[Cell]
    events: dict[str, TouchpointWords]
    timeline: Page[Touchpoint]
    now: Millis


async def snapshot(store: Store, tenant: str, relationship: str, now: Millis) -> Snapshot | None:
    """Read it all; None if the tenant has no such relationship. Raises Unavailable."""
    today = day_of(now)
    state, months, timeline = await asyncio.gather(
        store.relationship(tenant, relationship),
        store.month_range(tenant, relationship, month_of(today - HISTORY_DAYS), month_of(today)),
        store.timeline(tenant, relationship, None, TIMELINE_PAGE),
    )
    if state is None:
        return None
    keys = [key for flag in state.flags.values() for key in flag.evidence.events][:EVIDENCE_EVENTS]
    ids = {touchpoint_id(tenant, relationship, key): key for key in keys}
    found = await store.touchpoints(list(ids)) if ids else {}
    events = {ids[id]: touchpoint_words(entry) for id, entry in found.items()}
    return Snapshot(state, [cell for month in months for cell in cells_of(month)], events, timeline, now)


async def relationship_page(
    look: Look, who: Principal, desk: Desk, deps: Deps, request: Request, relationship: str
) -> bool:
    """Build the page for this client; False if there is no such relationship. Raises Unavailable."""
    found = await snapshot(deps.store, who.tenant, relationship, deps.clock())
    if found is None:
        return False
    name = found.state.directory.name or relationship
    shell(look, "relationship", name, who, desk)
    page = RelationshipPage(deps, found, is_dark(request))
    with ui.element("div").classes("r-page r-narrow"):
        page.build()
    anchor = live(desk, page.changed)
    anchor.on("theme", lambda event: page.themed(bool(event.args["detail"]["dark"])), ["detail"])
    return True


class RelationshipPage:
    """The elements of one open page, renewed when its relationship changes."""

    def __init__(self, deps: Deps, found: Snapshot, dark: bool) -> None:
        self._deps = deps
        self._shown = found
        self._dark = dark
        self._feature = _first_feature(found)
        self._cursor = found.timeline.next
        self._paged = False

    def build(self) -> None:
        """Lay the page out."""
        html(f'<a class="r-crumb" href="/">{icon("back")}Portfolio</a>')
        self._hero = html("")
        with ui.element("div").classes("r-grid"):
            with ui.element("div").classes("r-col"):
                self._flags = _panel("Red flags")
                with ui.element("div") as self._good:
                    self._green = _panel("Green flags")
                self._usage()
                self._timeline()
            with ui.element("div").classes("r-col"):
                self._factors = _panel("Why these scores")
                self._windows = _panel("Activity")
                self._people = _panel("People")
                self._promises = _panel("Promises")
        self._fill()

    def _fill(self) -> None:
        state, now = self._shown.state, self._shown.now
        self._hero.set_content(parts.hero(state))
        self._flags.set_content(parts.flags(state, self._shown.events, Polarity.RED))
        self._green.set_content(parts.flags(state, self._shown.events, Polarity.GREEN))
        self._good.set_visibility(any(polarity_of(flag.rule) == Polarity.GREEN for flag in state.flags.values()))
        self._factors.set_content(parts.factors(state))
        self._windows.set_content(parts.windows(state.windows))
        self._people.set_content(parts.people(state.facts))
        self._promises.set_content(parts.promises(state.facts, now))
        if not self._paged:
            self._entries.set_content(_entries(self._shown.timeline.items))
        self._draw()

    # --- use -----------------------------------------------------------------------------------------------------

    def _usage(self) -> None:
        with ui.element("section").classes("r-card r-panel"):
            with ui.element("header"):
                html("Use over 90 days", "h2")
                self._select = ui.element("select").classes("r-input").props('aria-label="Feature"')
                with self._select:
                    for value, word in _choices(self._shown):
                        option = ui.element("option").props(f"{'selected' if value == self._feature else ''}")
                        option.props["value"] = value
                        with option:
                            html(el("span", "", word), "span")
                self._select.on("change", self._chosen, js_handler="(event) => emit(event.target.value)")
            self._chart = ui.echart(usage_options(self._series(), self._dark)).classes("r-chart")
            self._legend = html("")

    def _chosen(self, event: GenericEventArguments) -> None:
        self._feature = str(event.args)
        self._draw()

    def _series(self) -> UsageSeries:
        flag = drop_of(self._shown.state.flags, self._feature)
        return usage_series(self._shown.cells, self._feature, day_of(self._shown.now), flag)

    def _draw(self) -> None:
        series = self._series()
        self._chart.options.clear()
        self._chart.options.update(usage_options(series, self._dark))
        self._chart.update()
        self._legend.set_content(_legend(series))

    # --- timeline --------------------------------------------------------------------------------------------------

    def _timeline(self) -> None:
        with ui.element("section").classes("r-card r-panel"):
            with ui.element("header"):
                html("Timeline", "h2")
            self._entries = html("")
            self._more = ui.element("button").classes("r-button r-more").on("click", self._page_on)
            with self._more:
                html("Show earlier", "span")
            self._more.set_visibility(self._cursor is not None)

    async def _page_on(self) -> None:
        state = self._shown.state
        try:
            page = await self._deps.store.timeline(state.tenant, state.relationship, self._cursor, TIMELINE_PAGE)
        except Unavailable:
            ui.run_javascript("window.rapportLive({trouble: 'The store does not answer: try again in a moment.'})")
            return
        self._paged = True
        self._cursor = page.next
        self._entries.set_content(Markup(self._entries.content + _entries(page.items)))
        self._more.set_visibility(self._cursor is not None)

    # --- live ------------------------------------------------------------------------------------------------------

    def changed(self, changes: Changes) -> None:
        """Renew the page if this relationship is among what has changed."""
        if changes.reset or self._shown.state.relationship in changes.relationships:
            background_tasks.create(self._renew())

    async def _renew(self) -> None:
        state = self._shown.state
        try:
            found = await snapshot(self._deps.store, state.tenant, state.relationship, self._deps.clock())
        except Unavailable:
            return  # the desk, which reads the same store, tells every page
        if found is not None:
            self._shown = found
            self._fill()

    def themed(self, dark: bool) -> None:
        """Draw the chart in the colours of the other theme."""
        self._dark = dark
        self._draw()


def _panel(title: str) -> ui.html:
    with ui.element("section").classes("r-card r-panel"):
        with ui.element("header"):
            html(el("span", "", title), "h2")
        return html("")


def _entries(items: tuple[Touchpoint, ...]) -> Markup:
    shown = [parts.touchpoint(touchpoint_words(entry)) for entry in items if entry.type]
    return Markup("".join(shown)) or parts.nothing("No touchpoint yet: messages, meetings, tickets and the like.")


def _first_feature(found: Snapshot) -> str:
    dropped = [flag.subject for flag in found.state.flags.values() if drop_of({"": flag}, flag.subject) is not None]
    return next((feature for feature in dropped if feature), EVERYTHING)


def _choices(found: Snapshot) -> list[tuple[str, str]]:
    flagged = {feature for feature in features_of(found.cells) if drop_of(found.state.flags, feature) is not None}
    names = features_of(found.cells)
    return [(EVERYTHING, "All use")] + [(one, f"{one} (dropped)" if one in flagged else one) for one in names]


def _legend(series: UsageSeries) -> Markup:
    if not any(series.counts):
        return parts.nothing("No use has been counted in these 90 days.")
    usual = series.baseline[-1] is not None
    drop = el("span", "", el("i", f"r-l-drop r-{tone_of(series)}"), "Flagged drop")
    return el(
        "div",
        "r-legend",
        el("span", "", el("i", ""), "Use a day"),
        el("span", "", el("i", "r-l-today"), "Today so far (UTC)"),
        el("span", "", el("i", "r-l-base"), "Usual on this weekday, from the 8 weeks before") if usual else None,
        None if usual else el("span", "", "Too little history yet to say what is usual"),
        drop if series.flagged is not None else None,
    )
