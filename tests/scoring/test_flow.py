"""Scoring from the log to the store and the updates topic."""

from __future__ import annotations

from msgspec.structs import replace

from shared import wire
from shared.domain.contract.days import day_name, day_of
from shared.domain.contract.events import DAY, HOUR, MINUTE, SECOND, event_key
from shared.domain.engine.terms import Terms
from shared.domain.relationship.flags import Severity, Why
from shared.domain.relationship.touchpoints import touchpoint_id
from shared.stream.ports import Message
from shared.stream.quarantine import Quarantined
from shared.stream.topics import INTERACTIONS, QUARANTINE
from tests.scoring.stage import START, Stage, run_clock


async def test_usage_is_counted_by_feature_person_and_day() -> None:
    stage = Stage()
    worker = await stage.worker()
    await stage.say("usage.feature_used", feature="export", person="ana")
    await stage.say("usage.feature_used", feature="export", person="ana", quantity=2)
    await stage.say("usage.feature_used", feature="export", person="bob", at=START - 3 * DAY)
    await stage.say("usage.login", person="ana")
    await worker.drain()
    today = day_of(START)
    assert await stage.counts() == {
        ("use:export", "ana", today): 3,
        ("use:export", "bob", today - 3): 1,
        ("use:login", "ana", today): 1,
    }
    state = await stage.state()
    assert state.windows.usage == (5, 5, 5, 5)
    assert state.windows.people == (2, 2, 2, 2)
    assert state.events == 4


async def test_an_id_counts_once_within_the_window_and_again_after_it() -> None:
    stage = Stage()
    worker = await stage.worker()
    await stage.say("usage.login", id="same")
    await stage.say("usage.login", id="same", received=START + 7 * DAY)
    await stage.say("usage.login", id="same", source="elsewhere")
    await stage.say("usage.login", id="same", received=START + 8 * DAY)
    await worker.drain()
    assert (await stage.counts())["use:login", "", day_of(START)] == 3


async def test_an_id_counts_once_also_after_a_restart() -> None:
    stage = Stage()
    worker = await stage.worker()
    await stage.say("usage.login", id="same")
    await worker.drain()
    await worker.stop()
    await worker.kill()
    await stage.say("usage.login", id="same")
    again = await stage.worker("w2")
    await again.drain()
    assert (await stage.counts())["use:login", "", day_of(START)] == 1


async def test_a_touchpoint_counts_once_for_ever() -> None:
    stage = Stage()
    worker = await stage.worker()
    await stage.say("message.received", id="m1", person="ana", channel="email")
    await worker.drain()
    await worker.kill()
    stage.now += 400 * DAY
    await stage.say("message.received", id="m1", person="ana", channel="email", at=START)
    await (await stage.worker("w2")).drain()
    assert await stage.counts() == {("in:email", "ana", day_of(START)): 1}


async def test_a_daily_total_replaces_and_a_late_one_changes_nothing_twice() -> None:
    stage = Stage()
    worker = await stage.worker()
    await stage.say("usage.feature_used", feature="export", person="ana", quantity=5)
    await stage.say("usage.daily_total", feature="export", day="2026-06-01", quantity=7)
    await stage.say("usage.daily_total", feature="export", person="bob", day="2026-05-31", quantity=2)
    await worker.drain()
    state = await stage.state()
    assert state.windows.usage[0] == 9
    counts = await stage.counts()
    assert counts["use:export", "", day_of(START)] == 7
    assert counts["use:export", "ana", day_of(START)] == 0


async def test_a_detractor_is_told_at_once_and_cleared_by_a_better_answer() -> None:
    stage = Stage()
    worker = await stage.worker()
    key = await stage.say("survey.answered", instrument="nps", score=3, person="ana", text="too slow")
    await worker.drain()
    (change,) = stage.published()
    assert (change.rule, change.subject, change.raised, change.severity) == (
        "nps_detractor",
        "ana",
        True,
        Severity.CRITICAL,
    )
    assert change.reason == "ana answered NPS with 3: “too slow”"
    assert change.evidence.events == (f"test#{key}",)
    await stage.say("survey.answered", instrument="nps", score=9, person="ana")
    await worker.drain()
    assert [change.raised for change in stage.published()] == [True, False]
    assert (await stage.state()).flags == {}


