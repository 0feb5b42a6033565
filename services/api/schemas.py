"""The shapes of what the API answers and takes. Times are RFC 3339 in UTC; None means unknown or never."""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from services.api.confidence import ENOUGH
from shared.domain.relationship.flags import Why

Item = TypeVar("Item")
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Index = Annotated[float | None, Field(description="0 to 100; null without evidence")]
Sureness = Annotated[
    float | None,
    Field(
        description="Mean confidence, 0 to 1, of the factors that have evidence (loyalty, known of everybody, does not "
        "count); null without a score. "
        f"Below {ENOUGH} the dashboard says “Little evidence” instead of the band."
    ),
]
SeverityName = Literal["info", "warning", "critical"]
BandName = Literal["red", "yellow", "green", "unknown"]
StateName = Literal["open", "acknowledged", "resolved"]


class Shape(BaseModel):
    """Unknown fields in a request are refused, so that a misspelt one is not ignored."""

    model_config = ConfigDict(extra="forbid")


class PageOf(Shape, Generic[Item]):
    """One page of a list; `next` is the cursor of the next one, null at the end."""

    items: list[Item]
    next: str | None


class ProblemDetails(BaseModel):
    """RFC 9457; `detail` says what to do. `errors` names the fields at fault of an invalid request."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: list[dict[str, str]] | None = None


class Me(Shape):
    """Whom the key speaks for."""

    tenant: str
    key: str
    name: str


# --- relationships -----------------------------------------------------------------------------------------------


class FactorOut(Shape):
    """A factor in [0, 1] (null without evidence), how much evidence there is in [0, 1], why, and the inputs."""

    value: float | None
    confidence: float
    reason: str
    inputs: dict[str, float]


class ScoreShort(Shape):
    """A score: raw product, index 0-100, its band (by the index alone), and how sure it is."""

    index: Index
    raw: float | None
    band: BandName
    confidence: Sureness


class ScoreOut(ScoreShort):
    """A score and the factors that it is made of, by name."""

    factors: dict[str, FactorOut]


class ScoresOut(Shape):
    """Relationship Intelligence and Relationship Value, when they were computed, and the version of the weights."""

    ri: ScoreOut
    rv: ScoreOut
    at: Time | None
    weights: str


class FlagShort(Shape):
    """A flag that stands, in one line."""

    rule: str
    subject: str
    severity: SeverityName
    reason: str
    since: Time


class CounterOut(Shape):
    """Evidence from usage: a feature's count on a day, by one person or by everybody.

    `share` is the part of it that counted: a window may begin within its first day.
    """

    feature: str
    day: str
    count: float
    share: float
    person: str | None = None


class EvidenceOut(Shape):
    """Where it can be seen: event ids (`source#id`) of touchpoints, counters of usage."""

    events: list[str]
    counters: list[CounterOut]


class FlagOut(FlagShort):
    """A flag with its numbers and evidence; `suppressed` ones stem from loaded history and raised no alert."""

    numbers: dict[str, float]
    evidence: EvidenceOut
    suppressed: bool


class WindowsOut(Shape):
    """Counts over the last 7, 30, 90 and 365 days, in this order."""

    days: list[int]
    usage: list[float]
    inbound: list[float]
    outbound: list[float]
    people: list[int]


class RelationshipShort(Shape):
    """A relationship in a list. `spark` is the activity of the last 30 days, oldest first."""

    id: str
    name: str
    kind: str
    segment: str
    tier: str
    owner: str
    stage: str
    status: str
    ri: ScoreShort
    rv: ScoreShort
    first_seen: Time | None
    last_seen: Time | None
    next_due_at: Time | None
    events: int
    flag_count: int
    flags: Annotated[list[FlagShort], Field(description="the five most severe")]
    spark: list[float]
    windows: WindowsOut


class PersonOut(Shape):
    """A person on their side."""

    person: str
    role: str
    last_in: Time | None
    left_at: Time | None


class PromiseOut(Shape):
    """An open promise, by us or by them; `event` made it."""

    promise: str
    text: str
    by: str
    due: Time | None
    made_at: Time | None
    broken_at: Time | None
    event: str


class SurveyOut(Shape):
    """The latest answer to an instrument."""

    instrument: str
    score: float
    at: Time | None
    person: str
    event: str


class TicketOut(Shape):
    """An open ticket."""

    ticket: str
    opened_at: Time | None


class FactsOut(Shape):
    """What the touchpoints have left behind."""

    first_touch: Time | None
    last_in: Time | None
    last_out: Time | None
    people: list[PersonOut]
    promises: list[PromiseOut]
    promises_kept: int
    promises_broken: int
    surveys: list[SurveyOut]
    tickets: list[TicketOut]
    escalations: int
    payments: int
    payments_overdue: int
    referrals: int
    outcomes: int
    sentiment: Annotated[float | None, Field(description="mean of all sentiments told, -1 to 1")]


class FeatureOut(Shape):
    """Use of a feature in the last 7 days, and what is usual in 7 days."""

    feature: str
    last_7_days: float
    usual_7_days: float


class DirectoryOut(Shape):
    """What else the directory knows."""

    type: str
    parent: str
    seats: int
    renewal_date: str
    domains: list[str]
    custom: dict[str, Any]


class RelationshipOut(Shape):
    """A relationship with everything that its scores and flags rest on. `clock` is up to when it was evaluated."""

    id: str
    name: str
    kind: str
    segment: str
    tier: str
    owner: str
    stage: str
    status: str
    directory: DirectoryOut
    scores: ScoresOut
    flags: list[FlagOut]
    facts: FactsOut
    features: list[FeatureOut]
    windows: WindowsOut
    spark: list[float]
    first_seen: Time | None
    last_seen: Time | None
    next_due_at: Time | None
    clock: Time | None
    events: int


class TouchpointOut(Shape):
    """An entry of the timeline. `id` is the event's `source#id`; retracted entries stay."""

    id: str
    type: str
    time: Time
    received: Time | None
    direction: Literal["in", "out", "both", "fact"]
    channel: str
    person: str
    data: dict[str, Any]
    backfill: bool
    retracted: bool
    retracted_by: str | None
    corrected_by: str | None


