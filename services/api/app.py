"""The application: the machine interface, and beside it the dashboard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.types import ASGIApp, Receive, Scope, Send

from services.api.deps import Deps
from services.api.edges import BodyLimit, EncodedSlashes, SecurityHeaders
from services.api.problems import install_problems
from services.api.routes import alerts, health, me, relationships, stream
from services.api.schemas import ProblemDetails
from shared.problems import MEDIA_TYPE

MACHINE_PATHS = ("/v1/", "/healthz", "/readyz", "/metrics", "/openapi.json")

DESCRIPTION = """\
Relationships with their scores and flags, alerts, and a live stream of both.

Authenticate with `Authorization: Bearer rk_api_…`; the key says which tenant you are. Lists answer
`{"items": […], "next": cursor or null}`. Ids go percent-encoded into paths. Errors are `application/problem+json`."""

ERRORS: dict[int, str] = {
    400: "the body cannot be read",
    401: "no valid API key",
    404: "no such thing in this tenant",
    409: "the state does not allow it",
    412: "it has changed since the ETag in If-Match",
    413: "the body is too large",
    422: "a parameter or the body is not valid; `errors` says which",
    503: "the store or the broker does not answer; Retry-After says when to come back",
}


def build_app(deps: Deps, *, dashboard: bool = True) -> FastAPI:
    """The whole site. With `dashboard`, pages answer all other paths.

    The caller runs `deps.feed.run()` beside it, and `site.state.desks.run()` if there are desks.
    """
    site = FastAPI(title="Rapport", openapi_url=None, docs_url=None, redoc_url=None)
    site.state.deps, site.state.desks = deps, None
    if dashboard:
        from services.api.web.mount import mount_dashboard  # NiceGUI sets up global state when it is imported

        site.state.desks = mount_dashboard(site, deps)
    else:
        install_problems(site)
    site.add_middleware(_Machines, api=build_api(deps))
    site.add_middleware(SecurityHeaders)
    return site


def build_api(deps: Deps | None) -> FastAPI:
    """The machine interface alone; without dependencies only its OpenAPI document is of use."""
    api = FastAPI(
        title="Rapport",
        version="1",
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    api.state.deps = deps
    for module in (relationships, alerts, stream, me, health):
        api.include_router(module.router)
    install_problems(api)
    api.add_middleware(BodyLimit)
    api.add_middleware(EncodedSlashes)
    api.openapi = _documented(api)  # type: ignore[method-assign]
    return api


class _Machines:
    """Sends the paths of the machine interface past everything that belongs to the pages."""

    def __init__(self, app: ASGIApp, api: ASGIApp) -> None:
        self.app = app
        self.api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        machine = scope["type"] == "http" and scope["path"].startswith(MACHINE_PATHS)
        await (self.api if machine else self.app)(scope, receive, send)


def _documented(api: FastAPI) -> Callable[[], dict[str, Any]]:
    def openapi() -> dict[str, Any]:
        if api.openapi_schema is None:
            api.openapi_schema = _with_problems(
                get_openapi(
                    title=api.title,
                    version=api.version,
                    description=api.description,
                    routes=api.routes,
                    license_info=api.license_info,
                )
            )
        return api.openapi_schema

    return openapi


def _with_problems(document: dict[str, Any]) -> dict[str, Any]:
    """The document with every error described as the problem that it is answered with."""
    schemas = document["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["ProblemDetails"] = ProblemDetails.model_json_schema()
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            responses = operation["responses"]
            for status in _statuses(path, method):
                responses[str(status)] = {"description": ERRORS[status], "content": content}
    return document


def _statuses(path: str, method: str) -> list[int]:
    if not path.startswith("/v1"):
        return [503] if path == "/readyz" else []
    found = [401, 503]
    found += [422] if path != "/v1/me" else []
    found += [404] if "{" in path else []
    found += [400, 409, 412, 413] if method == "post" else []
    return sorted(found)
