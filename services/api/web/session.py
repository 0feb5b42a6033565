"""Signing in with an API key. The signed cookie names the key, never its secret; a revoked key ends the session."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from urllib.parse import parse_qs, quote

from fastapi import FastAPI, Request
from nicegui import __version__
from starlette.responses import HTMLResponse, RedirectResponse, Response

from services.api.auth import Principal
from services.api.deps import Deps
from services.api.web.theme import BOOT, sprite, svg, variables
from shared.domain.errors import Unavailable

SESSION_DAYS = 14
MAX_FORM_BYTES = 4096
_KEY = "key"


async def viewer(request: Request, deps: Deps) -> Principal | None:
    """Who is signed in; None if nobody is, or if the key has been revoked since. Raises Unavailable."""
    key = request.session.get(_KEY)
    return await deps.keys.known(key) if isinstance(key, str) else None


def to_login(request: Request) -> Response:
    """Redirect to the sign-in page, which leads back to where one wanted to go."""
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/login?next={quote(wanted)}", 303)


def add_session_routes(app: FastAPI, deps: Deps, styles: str, entered: Callable[[str], None]) -> None:
    """GET and POST /login, POST /logout. `styles`: address of the style sheet; `entered(tenant)` on signing in."""

    @app.get("/login", include_in_schema=False)
    async def login_page(request: Request, next: str = "/") -> Response:
        return HTMLResponse(_login_html(styles, _inside(next)))

    @app.post("/login", include_in_schema=False)
    async def login(request: Request) -> Response:
        form = await _form(request)
        target = _inside(form.get("next", "/"))
        try:
            found = await deps.keys.principal(form.get("key", "").strip())
        except Unavailable:
            text = "The store does not answer, so the key cannot be checked. Try again in a moment."
            return HTMLResponse(_login_html(styles, target, text), 503)
        if found is None:
            text = "This is not a valid API key. It begins with rk_api_; a write key (rk_write_) cannot sign in."
            return HTMLResponse(_login_html(styles, target, text), 401)
        request.session.clear()
        request.session[_KEY] = found.key
        entered(found.tenant)
        return RedirectResponse(target, 303)

    @app.post("/logout", include_in_schema=False)
    async def logout(request: Request) -> Response:
        request.session.clear()
        return RedirectResponse("/login", 303)


async def _form(request: Request) -> dict[str, str]:
    """Fields of a small urlencoded form; an oversized one reads as empty."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            return {}
    return {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}


def _inside(target: str) -> str:
    """A path of this site, so that nobody can be led elsewhere by a crafted link."""
    return target if target.startswith("/") and not target.startswith(("//", "/\\")) else "/"


def plain_page(styles: str, title: str, body: str) -> str:
    """A page without NiceGUI (signing in, the store being down): HTML that needs nothing but the style sheet."""
    return f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)} · Rapport</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">
<link rel="stylesheet" href="/_nicegui/{__version__}/static/fonts.css">
<style>{variables()}</style><script>{BOOT}</script><link rel="stylesheet" href="{escape(styles)}"></head>
<body class="r-plain">{sprite()}<main class="r-door">
<div class="r-brand">{svg("logo")}<span>Rapport</span></div>{body}</main></body></html>"""


def _login_html(styles: str, target: str, error: str = "") -> str:
    warning = f'<p class="r-error" role="alert">{svg("alert")}<span>{escape(error)}</span></p>' if error else ""
    body = f"""<h1>Sign in</h1>
<p class="r-muted">Paste an API key. Your session keeps its name, not its secret.</p>{warning}
<form method="post" action="/login"><input type="hidden" name="next" value="{escape(target)}">
<label class="r-label" for="key">API key</label>
<input class="r-input" id="key" name="key" type="password" required autofocus autocomplete="current-password"
 placeholder="rk_api_…" spellcheck="false"><button class="r-button r-primary" type="submit">Sign in</button></form>
<p class="r-muted r-small">Started with <code>make demo</code> or <code>rapport up</code>? The key stands in its output
as <code>api_key</code>.</p>"""
    return plain_page(styles, "Sign in", body)


def store_down_html(styles: str) -> str:
    """What a page shows while the store is away; it tries again by itself."""
    body = f"""<meta http-equiv="refresh" content="5"><div class="r-state r-state-plain">{svg("alert")}
<h1>The store does not answer</h1><p>Nothing is lost: events wait in the log until it is back.</p>
<p class="r-muted">This page tries again every 5 seconds. <code>rapport doctor</code> says what is down and what
to do about it.</p>
<a class="r-button" href="">Try now</a></div>"""
    return plain_page(styles, "Store down", body)
