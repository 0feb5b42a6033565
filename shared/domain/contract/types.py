"""The event types: one row a type says all that the contract knows of it (see declaration.py for how)."""

from __future__ import annotations

from shared.domain.contract.declaration import (
    GENERIC,
    Direction,
    EventType,
    Fields,
    Required,
    correction,
    directory,
    touchpoint,
    usage,
)
from shared.domain.contract.demands import day_has_begun, replacement_is_an_event, score_fits_instrument
from shared.domain.contract.events import JsonObject, Millis
from shared.domain.contract.kinds import (
    CHANGE,
    COUNT,
    CURRENCY,
    DAY_OF,
    INSTRUMENT,
    MOMENT,
    NAME,
    NAMES,
    NUMBER,
    OBJECT,
    QUANTITY,
    REPLACEMENT,
    SIDE,
    TEXT,
    WHOLE,
)

_IN, _OUT, _BOTH, _FACT = Direction.INBOUND, Direction.OUTBOUND, Direction.MUTUAL, Direction.FACT

_MEETING: Fields = {"minutes": COUNT}
_WANTS: Fields = {"wants": TEXT}
_TICKET: Fields = {"ticket": Required(NAME), "priority": NAME}
_MONEY: Fields = {"amount": Required(NUMBER), "currency": Required(CURRENCY)}
_INVOICE: Fields = {**_MONEY, "due": MOMENT}
_ORDER: Fields = {**_MONEY, "units": NUMBER}
_CONTRACT: Fields = {"value": NUMBER, "currency": CURRENCY, "seats": WHOLE, "renewal_date": MOMENT, "change": CHANGE}
_PLANNED: Fields = {"change": CHANGE, "effective_at": Required(MOMENT)}
_PROMISE: Fields = {"promise": Required(NAME), "due": MOMENT, "by": SIDE}
_PERSON: Fields = {"person": Required(NAME), "role": NAME}


def _replaced(data: JsonObject, now: Millis, where: str) -> None:
    replacement_is_an_event(data, now, where, EVENT_TYPES)