async def test_a_planned_price_change_is_a_flag_for_partners_until_it_takes_effect() -> None:
    stage = Stage()
    worker = await stage.worker()
    for name, kind in (("acct-1", "partner"), ("acct-2", "customer")):
        await stage.say("relationship.updated", name, kind=kind, name=name)
        await stage.say("price.change_planned", name, effective_at="2026-06-03", change="+8 %")
    await worker.drain()
    (change,) = stage.published()
    assert change.reason == (
        "price change (+8 %) planned for a partner, effective 2026-06-03: talk to them before it goes out"
    )
    await run_clock(stage, worker, START + 3 * DAY)
    assert [(change.raised, change.moment) for change in stage.published()] == [
        (True, START),
        (False, START - 9 * HOUR + 2 * DAY),
    ]


async def test_a_promise_warns_then_breaks_then_is_kept() -> None:
    stage = Stage()
    worker = await stage.worker()
    due = START + 2 * DAY
    await stage.say("promise.made", promise="p1", due="2026-06-03T09:00:00Z", text="send the report")
    await worker.drain()
    await run_clock(stage, worker, START + 4 * DAY)
    assert [(change.severity, change.moment) for change in stage.published()] == [
        (Severity.WARNING, due - DAY),
        (Severity.CRITICAL, due),
    ]
    assert stage.published()[1].reason == "promise was due 2026-06-03 09:00 UTC and not kept: send the report"
    await stage.say("promise.kept", promise="p1")
    await worker.drain()
    await run_clock(stage, worker, stage.now + 2 * HOUR)
    assert [change.raised for change in stage.published()] == [True, True, False]


async def test_silence_is_found_by_the_clock_at_its_own_moment() -> None:
    stage = Stage()
    worker = await stage.worker()
    for day in (0, 1, 2, 3, 4, 7, 8):
        stage.now = START + day * DAY
        await stage.say("message.received", person="dana", channel="email")
    await stage.say("person.role_changed", person="dana", role="champion")
    await worker.drain()
    await run_clock(stage, worker, START + 30 * DAY)
    silent = [change for change in stage.published() if change.rule == "silence"]
    assert [(change.raised, change.moment) for change in silent] == [(True, START + 15 * DAY)]
    assert silent[0].reason == "dana (champion) silent for 5 business days, usual gap 1"


async def test_history_raises_nothing_for_the_past_but_stands_on_the_relationship() -> None:
    stage = Stage()
    worker = await stage.worker()
    for day in range(300, 200, -2):
        await stage.say("message.received", person="dana", at=START - day * DAY, backfill=True)
    await stage.say("promise.made", promise="p", due="2026-06-01T10:00:00Z", at=START - 200 * DAY, backfill=True)
    await worker.drain()
    await run_clock(stage, worker, START + 30 * MINUTE, step=MINUTE)
    state = await stage.state()
    assert state.flags["silence"].suppressed
    assert [change for change in stage.published() if not change.suppressed] == []
    await run_clock(stage, worker, START + 2 * HOUR, step=MINUTE)
    assert [(change.rule, change.moment) for change in stage.published() if not change.suppressed] == [
        ("expectation_violated", START + HOUR)
    ]


async def test_a_collapse_of_use_is_found_within_the_hour() -> None:
    stage = Stage()
    worker = await stage.worker()
    for day in range(100, 0, -1):
        for feature, count in (("export", 100 if day > 6 else 5), ("reports", 50)):
            await stage.say(
                "usage.daily_total",
                day=_day(day),
                feature=feature,
                quantity=count,
                at=START - day * DAY,
                backfill=True,
            )
    await worker.drain()
    await run_clock(stage, worker, START + MINUTE, step=MINUTE)
    state = await stage.state()
    assert set(state.flags) == {"usage_drop", "feature_decline/export"}
    assert state.flags["usage_drop"].suppressed
    assert state.flags["feature_decline/export"].severity == Severity.CRITICAL
    assert stage.published() == [change for change in stage.published() if change.suppressed]


