"""Puts the dashboard into the API's application: pages by NiceGUI, their data, style sheet and scripts."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path

from fastapi import FastAPI, Request
from nicegui import app as pages
from nicegui import ui
from starlette.datastructures import MutableHeaders
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.api.actions import AlertActions
from services.api.auth import Principal
from services.api.deps import Deps
from services.api.web.desk import Desk, Desks
from services.api.web.inbox import inbox_page
from services.api.web.layout import Look
from services.api.web.portfolio import portfolio_page
from services.api.web.relationship import relationship_page
from services.api.web.session import (
    SESSION_DAYS,
    add_session_routes,
    plain_page,
    store_down_html,
    to_login,
    viewer,
)
from services.api.web.theme import svg
from shared.domain.errors import Unavailable

KEY_CHECK_SECONDS = 60.0
GZIP_LEVEL = 3
STATIC = Path(__file__).parent / "static"

# Nothing is fetched from anywhere else. The framework compiles its templates in the browser, hence 'unsafe-eval'.
CONTENT_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'none'"
)


def mount_dashboard(site: FastAPI, deps: Deps) -> Desks:
    """Let pages answer every path of `site` that nothing else answers. Once a process: NiceGUI is one application.

    The caller runs the desks beside the server.
    """
    address = f"/dashboard/static/{static_version()}"
    look = Look(static=address, notice=deps.settings.notice)
    desks = Desks(deps)
    pages.add_static_files(address, STATIC, max_cache_age=31_536_000)
    add_session_routes(pages, deps, f"{address}/rapport.css", lambda tenant: desks.of(tenant).read_ahead())
    _add_data(deps, desks)
    _add_pages(deps, desks, look)
    pages.add_middleware(_ContentPolicy)
    ui.run_with(
        site,
        title="Rapport",
        favicon=_favicon(),
        tailwind=False,
        storage_secret=deps.settings.dashboard_secret.get_secret_value() or secrets.token_urlsafe(32),
        session_middleware_kwargs={"same_site": "lax", "max_age": SESSION_DAYS * 86_400, "session_cookie": "rapport"},
        show_welcome_message=False,
        reconnect_timeout=15.0,
        # The default level of 9 costs the framework's 1.5 MB of scripts most of a first visit's time.
        gzip_middleware_factory=lambda app: GZipMiddleware(app, minimum_size=500, compresslevel=GZIP_LEVEL),
    )
    return desks


def static_version() -> str:
    """Changes whenever a static file does, so that browsers may keep each version for ever."""
    digest = hashlib.blake2b(digest_size=6)
    for path in sorted(STATIC.iterdir()):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def _favicon() -> str:
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24">'
        '<rect width="24" height="24" rx="6" fill="#3a56c5"/>'
        '<path d="M4 12h3.4l2.4-5.2 3.4 10.4 2.4-5.2H20" fill="none" stroke="#fff" stroke-width="2" '
        'stroke-linecap="round" stroke-linejoin="round"/></svg>'
    )


def _add_data(deps: Deps, desks: Desks) -> None:
    async def answer(request: Request, read: Callable[[Desk], Awaitable[bytes]]) -> Response:
        try:
            who = await viewer(request, deps)
            if who is None:
                return JSONResponse({"detail": "Sign in first."}, 401)
            body = await read(desks.of(who.tenant))
        except Unavailable:
            return JSONResponse({"detail": "The store does not answer. Nothing is lost by waiting."}, 503)
        headers = {"Content-Encoding": "gzip", "Cache-Control": "private, no-store"}
        return Response(body, media_type="application/json", headers=headers)

    @pages.get("/dashboard/portfolio.json", include_in_schema=False)
    async def portfolio_data(request: Request) -> Response:
        return await answer(request, lambda desk: desk.portfolio())

    @pages.get("/dashboard/alerts.json", include_in_schema=False)
    async def alert_data(request: Request) -> Response:
        return await answer(request, lambda desk: desk.inbox())


def _add_pages(deps: Deps, desks: Desks, look: Look) -> None:
    actions = AlertActions(deps.store, deps.publisher, deps.clock)
    styles = f"{look.static}/rapport.css"

    async def entered(request: Request, build: Callable[[Principal, Desk], Awaitable[bool]]) -> Response | None:
        try:
            who = await viewer(request, deps)
            if who is None:
                return to_login(request)
            desk = desks.of(who.tenant)
            await desk.alerts_ready()
            if not await build(who, desk):
                return _missing(styles)
            _leave_when_revoked(deps, who)
            return None
        except Unavailable:
            return HTMLResponse(store_down_html(styles), 503)

    @ui.page("/")
    async def portfolio(request: Request) -> Response | None:
        async def build(who: Principal, desk: Desk) -> bool:
            portfolio_page(look, who, desk)
            return True

        return await entered(request, build)

    @ui.page("/alerts")
    async def alerts(request: Request) -> Response | None:
        async def build(who: Principal, desk: Desk) -> bool:
            inbox_page(look, who, desk, deps, actions)
            return True

        return await entered(request, build)

    @ui.page("/relationships/{relationship:path}")
    async def relationship(request: Request, relationship: str) -> Response | None:
        return await entered(request, lambda who, desk: relationship_page(look, who, desk, deps, request, relationship))


def _leave_when_revoked(deps: Deps, who: Principal) -> None:
    """A page that stays open for days must not outlive its key."""

    async def check() -> None:
        try:
            known = await deps.keys.known(who.key)
        except Unavailable:
            return  # that is no revocation: ask again in a minute
        if known is None:
            ui.navigate.to("/login")

    ui.timer(KEY_CHECK_SECONDS, check, immediate=False)


def _missing(styles: str) -> Response:
    body = f"""<div class="r-state r-state-plain">{svg("unknown")}<h1>There is no such relationship</h1>
<p>It may have another id, or belong to another tenant.</p>
<a class="r-button" href="/">Back to the portfolio</a></div>"""
    return HTMLResponse(plain_page(styles, "Not found", body), 404)


class _ContentPolicy:
    """Tells browsers to take everything from here, and to frame these pages nowhere."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).setdefault("Content-Security-Policy", CONTENT_POLICY)
            await send(message)

        await self.app(scope, receive, with_policy)
