"""The alert inbox: live, with what one does to an alert."""

from __future__ import annotations

import msgspec
from nicegui import ui
from nicegui.events import GenericEventArguments

from services.api.actions import AlertActions
from services.api.auth import Principal
from services.api.deps import Deps
from services.api.web.desk import Changes, Desk
from services.api.web.layout import Look, frame, live
from services.api.web.theme import RULES
from services.api.web.words import touchpoint_words
from shared.domain.alerts import Alert
from shared.domain.errors import Conflict, Unavailable
from shared.domain.events import JsonObject
from shared.domain.lifecycle import Refused
from shared.domain.present import alert_json
from shared.domain.touchpoints import touchpoint_id

MAX_COMMENT = 4_000
EVIDENCE_SHOWN = 20


def inbox_page(look: Look, who: Principal, desk: Desk, deps: Deps, actions: AlertActions) -> None:
    """Build the page for this client."""
    with frame(look, "alerts", "Alerts", who, desk, ("inbox.js",)):
        inbox = ui.element("rapport-inbox")
        inbox.props["rules"] = msgspec.json.encode({str(rule): words for rule, words in RULES.items()}).decode()

        async def act(event: GenericEventArguments) -> None:
            asked = event.args["detail"]
            try:
                alert = await _act(actions, who, asked)
            except (Refused, Conflict) as error:
                inbox.run_method("refused", str(error))
            except Unavailable:
                inbox.run_method("refused", "The store does not answer: nothing was changed. Try again in a moment.")
            else:
                if alert is None:
                    inbox.run_method("refused", "This alert does not exist any more.")
                else:
                    desk.alert_changed(alert_json(alert))

        async def explain(event: GenericEventArguments) -> None:
            id = str(event.args["detail"]["id"])
            try:
                inbox.run_method("evidence", id, await _evidence(deps, who.tenant, id))
            except Unavailable:
                inbox.run_method("refused", "The store does not answer: the evidence cannot be read at the moment.")

        inbox.on("act", act, ["detail"])
        inbox.on("explain", explain, ["detail"])

        def changed(changes: Changes) -> None:
            if changes.reset:
                inbox.run_method("reload")
            elif changes.alerts:
                inbox.run_method("apply", list(changes.alerts))

        live(desk, changed)


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


async def _evidence(deps: Deps, tenant: str, id: str) -> list[JsonObject]:
    alert = await deps.store.alert(tenant, id)
    if alert is None:
        return []
    ids = [touchpoint_id(tenant, alert.relationship, event) for event in alert.evidence.events[:EVIDENCE_SHOWN]]
    found = await deps.store.touchpoints(ids)
    return [msgspec.to_builtins(touchpoint_words(found[one])) for one in ids if one in found]
