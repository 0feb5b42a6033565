"""Who is in the portfolio: a pure function of the seed, the number of accounts and a moment."""

from __future__ import annotations

from typing import Any

import msgspec

from shared.domain.contract.days import day_name, day_of
from shared.domain.contract.events import DAY, JsonObject, Millis
from shared.simulator import names
from shared.simulator.chance import between, chance, pick

CUSTOMER_TO_TRY = "acme-robotics"  # whose detractor the visitor posts
PARTNER_TO_TRY = "northwind-systems"  # whose planned price change the visitor posts

USES_A_DAY = 950_000  # of 200 accounts on a weekday: about 11 a second
SHARES = (("customer", 0.80), ("partner", 0.07), ("supplier", 0.05), ("investor", 0.03), ("community", 0.05))
SEGMENTS = (("enterprise", 0.15, (15, 40)), ("mid-market", 0.35, (7, 15)), ("small business", 0.50, (3, 7)))


class Contact(msgspec.Struct, frozen=True):
    """A person on their side."""

    mail: str
    name: str
    role: str


class Cell(msgspec.Struct, frozen=True):
    """A feature in use: `daily` uses on an ordinary weekday."""

    feature: str
    daily: float


class Account(msgspec.Struct, frozen=True):
    """A relationship and its habits.

    `mood` in [-1, 1] colours what they say; `period` is business days from one message of theirs to the next; `noise`
    and `drift` are how far daily use strays and wanders; from day `lift_from` on use is `lift` times the plan.
    """

    id: str
    name: str
    kind: str
    type: str
    segment: str
    owner: str
    seats: int
    contacts: tuple[Contact, ...]
    cells: tuple[Cell, ...]
    mood: float
    period: int
    since: Millis
    renewal: str
    weekend: float = 0.45
    noise: float = 0.06
    drift: float = 0.12
    lift_from: int = 1_000_000
    lift: float = 1.0
    custom: JsonObject = {}

    def directory(self) -> JsonObject:
        """`data` of its relationship.updated."""
        data: dict[str, Any] = {
            "name": self.name,
            "kind": self.kind,
            "segment": self.segment,
            "owner": self.owner,
            "stage": "build" if self.kind in ("customer", "partner") else "review",
            "status": "active",
            "renewal_date": self.renewal,
            "domains": [f"{self.id}.example"],
            "custom": self.custom,
        }
        if self.seats:
            data["seats"] = self.seats
        if self.type:
            data["type"] = self.type
        return data


def portfolio(seed: int, count: int, anchor: Millis) -> list[Account]:
    """`count` accounts as of `anchor` (only tenure and renewals depend on it); the first two have fixed names."""
    accounts: list[Account] = []
    taken: set[str] = set()
    for number in range(count):
        kind = {0: "customer", 1: "partner"}.get(number) or _by_share(SHARES, chance(seed, "kind", number))
        name = {0: "Acme Robotics", 1: "Northwind Systems"}.get(number) or _company(seed, number, kind, taken)
        taken.add(name)
        accounts.append(make_account(seed, name, kind, anchor))
    planned = sum(cell.daily for account in accounts for cell in account.cells)
    return [_scaled(account, USES_A_DAY * count / 200 / planned) for account in accounts]


def make_account(seed: int, name: str, kind: str, anchor: Millis) -> Account:
    """One account; everything about it is drawn from the seed and its name."""
    id = name.lower().replace(" ", "-")
    segment, _, size = _segment(chance(seed, id, "segment"))
    seats = int(between(*size, seed, id, "seats")) if kind == "customer" else 0
    mood = between(-0.7, 1.0, seed, id, "mood")
    people = max(2, round(seats * between(0.55, 0.8, seed, id, "adoption") * (1 + 0.25 * mood))) if seats else 3
    day = day_of(anchor)
    return Account(
        id=id,
        name=name,
        kind=kind,
        type=_type(seed, id, kind, segment),
        segment=segment if kind == "customer" else kind,
        owner=pick(names.OWNERS, seed, id, "owner"),
        seats=seats,
        contacts=tuple(_contact(seed, id, n) for n in range(people)),
        cells=_cells(seed, id, kind, segment, size[1]),
        mood=mood,
        period=_period(seed, id, kind),
        since=(day - int(between(400, 1900, seed, id, "since"))) * DAY,
        renewal=day_name(day + int(between(20, 365, seed, id, "renewal"))),
    )


def _scaled(account: Account, factor: float) -> Account:
    cells = tuple(Cell(cell.feature, max(20.0, cell.daily * factor)) for cell in account.cells)
    return msgspec.structs.replace(account, cells=cells)


def _company(seed: int, number: int, kind: str, taken: set[str]) -> str:
    for attempt in range(1_000):
        what = (seed, "company", number, attempt)
        stem = pick(names.COMPANY_FIRST, *what, 1) + pick(names.COMPANY_LAST, *what, 2)
        name = f"{stem} {pick(names.TRADES[kind], *what, 3)}"
        if name not in taken:
            return name
    raise AssertionError(f"no name is left for account {number}")


def _contact(seed: int, id: str, number: int) -> Contact:
    first, last = pick(names.FIRST, seed, id, "first", number), pick(names.LAST, seed, id, "last", number)
    role = {0: "champion", 1: "admin"}.get(number, "user")
    return Contact(f"{first}.{last}{number or ''}@{id}.example".lower(), f"{first} {last}", role)


def _cells(seed: int, id: str, kind: str, segment: str, size: int) -> tuple[Cell, ...]:
    if kind not in ("customer", "partner"):
        return ()
    many = 1 if kind == "partner" else {"enterprise": 3}.get(segment, 2)
    features = sorted(names.FEATURES, key=lambda feature: chance(seed, id, "feature", feature))[:many]
    return tuple(
        Cell(feature, size * between(20, 90, seed, id, "daily", feature) / (1 + n))
        for n, feature in enumerate(features)
    )


def _period(seed: int, id: str, kind: str) -> int:
    """Business days between their messages; see `touches` for why customers and partners stay at three or fewer."""
    return {
        "supplier": 5,
        "investor": 10,
        "community": 2,
    }.get(kind) or pick((2, 2, 3, 3, 3), seed, id, "period")


def _type(seed: int, id: str, kind: str, segment: str) -> str:
    if kind == "partner":
        return "partner"
    if kind != "customer":
        return ""
    if segment == "enterprise":
        return pick(("bff", "bff", "fair-weather friend"), seed, id, "type")
    return pick(("acquaintance", "acquaintance", "fair-weather friend"), seed, id, "type")


def _by_share(shares: tuple[tuple[str, float], ...], at: float) -> str:
    for name, share in shares:
        if at < share:
            return name
        at -= share
    return shares[0][0]


def _segment(at: float) -> tuple[str, float, tuple[int, int]]:
    for segment in SEGMENTS:
        if at < segment[1]:
            return segment
        at -= segment[1]
    return SEGMENTS[-1]
