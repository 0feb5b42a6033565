"""Domain values as the API's shapes."""

from __future__ import annotations

from collections.abc import Mapping

from services.api import schemas as out
from services.api.confidence import ri_confidence, rv_confidence
from shared.domain.alerts.present import time_json
from shared.domain.contract.days import iso
from shared.domain.contract.events import Millis
from shared.domain.relationship.facts import Facts
from shared.domain.relationship.flags import Evidence, Severity, StandingFlag
from shared.domain.relationship.state import Directory, Factor, RelationshipState, Score, Windows
from shared.domain.relationship.touchpoints import Touchpoint
from shared.domain.scores.formulas import explained

WINDOW_DAYS = [7, 30, 90, 365]
SHORT_FLAGS = 5

_RANK = {Severity.CRITICAL: 0, Severity.WARNING: 1, Severity.INFO: 2}


def relationship_short(state: RelationshipState) -> out.RelationshipShort:
    """A relationship as a list shows it."""
    known = state.directory
    flags = _by_severity(state)
    return out.RelationshipShort(
        id=state.relationship,
        name=known.name or state.relationship,
        kind=str(known.kind),
        segment=known.segment,
        tier=known.tier,
        owner=known.owner,
        stage=known.stage,
        status=known.status,
        ri=_score_short(state.scores.ri, ri_confidence(state)),
        rv=_score_short(state.scores.rv, rv_confidence(state)),
        first_seen=time_json(state.first_seen),
        last_seen=time_json(state.last_seen),
        next_due_at=time_json(state.next_due_at),
        events=state.events,
        flag_count=len(flags),
        flags=[_flag_short(flag) for flag in flags[:SHORT_FLAGS]],
        spark=list(state.spark),
        windows=_windows(state.windows),
    )


def relationship_out(state: RelationshipState, features: Mapping[str, tuple[float, float]]) -> out.RelationshipOut:
    """A relationship with everything; `features` as from shared.domain.engine.display."""
    known = state.directory
    return out.RelationshipOut(
        id=state.relationship,
        name=known.name or state.relationship,
        kind=str(known.kind),
        segment=known.segment,
        tier=known.tier,
        owner=known.owner,
        stage=known.stage,
        status=known.status,
        directory=_directory(known),
        scores=_scores(state),
        flags=[_flag(flag) for flag in _by_severity(state)],
        facts=_facts(state.facts),
        features=[
            out.FeatureOut(feature=name, last_7_days=seen, usual_7_days=usual)
            for name, (seen, usual) in sorted(features.items())
        ],
        windows=_windows(state.windows),
        spark=list(state.spark),
        first_seen=time_json(state.first_seen),
        last_seen=time_json(state.last_seen),
        next_due_at=time_json(state.next_due_at),
        clock=time_json(state.clock),
        events=state.events,
    )


def touchpoint_out(entry: Touchpoint) -> out.TouchpointOut:
    """An entry of the timeline."""
    return out.TouchpointOut.model_validate(
        {
            "id": entry.event,
            "type": entry.type,
            "time": iso(entry.time),
            "received": time_json(entry.received),
            "direction": entry.direction,
            "channel": entry.channel,
            "person": entry.person,
            "data": entry.data,
            "backfill": entry.backfill,
            "retracted": entry.retracted,
            "retracted_by": entry.retracted_by or None,
            "corrected_by": entry.corrected_by or None,
        }
    )


def _by_severity(state: RelationshipState) -> list[StandingFlag]:
    return sorted(state.flags.values(), key=lambda flag: (_RANK[flag.severity], -flag.since, flag.rule, flag.subject))


def _score_short(score: Score, confidence: float | None) -> out.ScoreShort:
    return out.ScoreShort(index=score.index, raw=score.raw, band=score.band.value, confidence=confidence)


def _score(score: Score, confidence: float | None) -> out.ScoreOut:
    factors = {name: _factor(factor) for name, factor in score.factors.items()}
    return out.ScoreOut(index=score.index, raw=score.raw, band=score.band.value, confidence=confidence, factors=factors)


