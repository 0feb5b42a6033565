"""A portfolio to look at: relationships with scores, flags, use, timelines and alerts, the same every time."""

from __future__ import annotations

import random
from collections.abc import Iterator

from shared.domain.alerts.alert import Alert, AlertEntry, AlertState
from shared.domain.columns.months import Month, month_id
from shared.domain.contract.days import day_name, day_of, month_of
from shared.domain.contract.events import DAY, HOUR, MINUTE, Millis, relationship_key
from shared.domain.relationship.facts import Facts, Person, Promise
from shared.domain.relationship.flags import Cause, Counter, Evidence, Severity, StandingFlag, fingerprint
from shared.domain.relationship.state import Band, Directory, RelationshipState, Score, Scores, Windows
from shared.domain.relationship.touchpoints import Touchpoint, touchpoint_id
from shared.storage.memory import MemoryStore
from shared.storage.store import Write
from tests.domain.builders import month_fields, numbers_of

FIRST = (
    *("Alder", "Beacon", "Cobalt", "Delta", "Ember", "Fjord", "Granite", "Harbor", "Iris", "Juniper", "Kestrel"),
    *("Lumen", "Meridian", "Northwind", "Orchid", "Pioneer", "Quartz", "Ridge", "Solstice", "Tundra", "Umbra"),
)
SECOND = (
    *("Analytics", "Biotech", "Capital", "Dynamics", "Energy", "Foods", "Group", "Health", "Industries"),
    *("Logistics", "Media", "Networks", "Partners", "Robotics", "Systems", "Textiles"),
)
LEGAL = ("", " Ltd", " GmbH", " Inc.", " S.A.", " AB", " & Sons", " B.V.")
OWNERS = (
    "Ann Okafor",
    "Ben Lindqvist",
    "Chiara Conti",
    "Dmitri Volkov",
    "Elif Yılmaz",
    "Farah Haddad",
    "George Mensah",
)
SEGMENTS = ("enterprise", "mid-market", "small business", "startup")
FEATURES = ("reports", "exports", "dashboards", "api", "forecasts")
LONG_NAME = (
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft und Söhne, Niederlassung für "
    "Binnenschifffahrt, Elektrifizierung und allgemeine Verwaltung der mittleren Donau Aktiengesellschaft"
)

RED = "acct-1"  # has a usage drop with its evidence, a broken promise, people, a long timeline
LONG = "acct-2"
UNKNOWN = "acct-3"  # has no evidence at all
GREEN_RULE = "seats_nearly_full"
THIN = "acct-4"  # scores 89, by one use and one message long ago


async def seed(store: MemoryStore, tenant: str, now: Millis, count: int = 5_000) -> None:
    """Fill the store with `count` relationships of a tenant; the first ones have months, timelines and alerts."""
    chance = random.Random(7)
    states = [_head(chance, tenant, number, now) for number in range(1, count + 1)]
    assert await store.write([_write("relationships", state) for state in states]) == []
    for state in states[:40]:
        assert await store.write([_write("months", month) for month in _months(chance, state, now)]) == []
        await store.add_touchpoints(list(_timeline(chance, state, now)))
    for alert in _alerts(states[:60], now):
        await store.put_alert(alert, 0)


def _write(collection: str, value: RelationshipState | Month) -> Write:
    return Write(
        collection,
        value.id,
        0,
        {name: getattr(value, name) for name in value.__struct_fields__ if name not in ("id", "rev")},
    )


def _head(chance: random.Random, tenant: str, number: int, now: Millis) -> RelationshipState:
    id = f"acct-{number}"
    index = None if number == 3 or chance.random() < 0.04 else min(99.0, max(6.0, chance.gauss(68, 19)))
    index = {RED: 31.0, THIN: 89.0}.get(id, index)
    name = f"{chance.choice(FIRST)} {chance.choice(SECOND)}{chance.choice(LEGAL)}"
    level = 2 + 40 * chance.random()
    flags = _flags(id, index, now)
    value = _value(chance, index)
    return RelationshipState(
        id=relationship_key(tenant, id),
        tenant=tenant,
        relationship=id,
        partition=0,
        position=number,
        incarnation="i1",
        writer="seed",
        directory=Directory(
            name=LONG_NAME if id == LONG else "" if id == UNKNOWN else name,
            kind=chance.choice(("customer",) * 7 + ("partner", "supplier")),
            segment=chance.choice(SEGMENTS),
            owner="" if number % 37 == 0 else chance.choice(OWNERS),
            stage="build",
            seats=chance.randrange(5, 400),
            renewal_date=day_name(day_of(now) + chance.randrange(10, 300)),
        ),
        first_seen=now - 400 * DAY,
        last_seen=0 if id == UNKNOWN else now - int(chance.expovariate(1 / (3 * DAY))),
        events=chance.randrange(20, 4_000),
        facts=_facts(chance, now) if number <= 60 else Facts(),
        windows=Windows(
            (level * 5, level * 21, level * 64, level * 250), (2, 9, 25, 88), (3, 8, 27, 101), (4, 9, 12, 19)
        ),
        spark=() if id == UNKNOWN else tuple(_level(chance, level, now - (29 - day) * DAY) for day in range(30)),
        scores=Scores(ri=_score(index, 4), rv=_score(value, 2), at=now),
        numbers=THIN_NUMBERS if id == THIN else _numbers(index, value),
        flags=flags,
    )


