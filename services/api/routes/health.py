"""/healthz, /readyz, /metrics: for whoever keeps the service running. They need no key and tell no tenant's data."""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from services.api.deps import Wired
from services.api.problems import unavailable
from services.api.schemas import Health
from shared.domain.errors import Unavailable

router = APIRouter(tags=["operation"])


@router.get("/healthz")
async def healthz() -> Health:
    """The process is alive."""
    return Health(status="ok", checks={})


@router.get("/readyz")
async def readyz(deps: Wired) -> Health:
    """It can serve: the store answers, and the feed is being read."""
    checks = {
        "store": "ok",
        "feed": "ok" if deps.feed.ready else "not being read: is Kafka up, and the topics created?",
    }
    try:
        await deps.store.ping()
    except Unavailable as error:
        checks["store"] = str(error)
    if any(word != "ok" for word in checks.values()):
        detail = "Not ready; rapport doctor says more. " + "; ".join(f"{name}: {word}" for name, word in checks.items())
        raise unavailable(detail, checks=checks)
    return Health(status="ok", checks=checks)


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(deps: Wired) -> Response:
    """Prometheus metrics of this process."""
    return Response(generate_latest(deps.metrics.registry), media_type=CONTENT_TYPE_LATEST)
