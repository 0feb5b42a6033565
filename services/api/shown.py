"""Domain values as the API's shapes."""

from __future__ import annotations

from collections.abc import Mapping

from services.api import schemas as out
from services.api.sureness import ri_confidence, rv_confidence
from shared.domain.events import Millis
from shared.domain.facts import Facts
from shared.domain.present import time_json
from shared.domain.relationship import Directory, Factor, Head, Score, Windows
from shared.domain.scores import explained
from shared.domain.touchpoints import Touchpoint
from shared.domain.usage import iso
from shared.domain.verdicts import Evidence, Severity, StandingFlag

WINDOW_DAYS = [7, 30, 90, 365]
SHORT_FLAGS = 5

_RANK = {Severity.CRITICAL: 0, Severity.WARNING: 1, Severity.INFO: 2}


def relationship_short(head: Head) -> out.RelationshipShort:
    """A relationship as a list shows it."""
    known = head.directory
    flags = _by_severity(head)
    return out.RelationshipShort(
        id=head.relationship,
        name=known.name or head.relationship,
        kind=str(known.kind),
        segment=known.segment,
        owner=known.owner,
        stage=known.stage,
        status=known.status,
        ri=_score_short(head.scores.ri, ri_confidence(head)),
        rv=_score_short(head.scores.rv, rv_confidence(head)),
        first_seen=time_json(head.first_seen),
        last_seen=time_json(head.last_seen),
        next_due_at=time_json(head.next_due_at),
        events=head.events,
        flag_count=len(flags),
        flags=[_flag_short(flag) for flag in flags[:SHORT_FLAGS]],
        spark=list(head.spark),
        windows=_windows(head.windows),
    )


def relationship_out(head: Head, features: Mapping[str, tuple[float, float]]) -> out.RelationshipOut:
    """A relationship with everything; `features` as from shared.domain.display."""
    known = head.directory
    return out.RelationshipOut(
        id=head.relationship,
        name=known.name or head.relationship,
        kind=str(known.kind),
        segment=known.segment,
        owner=known.owner,
        stage=known.stage,
        status=known.status,
        directory=_directory(known),
        scores=_scores(head),
        flags=[_flag(flag) for flag in _by_severity(head)],
        facts=_facts(head.facts),
        features=[
            out.FeatureOut(feature=name, last_7_days=seen, usual_7_days=usual)
            for name, (seen, usual) in sorted(features.items())
        ],
        windows=_windows(head.windows),
        spark=list(head.spark),
        first_seen=time_json(head.first_seen),
        last_seen=time_json(head.last_seen),
        next_due_at=time_json(head.next_due_at),
        clock=time_json(head.clock),
        events=head.events,
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


def _by_severity(head: Head) -> list[StandingFlag]:
    return sorted(head.flags.values(), key=lambda flag: (_RANK[flag.severity], -flag.since, flag.rule, flag.subject))


def _score_short(score: Score, confidence: float | None) -> out.ScoreShort:
    return out.ScoreShort(index=score.index, raw=score.raw, band=score.band.value, confidence=confidence)


def _score(score: Score, confidence: float | None) -> out.ScoreOut:
    factors = {name: _factor(factor) for name, factor in score.factors.items()}
    return out.ScoreOut(index=score.index, raw=score.raw, band=score.band.value, confidence=confidence, factors=factors)


def _factor(factor: Factor) -> out.FactorOut:
    return out.FactorOut(
        value=factor.value, confidence=factor.confidence, reason=factor.reason, inputs=dict(factor.inputs)
    )


def _scores(head: Head) -> out.ScoresOut:
    scores = explained(head)
    return out.ScoresOut(
        ri=_score(scores.ri, ri_confidence(head)),
        rv=_score(scores.rv, rv_confidence(head)),
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
        quiet=flag.quiet,
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