EVENT_TYPES: dict[str, EventType] = {
    "usage.feature_used": usage("They used a feature.", {"feature": Required(NAME)}),
    "usage.login": usage("They logged in: a use of the feature `login`."),
    "usage.api_called": usage("They called the API: a use of the feature `api_called`."),
    "usage.daily_total": usage(
        "How much a feature was used on a day: replaces what was counted.",
        {"day": Required(DAY_OF), "feature": Required(NAME), "quantity": Required(QUANTITY)},
        day_has_begun,
    ),
    "message.sent": touchpoint(_OUT, "We wrote to them."),
    "message.received": touchpoint(_IN, "They wrote to us."),
    "meeting.held": touchpoint(_BOTH, "We met.", _MEETING),
    "meeting.missed": touchpoint(_FACT, "Somebody did not come to a meeting.", _MEETING),
    "meeting.cancelled": touchpoint(_FACT, "A meeting was called off.", _MEETING),
    "meeting.scheduled": touchpoint(_FACT, "A meeting was agreed on.", _MEETING),
    "interview.recorded": touchpoint(_BOTH, "We asked them what they want.", _WANTS),
    "expectation.stated": touchpoint(_IN, "They said what they expect.", _WANTS),
    "ticket.opened": touchpoint(_IN, "They asked for help.", _TICKET),
    "ticket.replied": touchpoint(_OUT, "We answered in a ticket.", _TICKET),
    "ticket.escalated": touchpoint(_IN, "They took a ticket further up.", _TICKET),
    "ticket.resolved": touchpoint(_OUT, "We settled a ticket.", _TICKET),
    "ticket.reopened": touchpoint(_IN, "They opened a settled ticket again.", _TICKET),
    "survey.answered": touchpoint(
        _IN,
        "They answered a survey: `score` from 0 to 10 for nps (a whole number) and enps.",
        {"instrument": Required(INSTRUMENT), "score": Required(NUMBER)},
        score_fits_instrument,
    ),
    "invoice.issued": touchpoint(_OUT, "We billed them.", _INVOICE),
    "payment.received": touchpoint(_IN, "They paid.", _INVOICE),
    "payment.overdue": touchpoint(_FACT, "A payment is late.", _INVOICE),
    "order.placed": touchpoint(_IN, "They ordered.", _ORDER),
    "order.returned": touchpoint(_IN, "They sent an order back.", _ORDER),
    "contract.signed": touchpoint(_BOTH, "A contract was signed.", _CONTRACT),
    "contract.renewed": touchpoint(_BOTH, "A contract was renewed.", _CONTRACT),
    "contract.changed": touchpoint(_FACT, "A contract has other terms now.", _CONTRACT),
    "contract.cancelled": touchpoint(_IN, "They ended a contract.", _CONTRACT),
    "price.changed": touchpoint(_FACT, "A price changed.", {**_CONTRACT, "effective_at": MOMENT}),
    "price.change_planned": touchpoint(_FACT, "A price will change.", {**_CONTRACT, **_PLANNED}),
    "terms.change_planned": touchpoint(_FACT, "Terms will change.", _PLANNED),
    "promise.made": touchpoint(_FACT, "Something was promised for a day.", {**_PROMISE, "due": Required(MOMENT)}),
    "promise.kept": touchpoint(_FACT, "A promise was kept.", _PROMISE),
    "promise.broken": touchpoint(_FACT, "A promise was broken.", _PROMISE),
    "person.joined": touchpoint(_FACT, "Somebody joined them.", _PERSON),
    "person.left": touchpoint(_FACT, "Somebody left them.", _PERSON),
    "person.role_changed": touchpoint(_FACT, "Somebody has another role.", {**_PERSON, "role": Required(NAME)}),
    "person.unreachable": touchpoint(_FACT, "Somebody cannot be reached any more.", _PERSON),
    "referral.given": touchpoint(_IN, "They recommended us."),
    "outcome.achieved": touchpoint(_FACT, "They reached what they wanted."),
    "note.added": touchpoint(_FACT, "A note of ours."),
    "delivery.received": touchpoint(_IN, "They delivered to us."),
    "defect.reported": touchpoint(_OUT, "We found fault with what they delivered."),
    "dispute.opened": touchpoint(_FACT, "A dispute began."),
    "dispute.resolved": touchpoint(_FACT, "A dispute ended."),
    "report.opened": touchpoint(_IN, "They read a report."),
    "question.asked": touchpoint(_IN, "They asked something."),
    "commitment.made": touchpoint(_IN, "They committed themselves."),
    "absence.recorded": touchpoint(_FACT, "Somebody is away."),
    "one_to_one.held": touchpoint(_BOTH, "We talked, two of us alone."),
    "contribution.made": touchpoint(_IN, "They contributed something, a commit for example."),
    "mention.published": touchpoint(_IN, "They mentioned us in public."),
    "event.attended": touchpoint(_IN, "They came to an event."),
    "campaign.sent": touchpoint(_OUT, "We sent them a campaign."),
    "campaign.opened": touchpoint(_IN, "They opened a campaign."),
    "review.published": touchpoint(_IN, "They published a review.", {"score": NUMBER}),
    "event.retracted": correction("Takes an event back.", {"id": Required(NAME)}),
    "event.corrected": correction(
        "Replaces an event.", {"id": Required(NAME), "replacement": Required(REPLACEMENT)}, _replaced
    ),
    "relationship.updated": directory(
        "What is known of the relationship itself.",
        {
            **dict.fromkeys(("name", "kind", "type", "segment", "tier", "owner", "stage", "status", "parent"), TEXT),
            "seats": WHOLE,
            "renewal_date": MOMENT,
            "domains": NAMES,
            "custom": OBJECT,
        },
    ),
}


def event_type(name: str) -> EventType:
    """The contract of a type; an unknown one is a generic touchpoint."""
    return EVENT_TYPES.get(name, GENERIC)
