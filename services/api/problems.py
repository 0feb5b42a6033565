"""Errors as problem documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from shared.domain.errors import Conflict, Unavailable
from shared.problems import MEDIA_TYPE, RETRY_AFTER_SECONDS, problem_document
from shared.telemetry import logger


class Problem(Exception):
    """An answer that is not the one asked for: HTTP status, slug of the problem's type, and what to do about it."""

    def __init__(
        self, status: int, slug: str, detail: str, *, headers: Mapping[str, str] | None = None, **extra: Any
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.slug = slug
        self.detail = detail
        self.headers = dict(headers or {})
        self.extra = extra


def problem_response(request: Request, problem: Problem) -> JSONResponse:
    """The problem document for a request."""
    body = problem_document(problem.status, problem.slug, problem.detail, instance=request.url.path, **problem.extra)
    return JSONResponse(body, problem.status, problem.headers, MEDIA_TYPE)


def unavailable(detail: str, **extra: Any) -> Problem:
    """503 that asks to come back in a moment."""
    return Problem(503, "unavailable", detail, headers={"Retry-After": str(RETRY_AFTER_SECONDS)}, **extra)


@contextmanager
def refused_by_store() -> Iterator[None]:
    """A cursor or filter that the store does not understand is the caller's error: 422 instead of ValueError."""
    try:
        yield
    except ValueError as error:
        field, _, message = str(error).partition(": ")
        raise Problem(
            422,
            "invalid",
            f"Correct and send again: query {error}",
            errors=[{"in": "query", "field": field, "message": message}],
        ) from error


def install_problems(app: FastAPI) -> None:
    """Answer every error of `app` as a problem document."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(Unavailable, _on_unavailable)
    app.add_exception_handler(Conflict, _on_conflict)
    app.add_exception_handler(Exception, _on_defect)


async def _on_problem(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Problem)
    return problem_response(request, error)


_HTTP = {
    400: ("malformed", "The request cannot be read: send a JSON body in UTF-8 with Content-Type: application/json."),
    404: ("not-found", "There is nothing at this path. GET /openapi.json lists the paths that there are."),
    405: ("method-not-allowed", "This path does not take this method; the header Allow names those that it takes."),
}


async def _on_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    slug, detail = _HTTP.get(error.status_code, ("malformed", str(error.detail)))
    return problem_response(request, Problem(error.status_code, slug, detail, headers=error.headers))


async def _on_validation(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    errors = [
        {"in": str(item["loc"][0]), "field": ".".join(map(str, item["loc"][1:])), "message": item["msg"]}
        for item in error.errors()
    ]
    named = "; ".join(f"{item['in']} {item['field']}: {item['message']}".replace(" :", ":") for item in errors)
    return problem_response(request, Problem(422, "invalid", f"Correct and send again: {named}", errors=errors))


async def _on_unavailable(request: Request, error: Exception) -> JSONResponse:
    logger().warning("unavailable", path=request.url.path, error=str(error))
    return problem_response(request, unavailable("The store or the broker does not answer: try again in a moment."))


async def _on_conflict(request: Request, error: Exception) -> JSONResponse:
    detail = "Others keep changing this at the same moment: read it again and repeat what is still wanted."
    return problem_response(request, Problem(409, "conflict", detail))


async def _on_defect(request: Request, error: Exception) -> JSONResponse:
    detail = "This is a defect in Rapport. The service's log names it; sending the request again may or may not help."
    return problem_response(request, Problem(500, "defect", detail))