async def test_a_collapse_after_going_live_is_told() -> None:
    stage = Stage()
    worker = await stage.worker()
    for day in range(100, 0, -1):
        for feature, count in (("export", 100), ("reports", 50)):
            await stage.say(
                "usage.daily_total",
                day=_day(day),
                feature=feature,
                quantity=count,
                at=START - day * DAY,
                backfill=True,
            )
    await worker.drain()
    await run_clock(stage, worker, START + MINUTE, step=MINUTE)
    assert (await stage.state()).flags == {}
    for _ in range(24 * 5):
        await stage.say("usage.feature_used", feature="reports", quantity=50 / 24)
        await worker.drain()
        await run_clock(stage, worker, stage.now + HOUR)
    changes = [change for change in stage.published() if change.rule == "feature_decline"]
    assert [(change.subject, change.severity) for change in changes] == [
        ("export", Severity.WARNING),
        ("export", Severity.CRITICAL),
    ]
    assert not changes[0].suppressed
    assert "use of export is down 2" in changes[0].reason
    assert changes[0].evidence.counters[0].feature == "export"


def _day(ago: int) -> str:
    return day_name(day_of(START) - ago)


async def test_what_cannot_be_decoded_goes_to_quarantine_and_the_rest_counts() -> None:
    stage = Stage()
    worker = await stage.worker()
    await stage.say("usage.login")
    await stage.log.append(INTERACTIONS, 0, [Message(b"{nonsense", b"acme/acct-1", (), START)])
    await stage.say("promise.made", promise="p", due="some day")
    await stage.say("usage.login")
    await worker.drain()
    reasons = [wire.decode(record.value, Quarantined).reason for record in stage.log.records(QUARANTINE)]
    assert sorted(reasons) == ["invalid_field", "undecodable"]
    assert (await stage.counts())["use:login", "", day_of(START)] == 2


async def test_event_ids_are_dropped_once_they_cannot_matter() -> None:
    stage = Stage()
    worker = await stage.worker()
    await stage.say("usage.login", id="same")
    await worker.drain()
    assert len(await stage.store.dedup_chunks(["acme/acct-1"], 0)) == 1
    stage.now += 7 * DAY
    await worker.flush()
    assert len(await stage.store.dedup_chunks(["acme/acct-1"], 0)) == 1
    stage.now += DAY + HOUR
    await worker.flush()
    assert await stage.store.dedup_chunks(["acme/acct-1"], 0) == []


async def test_event_ids_are_not_dropped_before_what_waits_has_been_read() -> None:
    """The last moment of the day until which an id counts once, read a little after it."""
    midnight = START // DAY * DAY + DAY
    stage = Stage(now=midnight + 10 * SECOND)
    worker = await stage.worker(memory=1)  # nothing stays in memory
    await stage.say("usage.login", id="same")
    await worker.drain()
    await stage.say("usage.login", id="same", received=midnight + 8 * DAY - SECOND)
    stage.now = midnight + 8 * DAY + MINUTE
    await worker.flush()
    await worker.drain()
    assert stage.metrics.registry.get_sample_value("rapport_events_duplicate_total") == 1


