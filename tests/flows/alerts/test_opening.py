"""From a verdict on `rapport.updates` to an alert in the store, in the outbox and on the topics."""

from __future__ import annotations

import msgspec
import pytest

from services.alerts.channels import Channel
from shared import wire
from shared.domain.alerts.alert import Alert, AlertState
from shared.domain.alerts.lifecycle import acknowledge, resolve
from shared.domain.errors import Unavailable
from shared.domain.relationship.flags import Severity, StandingFlag
from shared.storage.store import Delivery
from shared.stream.feed import publish_alert
from shared.stream.ports import Message
from shared.stream.quarantine import Quarantined
from shared.stream.topics import ALERTS, QUARANTINE, UPDATES
from tests.flows.alerts.desk import FINGERPRINT, NOW, Budget, Desk, Recorder


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def current(desk: Desk, id: str = FINGERPRINT) -> Alert:
    alert = await desk.store.alert("acme", id)
    assert alert is not None
    return alert


async def test_a_verdict_opens_an_alert_delivers_and_shows_it(desk: Desk) -> None:
    worker = desk.worker()
    await desk.publish(desk.update(desk.change()), received=NOW - 300)
    await worker.drain()

    alert = await current(desk)
    assert (alert.state, alert.reason, alert.opened_at, alert.received) == ("open", "reason 1", NOW, NOW - 300)
    assert alert.advice[0] == "Call your main contact and ask what has changed."
    assert alert.published_version == alert.version == 1
    (delivery,) = await desk.outbox()
    assert delivery == Delivery(
        id="acme/acct-42/usage_drop//1/opened.1/webhook",
        tenant="acme",
        alert=FINGERPRINT,
        channel="webhook",
        body=delivery.body,
        created_at=NOW,
        next_attempt_at=NOW,
    )
    body = msgspec.json.decode(delivery.body)
    assert (body["type"], body["timestamp"]) == ("alert.opened", "2026-01-01T00:00:00.000Z")
    assert (body["data"]["id"], body["data"]["evidence"]["events"]) == (FINGERPRINT, ["crm#1"])
    (item,) = desk.feed()
    assert (item.tenant, item.id, item.version) == ("acme", FINGERPRINT, 1)
    assert msgspec.json.decode(item.payload)["opened_at"] == "2026-01-01T00:00:00.000Z"
    (record,) = desk.log.records(ALERTS)
    assert record.key == FINGERPRINT.encode()
    assert wire.decode(record.value, Alert).reason == "reason 1"
    assert worker.member.committed == {0: 1}
    assert worker.value("rapport_event_to_alert_seconds_sum", rule="usage_drop") == 0.3
    assert worker.value("rapport_events_out_total", target=ALERTS) == 1


async def test_scores_go_to_the_feed_once_a_flush(desk: Desk) -> None:
    worker = desk.worker()
    await desk.publish(desk.update(), desk.update(relationship="acct-7"))
    desk.now += 1_000
    await desk.publish(desk.update())
    await worker.drain()
    assert [(item.id, item.version) for item in desk.feed("score")] == [("acct-42", NOW + 1_000), ("acct-7", NOW)]
    assert msgspec.json.decode(desk.feed("score")[0].payload) == {
        "relationship": "acct-42",
        "name": "Globex",
        "ri": 71.5,
        "rv": 40.0,
        "band": "yellow",
        "at": "2026-01-01T00:00:01.000Z",
    }


async def test_a_redelivered_update_opens_once(desk: Desk) -> None:
    update = desk.update(desk.change())
    for _ in range(3):
        await desk.publish(update)
    worker = desk.worker()
    await worker.drain()
    await desk.publish(update)
    await worker.drain()
    assert (await current(desk)).version == 1
    assert len(await desk.outbox()) == 1
    assert [item.version for item in desk.feed()] == [1]


async def test_a_whole_life_in_one_batch_is_told_step_by_step(desk: Desk) -> None:
    worker = desk.worker()
    changes = [desk.change(), desk.change(severity=Severity.CRITICAL), desk.change(raised=False), desk.change()]
    await desk.publish(desk.update(*changes))
    await worker.drain()
    alert = await current(desk)
    assert (alert.state, alert.episode, alert.version) == ("open", 2, 4)
    assert [(one.episode, one.state) for one in await desk.store.episodes("acme", FINGERPRINT)] == [(1, "resolved")]
    bodies = {delivery.id: msgspec.json.decode(delivery.body) for delivery in await desk.outbox()}
    assert {id: (body["type"], body["data"]["state"], body["data"]["severity"]) for id, body in bodies.items()} == {
        f"{FINGERPRINT}/1/opened.1/webhook": ("alert.opened", "open", "warning"),
        f"{FINGERPRINT}/1/escalated.2/webhook": ("alert.escalated", "open", "critical"),
        f"{FINGERPRINT}/1/cleared.3/webhook": ("alert.cleared", "resolved", "critical"),
        f"{FINGERPRINT}/2/reopened.4/webhook": ("alert.reopened", "open", "warning"),
    }
    assert [item.version for item in desk.feed()] == [1, 2, 3, 4]


async def test_loaded_history_raises_nothing(desk: Desk) -> None:
    worker = desk.worker()
    await desk.publish(desk.update(desk.change(suppressed=True)))
    await worker.drain()
    assert await desk.store.alert("acme", FINGERPRINT) is None
    assert await desk.outbox() == []
    assert desk.feed() == []