def _factor(factor: Factor) -> out.FactorOut:
    return out.FactorOut(
        value=factor.value, confidence=factor.confidence, reason=factor.reason, inputs=dict(factor.inputs)
    )


def _scores(state: RelationshipState) -> out.ScoresOut:
    scores = explained(state)
    return out.ScoresOut(
        ri=_score(scores.ri, ri_confidence(state)),
        rv=_score(scores.rv, rv_confidence(state)),
        at=time_json(scores.at),
        weights=scores.weights,
    )


def _flag_short(flag: StandingFlag) -> out.FlagShort:
    return out.FlagShort(
        rule=flag.rule,
        subject=flag.subject,
        severity=flag.severity.value,
        reason=flag.reason,
        since=iso(flag.since),
    )


def _flag(flag: StandingFlag) -> out.FlagOut:
    return out.FlagOut(
        rule=flag.rule,
        subject=flag.subject,
        severity=flag.severity.value,
        reason=flag.reason,
        since=iso(flag.since),
        numbers=dict(flag.numbers),
        evidence=_evidence(flag.evidence),
        suppressed=flag.suppressed,
    )


def _evidence(evidence: Evidence) -> out.EvidenceOut:
    return out.EvidenceOut(
        events=list(evidence.events),
        counters=[
            out.CounterOut(
                feature=one.feature, day=one.day, count=one.count, share=one.share, person=one.person or None
            )
            for one in evidence.counters
        ],
    )


def _windows(windows: Windows) -> out.WindowsOut:
    return out.WindowsOut(
        days=WINDOW_DAYS,
        usage=list(windows.usage),
        inbound=list(windows.inbound),
        outbound=list(windows.outbound),
        people=list(windows.people),
    )


def _directory(known: Directory) -> out.DirectoryOut:
    return out.DirectoryOut(
        type=known.type,
        parent=known.parent,
        seats=known.seats,
        renewal_date=known.renewal_date,
        domains=list(known.domains),
        custom=known.custom,
    )


def _facts(facts: Facts) -> out.FactsOut:
    return out.FactsOut(
        first_touch=time_json(facts.first_touch),
        last_in=time_json(facts.last_in),
        last_out=time_json(facts.last_out),
        people=_people(facts),
        promises=_promises(facts),
        promises_kept=facts.promises_kept,
        promises_broken=facts.promises_broken,
        surveys=_surveys(facts),
        tickets=[out.TicketOut(ticket=name, opened_at=time_json(at)) for name, at in _oldest_first(facts.tickets)],
        escalations=facts.escalations,
        payments=facts.payments,
        payments_overdue=facts.payments_overdue,
        referrals=facts.referrals,
        outcomes=facts.outcomes,
        sentiment=facts.sentiment_sum / facts.sentiment_count if facts.sentiment_count else None,
    )


def _people(facts: Facts) -> list[out.PersonOut]:
    latest_first = sorted(facts.people.items(), key=lambda pair: (-pair[1].last_in, pair[0]))
    return [
        out.PersonOut(
            person=name, role=person.role, last_in=time_json(person.last_in), left_at=time_json(person.left_at)
        )
        for name, person in latest_first
    ]


def _promises(facts: Facts) -> list[out.PromiseOut]:
    return [
        out.PromiseOut(
            promise=name,
            text=promise.text,
            by=promise.by,
            due=time_json(promise.due),
            made_at=time_json(promise.made_at),
            broken_at=time_json(promise.broken_at),
            event=promise.event,
        )
        for name, promise in sorted(facts.promises.items(), key=lambda pair: (pair[1].due, pair[0]))
    ]


def _surveys(facts: Facts) -> list[out.SurveyOut]:
    return [
        out.SurveyOut(
            instrument=name, score=survey.score, at=time_json(survey.at), person=survey.person, event=survey.event
        )
        for name, survey in sorted(facts.surveys.items())
    ]


def _oldest_first(opened: dict[str, Millis]) -> list[tuple[str, Millis]]:
    return sorted(opened.items(), key=lambda pair: (pair[1], pair[0]))
