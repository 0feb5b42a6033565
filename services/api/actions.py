"""What people do to alerts, through the API or the dashboard: stored by compare-and-set, then published."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from shared.domain.alerts import lifecycle
from shared.domain.alerts.alert import Alert, AlertEntry
from shared.domain.contract.events import Millis
from shared.domain.errors import Conflict, Unavailable
from shared.storage.store import AlertStore
from shared.stream.feed import publish_alert
from shared.stream.ports import Publisher
from shared.telemetry import logger

ATTEMPTS = 10

Transition = Callable[[Alert, Millis], Alert]
Precondition = Callable[[Alert], bool]


class Stale(Exception):
    """The alert is no longer in the version that the caller wanted to change; `version` is the present one."""

    def __init__(self, version: int) -> None:
        super().__init__(f"the alert is at version {version}")
        self.version = version


class KeyReused(Exception):
    """An idempotency key came back with another text."""


class AlertActions:
    """Acknowledge, resolve, comment. Each answers the alert as it is then, or None if the tenant has no such alert.

    `when` says in which version it may be changed (Stale otherwise); without it, a change that lost against another is
    decided anew (Conflict after ATTEMPTS). Raises lifecycle.Refused where the state does not allow it.
    """

    def __init__(self, store: AlertStore, publisher: Publisher, clock: Callable[[], Millis]) -> None:
        self._store = store
        self._publisher = publisher
        self._clock = clock

    async def acknowledge(
        self, tenant: str, id: str, who: str, text: str = "", *, when: Precondition | None = None
    ) -> Alert | None:
        """Take it on."""
        return await self._change(tenant, id, lambda alert, at: lifecycle.acknowledge(alert, who, at, text), when)

    async def resolve(
        self, tenant: str, id: str, who: str, text: str = "", *, when: Precondition | None = None
    ) -> Alert | None:
        """Close it by hand."""
        return await self._change(tenant, id, lambda alert, at: lifecycle.resolve(alert, who, at, text), when)

    async def comment(
        self, tenant: str, id: str, who: str, text: str, *, key: str = "", when: Precondition | None = None
    ) -> Alert | None:
        """Add a remark; with an idempotency key, once. Raises KeyReused if the key came with another text before."""

        def step(alert: Alert, at: Millis) -> Alert:
            return alert if made_before(alert, key, text) else _keyed(lifecycle.comment(alert, who, at, text), key)

        def still(alert: Alert) -> bool:  # a repetition finds the version that it has made itself
            return made_before(alert, key, text) or when is None or when(alert)

        return await self._change(tenant, id, step, still if when else None)

    async def _change(self, tenant: str, id: str, step: Transition, when: Precondition | None) -> Alert | None:
        for _ in range(ATTEMPTS):
            alert = await self._store.alert(tenant, id)
            if alert is None:
                return None
            if when is not None and not when(alert):
                raise Stale(alert.version)
            changed = step(alert, self._clock())
            if changed == alert:
                return alert
            try:
                await self._store.put_alert(changed, alert.version)
            except Conflict:
                continue
            await self._publish(changed)
            return changed
        raise Conflict(f"alert {id} changed {ATTEMPTS} times in between")

    async def _publish(self, alert: Alert) -> None:
        try:
            await publish_alert(self._publisher, self._store, alert)
        except Unavailable as error:
            # Stored it is; the sweep of the alerts service publishes what lags behind.
            logger().warning("alert stored and not published yet", alert=alert.id, error=str(error))


def made_before(alert: Alert, key: str, text: str) -> bool:
    """Whether the comment with this idempotency key is there already; raises KeyReused if its text was another."""
    found = _entry_of(alert, key) if key else None
    if found is not None and found.text != text:
        raise KeyReused
    return found is not None


def _entry_of(alert: Alert, key: str) -> AlertEntry | None:
    return next((entry for entry in alert.timeline if entry.key == key), None)


def _keyed(alert: Alert, key: str) -> Alert:
    *before, last = alert.timeline
    return replace(alert, timeline=(*before, replace(last, key=key))) if key else alert