async def test_other_words_of_a_standing_flag_renew_its_alert_and_nobody_is_told(desk: Desk) -> None:
    worker = desk.worker()
    raised = desk.change()
    await desk.publish(desk.update(raised))
    await worker.drain()
    words = StandingFlag(
        raised.rule,
        raised.subject,
        raised.severity,
        raised.moment,
        reason="it goes on",
        numbers={"seen": 3.0},
        cause=msgspec.structs.replace(raised.cause, position=raised.cause.position + 1),
    )
    desk.position += 1  # the record of these words
    update = msgspec.structs.replace(desk.update(), standing=(words,))
    for _ in range(2):  # delivered at least once
        await desk.publish(update)
        await worker.drain()
    alert = await current(desk)
    assert (alert.reason, alert.numbers, alert.state, alert.version) == ("it goes on", {"seen": 3.0}, "open", 2)
    assert [entry.what for entry in alert.timeline] == ["opened"]
    assert len(await desk.outbox()) == 1
    assert [item.version for item in desk.feed()] == [1, 2]
    await desk.publish(desk.update(desk.change(raised=False)))
    await desk.publish(update)
    await worker.drain()
    assert (await current(desk)).state == "resolved"


async def test_each_subject_has_an_alert_of_its_own(desk: Desk) -> None:
    worker = desk.worker()
    changes = [desk.change(rule="feature_decline", subject=subject) for subject in ("reports", "a/b")]
    await desk.publish(desk.update(*changes))
    await worker.drain()
    found = await desk.store.alerts(["acme/acct-42/feature_decline/reports", "acme/acct-42/feature_decline/a%2Fb"])
    assert sorted(alert.subject for alert in found.values()) == ["a/b", "reports"]


async def test_a_rule_the_playbook_does_not_know_is_shown_and_told_to_nobody(desk: Desk) -> None:
    worker = desk.worker()
    await desk.publish(desk.update(desk.change(rule="from_the_future")))
    await worker.drain()
    alert = await current(desk, "acme/acct-42/from_the_future/")
    assert (alert.published_version, alert.advice) == (1, ())
    assert await desk.outbox(alert.id) == []


async def test_only_channels_that_are_set_up_are_delivered_to(desk: Desk) -> None:
    channels: dict[str, Channel] = {"log": Recorder()}
    worker = desk.worker(channels)
    await desk.publish(desk.update(desk.change()))
    await worker.drain()
    assert [delivery.channel for delivery in await desk.outbox()] == ["log"]


async def test_what_a_person_does_meanwhile_is_built_upon(desk: Desk) -> None:
    worker = desk.worker()
    await desk.publish(desk.update(desk.change()))
    await worker.drain()
    alert = await current(desk)
    put = desk.store.put_alert
    stale = {"left": 1}

    async def put_after_a_person(changed: Alert, expected: int) -> None:
        if stale.pop("left", 0):
            await put(acknowledge(alert, "eva", NOW), 1)
        await put(changed, expected)

    desk.store.put_alert = put_after_a_person  # type: ignore[method-assign]
    await desk.publish(desk.update(desk.change(severity=Severity.CRITICAL)))
    await worker.drain()
    alert = await current(desk)
    assert (alert.state, alert.acknowledged_by, alert.severity, alert.version) == (
        AlertState.ACKNOWLEDGED,
        "eva",
        Severity.CRITICAL,
        3,
    )
    assert alert.published_version == 3


async def test_a_person_resolves_and_the_rule_fires_again(desk: Desk) -> None:
    worker = desk.worker()
    await desk.publish(desk.update(desk.change()))
    await worker.drain()
    resolved = resolve(await current(desk), "eva", NOW + 5)
    await desk.store.put_alert(resolved, 1)
    await publish_alert(desk.log.publisher(), desk.store, resolved)
    assert (await current(desk)).published_version == 2
    await desk.publish(desk.update(desk.change()))
    await worker.drain()
    alert = await current(desk)
    assert (alert.state, alert.episode) == ("open", 2)
    assert [delivery.id.split("/")[5] for delivery in await desk.outbox()] == ["opened.1", "reopened.3"]


async def test_what_cannot_be_decoded_goes_to_quarantine_and_the_rest_is_applied(desk: Desk) -> None:
    worker = desk.worker()
    await desk.log.append(UPDATES, 0, [Message(b'{"updates": 7}')])
    await desk.publish(desk.update(desk.change()))
    await worker.drain()
    assert (await current(desk)).state == "open"
    (record,) = desk.log.records(QUARANTINE)
    item = wire.decode(record.value, Quarantined)
    assert (item.source, item.reason, item.origin) == ("alerts", "undecodable", "rapport.updates/0/0")
    assert item.original == b'{"updates": 7}'
    assert worker.value("rapport_events_quarantined_total", reason="undecodable") == 1


async def test_an_outage_is_waited_out(desk: Desk) -> None:
    def gone(call: str) -> Exception:
        return Unavailable(call)

    budget = Budget(5, gone)
    worker = desk.worker(budget=budget)
    await desk.publish(desk.update(desk.change()))

    def back_in_time() -> None:
        if len(worker.pauses) == 8:
            budget.left = 1_000

    worker.paused = back_in_time
    await worker.drain()
    assert worker.pauses == [0.05, 0.2, 0.5, 1.0, 2.0, 5.0, 5.0, 5.0]
    assert worker.value("rapport_store_errors_total", operation="alerts") == 8
    assert (await current(desk)).published_version == 1
    assert len(await desk.outbox()) == 1


async def test_partitions_that_were_lost_are_forgotten(desk: Desk) -> None:
    worker = desk.worker()
    await desk.publish(desk.update(desk.change()))
    await worker.member.step()
    await worker.processor.revoked([0])
    assert await worker.processor.flush() == {}
    assert await desk.store.alert("acme", FINGERPRINT) is None