class SeriesOut(Shape):
    """Counts of a metric per day, in the order of `days`; `person` is null where everybody is summed up."""

    metric: str
    person: str | None
    values: list[float]


class MetricsOut(Shape):
    """Daily series; days without a count are 0."""

    days: list[str]
    items: list[SeriesOut]


class ScoreDay(Shape):
    """The indices of the last canonical evaluation on a day."""

    day: str
    ri: Index
    rv: Index


class ScoreHistory(Shape):
    """Days on which scores were computed, oldest first."""

    items: list[ScoreDay]


# --- alerts ------------------------------------------------------------------------------------------------------


class AlertEntryOut(Shape):
    """A line of an alert's own timeline."""

    at: Time
    what: str
    who: str | None
    why: Annotated[str | None, Field(description=f"Of `cleared`, why: one of {', '.join(Why)}; else null")]
    text: str | None


class AlertOut(Shape):
    """An alert. `version` grows with each change and is the ETag; `episode` with each time it was opened again."""

    id: str
    rule: str
    subject: str
    severity: SeverityName
    state: StateName
    relationship: str
    name: str
    owner: str
    kind: str
    segment: str
    reason: str
    numbers: dict[str, float]
    evidence: EvidenceOut
    advice: list[str]
    opened_at: Time
    moment: Time
    acknowledged_at: Time | None
    acknowledged_by: str | None
    resolved_at: Time | None
    resolved_by: str | None
    updated_at: Time
    episode: int
    version: int
    timeline: list[AlertEntryOut]


class AlertDetail(AlertOut):
    """An alert with its closed episodes, oldest first."""

    episodes: list[AlertOut]


class Note(Shape):
    """A remark that goes with an acknowledgement or a resolution; `who` defaults to the key's name."""

    text: Annotated[str, Field(max_length=4000)] = ""
    who: Annotated[str, Field(max_length=200)] = ""


class Comment(Shape):
    """A comment; `who` defaults to the key's name."""

    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]
    who: Annotated[str, Field(max_length=200)] = ""


class Health(Shape):
    """Whether it is well, and each thing that it needs: "ok" or what is wrong and what to do."""

    status: Literal["ok", "unavailable"]
    checks: dict[str, str]
