"""Every setting of the four services, read from the environment (prefix RAPPORT_) or a `.env` file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.domain.errors import Misconfigured


def _servers(value: str) -> str:
    """Refuses a port that is no number."""
    for server in value.split(","):
        host, _, port = server.strip().rpartition(":")
        if host and not port.isdigit() and not port.endswith("]"):
            raise ValueError("write HOST:PORT, and several of them comma separated")
    return value


Port = Annotated[int, Field(ge=0, le=65535)]
Servers = Annotated[str, AfterValidator(_servers)]


class Settings(BaseSettings):
    """Defaults fit one machine: everything on loopback. Ports of 0 mean: pick a free one (tests)."""

    model_config = SettingsConfigDict(env_prefix="RAPPORT_", env_file=".env", extra="ignore")

    kafka: Servers = Field("127.0.0.1:9092", description="bootstrap servers, comma separated")
    mongo: str = Field("mongodb://127.0.0.1:27017", description="MongoDB connection string")
    database: str = Field("rapport", description="MongoDB database")
    host: str = Field("127.0.0.1", description="address the HTTP servers listen on")
    ingest_port: Port = Field(8081, description="HTTP port of ingest")
    api_port: Port = Field(8080, description="HTTP port of the API and the dashboard")
    metrics_port: Port = Field(0, description="Prometheus port of scoring and alerts; 0 = off")
    partitions: int = Field(64, ge=1, le=1024, description="partitions of rapport.interactions; see docs/running.md")
    instance: str = Field("", description="static group member id; empty = dynamic membership")
    log_format: Literal["json", "console"] = "json"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    evaluation_seconds: int = Field(
        3600,
        ge=1,
        le=86400,
        description="how often what has changed is evaluated by state rules, at most; the demo uses 60",
    )
    dedup_days: int = Field(7, ge=1, le=90, description="days during which an event id counts once")
    flush_min_ms: int = Field(200, ge=1, description="flush interval of scoring when quiet")
    flush_max_ms: int = Field(5000, ge=1, description="flush interval of scoring when saturated")
    memory_mb: int = Field(
        1024, ge=256, description="memory of a scoring worker, MiB: it keeps as many relationships at hand as fit"
    )
    playbook: str = Field("", description="path of a playbook YAML; empty = the built-in one")
    webhook_url: str = Field("", description="where alerts are delivered; empty = log only")
    webhook_secret: SecretStr = Field(SecretStr(""), description="Standard Webhooks secret, whsec_...")
    dashboard_secret: SecretStr = Field(SecretStr(""), description="signs the dashboard's session cookie")
    notice: str = Field("", description="shown above every page of the dashboard, such as: demo data")
    max_event_bytes: int = Field(32 * 1024, ge=1)
    max_batch_bytes: int = Field(4 * 1024 * 1024, ge=1)
    drain_seconds: float = Field(
        0,
        ge=0,
        description="how long scoring reads on when told to stop: for a broker that forgets, as the embedded one",
    )
    session_timeout_ms: int = Field(10_000, ge=1, description="consumer group session timeout")


def read_settings() -> Settings:
    """The settings as they are in the environment. Raises Misconfigured naming each variable that cannot be used; its
    value is not shown, it may be a secret."""
    try:
        return Settings()
    except ValidationError as error:
        wrong = [f"{_variable(one['loc'])}: {one['msg']}." for one in error.errors(include_input=False)]
        raise Misconfigured("\n".join(wrong)) from None


def _variable(place: tuple[int | str, ...]) -> str:
    return f"{Settings.model_config['env_prefix']}{place[0]}".upper()