async def test_events_of_other_relationships_and_sources_are_not_taken_for_duplicates() -> None:
    stage = Stage()
    worker = await stage.worker()
    said = [
        *(("a", "b/c", "1"), ("a/b", "c", "0"), ("a/b", "c", "1"), ("a%2Fb", "c", "1")),
        *(("a", "s#x", "1"), ("a", "s", "x#1")),
    ]
    for relationship, source, id in said:
        await stage.say("message.received", relationship, source=source, id=id, person="ana")
        await worker.drain()
    for relationship, source, id in said:
        key = touchpoint_id("acme", relationship, event_key(source, id))
        entry = (await stage.store.touchpoints([key]))[key]
        assert (entry.relationship, entry.event) == (relationship, event_key(source, id))
    assert [(await stage.state(name)).windows.inbound[0] for name in ("a", "a/b", "a%2Fb")] == [3, 2, 1]


async def test_usage_is_not_retracted_whether_or_not_its_retraction_was_stored_before_it_came() -> None:
    for apart in (False, True):
        stage = Stage()
        worker = await stage.worker()
        await stage.say("event.retracted", about="u1")
        if apart:
            await worker.drain()
        await stage.say("usage.login", id="u1")
        await worker.drain()
        assert (await stage.counts())["use:login", "", day_of(START)] == 1


async def test_a_promise_of_today_that_breaks_while_history_is_loaded_is_told() -> None:
    stage = Stage()
    worker = await stage.worker()
    await stage.say("promise.made", promise="today", due="2026-06-01T09:10:00Z")
    await stage.say("promise.made", promise="old", due="2026-05-01T09:10:00Z", at=START - 60 * DAY, backfill=True)
    for second in range(0, 20 * 60, 3):
        stage.now = START + second * SECOND
        await stage.say("message.received", at=START - 300 * DAY + second * MINUTE, backfill=True)
    await worker.drain()
    await run_clock(stage, worker, stage.now + MINUTE, step=MINUTE)
    published = [
        (change.subject, change.suppressed) for change in stage.published() if change.rule == "expectation_violated"
    ]
    assert sorted(published) == [("old", True), ("today", False)]


async def test_a_flag_of_an_event_rule_is_cleared_once_the_rule_is_switched_off() -> None:
    stage = Stage()
    worker = await stage.worker()
    await stage.say("survey.answered", instrument="nps", score=3, person="ana")
    await worker.drain()
    await worker.kill()
    playbook = stage.terms.playbook
    off = replace(playbook.rules["nps_detractor"], enabled=False)
    stage.terms = Terms(replace(playbook, rules={**playbook.rules, "nps_detractor": off}), phase=lambda id: 0)
    await run_clock(stage, await stage.worker("w2"), START + 2 * HOUR)
    assert [(change.raised, change.moment) for change in stage.published()] == [(True, START), (False, START + HOUR)]
    assert stage.published()[-1].why == Why.RULE_OFF


async def test_a_rule_switched_off_and_on_again_alerts_nobody_of_loaded_history() -> None:
    stage = Stage()
    worker = await stage.worker()
    for day in range(40, 25, -1):
        await stage.say("message.received", person="ana", at=START - day * DAY, backfill=True)
    await worker.drain()
    await run_clock(stage, worker, START + HOUR)
    playbook = stage.terms.playbook
    off = replace(playbook, rules={**playbook.rules, "silence": replace(playbook.rules["silence"], enabled=False)})
    for days, book in ((2, off), (4, playbook)):
        await worker.kill()
        stage.terms = Terms(book, phase=lambda id: 0)
        worker = await stage.worker(f"w{days}")
        await run_clock(stage, worker, START + days * DAY)
    assert [(one.raised, one.suppressed, one.why) for one in stage.published() if one.rule == "silence"] == [
        (True, True, Why.ENDED),
        (False, False, Why.RULE_OFF),
        (True, True, Why.ENDED),
    ]


async def test_a_correction_of_nothing_but_the_time_does_not_swallow_the_event_that_it_came_before() -> None:
    stage = Stage()
    worker = await stage.worker()
    await stage.say("event.corrected", about="m1", replacement={"time": "2026-05-01T00:00:00Z"})
    await stage.say("message.received", id="m1", person="ana", channel="email")
    await worker.drain()
    assert await stage.counts() == {("in:email", "ana", day_of(START)): 1}