def _level(chance: random.Random, level: float, at: Millis) -> float:
    weekend = (at // DAY + 3) % 7 >= 5
    return float(round(max(0.0, chance.gauss(level * (0.2 if weekend else 1.0), level * 0.15))))


def _band(index: float | None) -> Band:
    return Band.UNKNOWN if index is None else Band.RED if index <= 50 else Band.YELLOW if index <= 75 else Band.GREEN


def _score(index: float | None, factors: int) -> Score:
    return Score() if index is None else Score((index / 100) ** factors, index, _band(index))


def _value(chance: random.Random, index: float | None) -> float | None:
    return None if index is None else min(99.0, max(3.0, index + chance.gauss(0, 8)))


def _numbers(ri: float | None, rv: float | None) -> tuple[float | None, ...]:
    """What scores of these sizes are made of; of mutual benefit and loyalty nothing is known."""
    if ri is None or rv is None:
        return ()
    at, value = ri / 100, rv / 100
    return numbers_of(
        quality=(min(1.0, at + 0.08), 0.7, min(1.0, at + 0.2), 2.0),
        frequency=(max(0.0, at - 0.12), 0.9, 3.0, 7.0),
        trust=(at, 0.45, 5.0, 1.0, 400.0),
        network=(min(1.0, at + 0.2), 0.6, 4.0, 6.0),
        engagement=(value, 0.8, value, None),
        satisfaction=(min(1.0, value + 0.05), 0.5, min(1.0, value + 0.05)),
    )


THIN_NUMBERS = numbers_of(
    frequency=(0.79, 0.109, 0.0, 0.1),
    mutual_benefit=(1.0, 0.034, 1.0, None, 1.0, None),
    network=(1.0, 0.293, 1.0, 1.0),
    engagement=(1.0, 0.034, 1.0, None),
    loyalty=(0.48, 0.646, 270.0, 0.0),
)


def _flags(id: str, index: float | None, now: Millis) -> dict[str, StandingFlag]:
    if index is None or index > 60:
        return {}
    if id == RED:
        return {
            "feature_decline/exports": StandingFlag(
                "feature_decline", "exports", Severity.CRITICAL, now - 5 * HOUR,
                "“exports” was used 31 times in 7 days where 143 are usual (−78 %).",
                {"seen": 31.0, "expected": 143.0, "change": -0.78, "p": 0.00002}, _drop_evidence(now)),
            "expectation_violated/onboarding": StandingFlag(
                "expectation_violated", "onboarding", Severity.WARNING, now - 2 * DAY,
                "We promised “migration plan for the second plant” by Friday and it is 2 days late.",
                {"days_late": 2.0}, Evidence(("crm#t0", "crm#t1"))),
            GREEN_RULE: StandingFlag(
                GREEN_RULE, "", Severity.INFO, now - 3 * DAY, "19 of 20 seats in use within 30 days.",
                {"people": 19.0, "seats": 20.0}),
        }  # fmt: skip
    severity = Severity.CRITICAL if index < 35 else Severity.WARNING
    reason = f"Silent for {int(80 - index)} business days, usual are 6."
    return {"silence": StandingFlag("silence", "", severity, now - DAY, reason, {"days": 80 - index, "usual": 6.0})}


def _drop_evidence(now: Millis) -> Evidence:
    today = day_of(now)
    return Evidence((), tuple(Counter("exports", day_name(today - back), 4.0 + back % 3) for back in range(6, -1, -1)))


def _facts(chance: random.Random, now: Millis) -> Facts:
    people = {
        f"{name}@example.com": Person(role, now - chance.randrange(1, 60) * DAY)
        for name, role in (
            ("maria.lopez", "champion"),
            ("sam.wu", "admin"),
            ("ivo.novak", ""),
            ("grace.adeyemi", "sponsor"),
        )
    }
    people["lena.fuchs@example.com"] = Person("admin", now - 90 * DAY, "", now - 30 * DAY)
    return Facts(
        people=people,
        promises={
            "p-1": Promise(now - 2 * DAY, "us", now - 20 * DAY, "crm#t0", "Migration plan for the second plant"),
            "p-2": Promise(now + 9 * DAY, "them", now - 3 * DAY, "crm#t1", "Name a new administrator"),
        },
        promises_kept=5,
        promises_broken=1,
    )


def _months(chance: random.Random, state: RelationshipState, now: Millis) -> Iterator[Month]:
    today = day_of(now)
    months: dict[str, dict[int, dict[tuple[str, str], float]]] = {}
    for day in range(today - 200, today + 1):
        counts = months.setdefault(month_of(day), {}).setdefault(int(day_name(day)[8:]), {})
        for at, feature in enumerate(FEATURES, 1):
            level = 26.0 / at
            if state.relationship == RED and feature == "exports" and day > today - 7:
                level *= 0.2
            counts[f"use:{feature}", ""] = _level(chance, level, day * DAY)
    for month, days in months.items():
        yield Month(
            id=month_id(state.tenant, state.relationship, month),
            tenant=state.tenant,
            relationship=state.relationship,
            month=month,
            incarnation="i1",
            partition=0,
            position=1,
            writer="seed",
            **month_fields(days),
        )


KINDS = (
    ("promise.made", "out", {"promise": "Migration plan for the second plant", "due": "2026-01-30"}),
    (
        "message.received",
        "in",
        {"text": "Could you confirm the date? Our board meets on Thursday.", "channel": "email"},
    ),
    ("meeting.held", "both", {"title": "Quarterly review", "minutes": 50}),
    ("ticket.opened", "in", {"ticket": "T-4711", "priority": "high", "text": "Exports time out since Monday"}),
    (
        "message.sent",
        "out",
        {"text": "We have found the cause and will ship a correction tomorrow.", "channel": "email"},
    ),
    ("ticket.resolved", "out", {"ticket": "T-4711"}),
    ("survey.answered", "in", {"instrument": "nps", "score": 7, "text": "Good product, slow answers."}),
    ("invoice.issued", "out", {"amount": 12400, "currency": "EUR"}),
    ("payment.received", "in", {"amount": 12400, "currency": "EUR"}),
    ("person.joined", "fact", {"role": "admin"}),
)


def _timeline(chance: random.Random, state: RelationshipState, now: Millis) -> Iterator[Touchpoint]:
    for number in range(60):
        kind, direction, data = KINDS[number % len(KINDS)]
        yield Touchpoint(
            id=touchpoint_id(state.tenant, state.relationship, f"crm#t{number}"),
            tenant=state.tenant,
            relationship=state.relationship,
            type=kind,
            time=now - number * 31 * HOUR - chance.randrange(HOUR),
            direction=direction,
            person="maria.lopez@example.com" if direction in ("in", "both") else "",
            data=dict(data),
            retracted=number == 4,
            corrected_by="crm#x" if number == 6 else "",
        )


def _alerts(states: list[RelationshipState], now: Millis) -> Iterator[Alert]:
    for number, state in enumerate(states):
        for at, flag in enumerate(state.flags.values()):
            status = (AlertState.OPEN, AlertState.OPEN, AlertState.ACKNOWLEDGED, AlertState.RESOLVED)[number % 4]
            yield an_alert(state, flag, now - (number * 47 + at * 11) * MINUTE, status)


def an_alert(
    state: RelationshipState, flag: StandingFlag, opened: Millis, status: AlertState = AlertState.OPEN
) -> Alert:
    """The alert of a standing flag."""
    timeline = [AlertEntry(opened, "opened", "rapport", "", 1)]
    if status == AlertState.ACKNOWLEDGED:
        timeline.append(AlertEntry(opened + HOUR, "acknowledged", "Ann Okafor", "", 2))
    if status == AlertState.RESOLVED:
        timeline.append(AlertEntry(opened + HOUR, "resolved", "Ann Okafor", "They are back after the holidays.", 2))
    return Alert(
        id=fingerprint(state.tenant, state.relationship, flag.rule, flag.subject),
        tenant=state.tenant,
        relationship=state.relationship,
        name=state.directory.name or state.relationship,
        owner=state.directory.owner,
        rule=flag.rule,
        subject=flag.subject,
        severity=flag.severity,
        state=status,
        reason=flag.reason,
        opened_at=opened,
        moment=opened,
        updated_at=opened,
        cause=Cause("i1", 0, 7),
        numbers=flag.numbers,
        evidence=flag.evidence,
        advice=("Call the champion before writing again.", "Ask what has changed on their side since the last review."),
        kind=state.directory.kind,
        segment=state.directory.segment,
        acknowledged_at=opened + HOUR if status == AlertState.ACKNOWLEDGED else 0,
        acknowledged_by="Ann Okafor" if status == AlertState.ACKNOWLEDGED else "",
        resolved_at=opened + HOUR if status == AlertState.RESOLVED else 0,
        resolved_by="Ann Okafor" if status == AlertState.RESOLVED else "",
        timeline=tuple(timeline),
        published_version=1,
    )
