"""The alert inbox: live, with what one does to an alert."""

from __future__ import annotations

import msgspec
from nicegui.events import GenericEventArguments

from services.api.actions import AlertActions
from services.api.auth import Principal
from services.api.deps import Deps
from services.api.web.desk import Changes, Desk
from services.api.web.layout import Look, call, live, shell
from services.api.web.markup import el
from services.api.web.words import TouchpointWords, touchpoint_words
from shared.domain.alerts.alert import Alert
from shared.domain.alerts.lifecycle import Refused
from shared.domain.alerts.present import alert_json
from shared.domain.contract.events import JsonObject
from shared.domain.errors import Conflict, Unavailable
from shared.domain.relationship.touchpoints import touchpoint_id
from shared.domain.rules.table import RULES

TAG = "rapport-inbox"
MAX_COMMENT = 4_000
EVIDENCE_SHOWN = 20


def inbox_page(look: Look, who: Principal, desk: Desk, deps: Deps, actions: AlertActions) -> None:
    """Build the page for this client."""
    rules = msgspec.json.encode({name: rule.title for name, rule in RULES.items()}).decode()
    shell(look, "alerts", "Alerts", who, desk, ("inbox.js",), el(TAG, "", rules=rules))

    def changed(changes: Changes) -> None:
        if changes.reset:
            call(TAG, "reload")
        elif changes.alerts:
            call(TAG, "apply", changes.alerts)

    async def act(event: GenericEventArguments) -> None:
        try:
            alert = await _act(actions, who, event.args["detail"])
        except (Refused, Conflict) as error:
            call(TAG, "refused", str(error))
        except Unavailable:
            call(TAG, "refused", "The store does not answer: nothing was changed. Try again in a moment.")
        else:
            if alert is None:
                call(TAG, "refused", "This alert does not exist any more.")
            else:
                desk.alert_changed(alert_json(alert))

    async def explain(event: GenericEventArguments) -> None:
        id = str(event.args["detail"]["id"])
        try:
            call(TAG, "evidence", id, await _evidence(deps, who.tenant, id))
        except Unavailable:
            call(TAG, "refused", "The store does not answer: the evidence cannot be read at the moment.")

    anchor = live(desk, changed)
    anchor.on("act", act, ["detail"])
    anchor.on("explain", explain, ["detail"])


async def _act(actions: AlertActions, who: Principal, asked: JsonObject) -> Alert | None:
    id, text = str(asked["id"]), str(asked.get("text") or "")[:MAX_COMMENT]
    match asked["action"]:
        case "acknowledge":
            return await actions.acknowledge(who.tenant, id, who.name, text)
        case "resolve":
            return await actions.resolve(who.tenant, id, who.name, text)
        case "comment" if text:
            return await actions.comment(who.tenant, id, who.name, text)
        case other:
            raise Refused(f"There is no action {other!r}.")


async def _evidence(deps: Deps, tenant: str, id: str) -> list[TouchpointWords]:
    alert = await deps.store.alert(tenant, id)
    if alert is None:
        return []
    ids = [touchpoint_id(tenant, alert.relationship, event) for event in alert.evidence.events[:EVIDENCE_SHOWN]]
    found = await deps.store.touchpoints(ids)
    return [touchpoint_words(found[one]) for one in ids if one in found]
