"""Logs and metrics. Metric names follow Prometheus conventions; every service registers the whole table."""

from __future__ import annotations

import logging
import sys

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)  # seconds
SIZE_BUCKETS = (1, 10, 100, 1_000, 5_000, 10_000, 50_000, 100_000)  # events


class Metrics:
    """The metrics of one service, in a registry of its own."""

    def __init__(self, service: str, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.service = service

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"rapport_{name}", text, labels, registry=self.registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"rapport_{name}", text, labels, registry=self.registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"rapport_{name}", text, labels, registry=self.registry, buckets=buckets)

        self.events_in = counter("events_in_total", "Events taken in, by topic or HTTP route.", "source")
        self.events_out = counter("events_out_total", "Events handed on, by topic or channel.", "target")
        self.quarantined = counter("events_quarantined_total", "Events put into quarantine, by reason.", "reason")
        self.duplicates = counter("events_duplicate_total", "Events dropped because their id had counted already.")
        self.lag = gauge("consumer_lag_records", "Records not yet read, by topic and partition.", "topic", "partition")
        self.batch_size = histogram("batch_size_events", "Events in one batch.", SIZE_BUCKETS, "source")
        self.event_to_state = histogram(
            "event_to_state_seconds",
            "From the receipt of the oldest event of a flush, by partition, until its state is stored.",
            LATENCY_BUCKETS,
        )
        self.event_to_alert = histogram(
            "event_to_alert_seconds", "From an event's receipt until its alert is stored.", LATENCY_BUCKETS, "rule"
        )
        self.store_errors = counter("store_errors_total", "Calls to the store that failed, by operation.", "operation")
        self.resident_relationships = gauge(
            "resident_relationships", "Relationships that a scoring worker holds in memory."
        )
        self.resident_ids = gauge("resident_event_ids", "Event ids that a scoring worker holds in memory.")
        self.resident_bytes = gauge(
            "resident_bytes", "Memory that both take, about; half of RAPPORT_MEMORY_MB is for them."
        )
        self.delivery_errors = counter("delivery_errors_total", "Deliveries that failed, by channel.", "channel")
        self.outbox_pending = gauge("outbox_pending_deliveries", "Deliveries waiting in the outbox.")
        self.outbox_age = gauge("outbox_oldest_age_seconds", "Age of the oldest delivery waiting in the outbox.")
        self.open_alerts = gauge("open_alerts", "Alerts that are open or acknowledged, by severity.", "severity")


def of_process(metrics: Metrics) -> Metrics:
    """These with what every Prometheus client shows of its process (process_*): memory, CPU time, open files."""
    ProcessCollector(registry=metrics.registry)
    return metrics


def configure_logging(service: str, level: str = "info", form: str = "json") -> None:
    """Log to standard error: JSON lines, or for people with `console`."""
    renderer = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks if form == "json" else structlog.processors.StackInfoRenderer(),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")


def logger() -> structlog.typing.FilteringBoundLogger:
    """The logger to use; bound with the service's name."""
    bound: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return bound
