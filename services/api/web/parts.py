"""The pieces of a relationship's page: functions from domain values to markup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote

from services.api.confidence import ENOUGH, ri_confidence, rv_confidence, standing
from services.api.web.markup import Markup, el, icon, join, when
from services.api.web.theme import BANDS, SEVERITIES, factor_words, polarity_of, rule_words
from services.api.web.words import TouchpointWords, figure
from shared.domain.contract.events import Millis
from shared.domain.relationship.facts import Facts
from shared.domain.relationship.flags import Counter, StandingFlag, fingerprint
from shared.domain.relationship.state import Factor, RelationshipState, Score, Windows
from shared.domain.rules.declaration import Polarity
from shared.domain.scores.formulas import explained

WINDOW_DAYS = (7, 30, 90, 365)
COUNTERS_SHOWN = 31
PEOPLE_SHOWN = 12

_RANK = {"critical": 0, "warning": 1, "info": 2}


def hero(head: RelationshipState) -> Markup:
    """Who it is, how it stands, and the two scores."""
    known, sure_of = head.directory, ri_confidence(head)
    name = known.name or head.relationship
    facts: list[tuple[str, str | Markup]] = [("Id", head.relationship), ("Kind", known.kind)]
    pairs = (("Type", known.type), ("Segment", known.segment), ("Stage", known.stage), ("Status", known.status))
    facts += [(word, value) for word, value in pairs if value]
    facts.append(("Owner", known.owner or "nobody"))
    facts += [("Seats", str(known.seats))] if known.seats else []
    facts += [("Renewal", known.renewal_date)] if known.renewal_date else []
    facts.append(("Last seen", when(head.last_seen)))
    line = join(*(el("span", "", f"{word} ", el("b", "", value)) for word, value in facts))
    return el(
        "section",
        "r-card r-hero",
        el(
            "div",
            "",
            el("div", "r-heroname", el("h1", "", name, title=name), band_badge(standing(head.scores.ri, sure_of))),
            el("div", "r-heroline", line),
            style="min-width:0",
        ),
        el(
            "div",
            "r-gauges",
            gauge("Relationship Intelligence", head.scores.ri, sure_of),
            gauge("Relationship Value", head.scores.rv, rv_confidence(head)),
        ),
    )


def band_badge(band: str) -> Markup:
    """A band as word and icon."""
    sign = BANDS[band]
    return el("span", f"r-badge r-{band}", icon(sign.icon), sign.word)


def gauge(word: str, score: Score, confidence: float | None) -> Markup:
    """A score as a ring, 0 to 100, and how sure it is; without evidence an empty ring that says so."""
    band = standing(score, confidence)
    around = 2 * 3.14159 * 30
    value = score.index
    hidden = "" if value else ' visibility="hidden"'
    arc = f"{around * (value or 0) / 100:.1f} {around:.1f}"
    shown = "–" if value is None else f"{value:.0f}"
    label = f"{word}: no evidence yet" if value is None else f"{word}: {value:.0f} of 100, {BANDS[band].word}"
    drawing = Markup(
        f'<circle class="r-track" cx="36" cy="36" r="30"/>'
        f'<circle class="r-arc" cx="36" cy="36" r="30" stroke-dasharray="{arc}" transform="rotate(-90 36 36)"'
        f'{hidden}/><text x="36" y="37">{shown}</text>'
    )
    ring = el("svg", f"r-{band}", drawing, viewBox="0 0 72 72", role="img", aria_label=label)
    words = el("span", "", word if value is not None else f"{word}: no evidence yet")
    how_sure = el("small", "", sure(confidence).rstrip(".")) if confidence is not None else None
    return el("div", "r-gauge", ring, el("div", "", words, how_sure))


# --- why ---------------------------------------------------------------------------------------------------------


def factors(head: RelationshipState) -> Markup:
    """Both scores taken apart."""
    scores = explained(head)
    groups = (("Relationship Intelligence", scores.ri), ("Relationship Value", scores.rv))
    shown = [
        join(el("p", "r-group", word), *(factor_row(name, one) for name, one in score.factors.items()))
        for word, score in groups
        if score.factors
    ]
    if not shown:
        return nothing("No score yet. It comes with the first evaluation after the first events.")
    return join(*shown)


def factor_row(name: str, factor: Factor) -> Markup:
    """A factor's value as a bar, how sure it is, and why; a missing one says so."""
    word = factor_words(name)
    if factor.value is None:
        bar = el("div", "r-bar r-none", role="img", aria_label=f"{word}: no evidence")
        return el(
            "div",
            "r-factor",
            el("div", "r-factorline", el("span", "", word), el("span", "r-faint", "no evidence")),
            bar,
            el("p", "", factor.reason or "Nothing has been seen yet that says anything about this."),
        )
    percent = f"{100 * factor.value:.0f}"
    fill = el("i", "", style=f"width:{percent}%")
    return el(
        "div",
        "r-factor",
        el("div", "r-factorline", el("span", "", word), el("span", "", percent)),
        el("div", f"r-bar r-{band_of(factor.value)}", fill, role="img", aria_label=f"{word}: {percent} of 100"),
        el("p", "", f"{factor.reason} " if factor.reason else "", el("span", "r-faint", sure(factor.confidence))),
    )


def band_of(value: float) -> str:
    """The band a factor in [0, 1] would lie in as a score."""
    return "red" if value <= 0.5 else "yellow" if value <= 0.75 else "green"


def sure(confidence: float) -> str:
    """A confidence in [0, 1] in words."""
    level = "low" if confidence < ENOUGH else "fair" if confidence < 0.67 else "high"
    return f"Confidence {level} ({100 * confidence:.0f}\u00a0%)."


# --- flags -------------------------------------------------------------------------------------------------------


def flags(head: RelationshipState, touchpoints: Mapping[str, TouchpointWords], polarity: Polarity) -> Markup:
    """The flags of a polarity that stand, worst first; `touchpoints` are the events they rest on, by event key."""
    of_these = [flag for flag in head.flags.values() if polarity_of(flag.rule) == polarity]
    if not of_these:
        return el("p", "r-none-yet", icon("check"), f" No {polarity} flag stands.")
    of_these.sort(key=lambda flag: (_RANK.get(flag.severity, 3), -flag.since))
    return join(*(flag_card(head, flag, touchpoints) for flag in of_these))


def flag_card(head: RelationshipState, flag: StandingFlag, touchpoints: Mapping[str, TouchpointWords]) -> Markup:
    """One flag with its reason and evidence, and the way to its alert."""
    sign = SEVERITIES[flag.severity]
    good = polarity_of(flag.rule) == Polarity.GREEN
    alert = fingerprint(head.tenant, head.relationship, flag.rule, flag.subject)
    # A quiet flag was found when history was loaded: the moment of that says nothing about the relationship.
    since = (
        el("span", "", "from loaded history, nobody was alerted")
        if flag.suppressed
        else join(
            when(flag.since), " · ", el("a", "", "Open the alert", href=f"/alerts?tab=all&id={quote(alert, safe='')}")
        )
    )
    return el(
        "div",
        f"r-flagcard {'r-good' if good else f'r-s-{flag.severity}'}",
        icon("check" if good else sign.icon),
        el(
            "div",
            "",
            el("p", "", el("b", "", flag.reason), style="color:var(--text)"),
            el("p", "r-muted r-small", f"{sign.word} · {rule_words(flag.rule)} · ", since),
            evidence(flag, touchpoints),
        ),
    )


def evidence(flag: StandingFlag, touchpoints: Mapping[str, TouchpointWords]) -> Markup | None:
    """What a flag rests on, folded away."""
    events = [touchpoints[key] for key in flag.evidence.events if key in touchpoints]
    counters = flag.evidence.counters
    if not events and not counters:
        return None
    table = counter_table(counters) if counters else None
    return el(
        "details", "", el("summary", "", icon("chevron"), "Evidence"), join(*(touchpoint(one) for one in events)), table
    )


def counter_table(counters: Sequence[Counter]) -> Markup:
    """Daily counts as a small table: the latest ones, as in inbox.js."""
    rows = [
        el("tr", "", el("td", "", one.day), el("td", "", one.feature or "everything"), el("td", "", _counted(one)))
        for one in counters[-COUNTERS_SHOWN:]
    ]
    head = el("tr", "", el("th", "", "Day"), el("th", "", "Use of"), el("th", "", "Count"))
    table = el("table", "r-mini r-counts", el("thead", "", head), el("tbody", "", *rows))
    more = len(counters) - len(rows)
    return join(table, el("p", "r-muted r-small", f"and {more} earlier days") if more else None)


def _counted(counter: Counter) -> str:
    """What the rule went by: of the day in which its window begins only a part, as in inbox.js."""
    whole = figure(counter.count)
    return whole if counter.share == 1 or not counter.count else f"{figure(counter.count * counter.share)} of {whole}"


# --- timeline, people, promises, windows ---------------------------------------------------------------------------


def touchpoint(words: TouchpointWords) -> Markup:
    """An entry of the timeline; a retracted one is struck through, and says so."""
    notes = "retracted" if words.retracted else "corrected" if words.corrected else ""
    return el(
        "div",
        "r-touch" + (" r-struck" if words.retracted else ""),
        el("span", "r-dotbox" + (" r-in" if words.inbound else ""), icon(words.icon)),
        el(
            "div",
            "",
            el("b", "", words.title),
            el("span", "r-statechip", notes, style="margin-left:8px") if notes else None,
            el("p", "", words.detail) if words.detail else None,
            style="min-width:0",
        ),
        when(words.at),
    )


def people(facts: Facts) -> Markup:
    """People on their side, the most recently active first."""
    known = sorted(facts.people.items(), key=lambda pair: (pair[1].left_at > 0, -pair[1].last_in))
    if not known:
        return nothing("No person is known yet.")
    rows = [
        el(
            "div",
            "r-person",
            el(
                "span", "", el("span", "", name, title=name), el("span", "r-faint", f"  {one.role}" if one.role else "")
            ),
            el("span", "r-when", "left ", when(one.left_at)) if one.left_at else when(one.last_in),
        )
        for name, one in known[:PEOPLE_SHOWN]
    ]
    more = len(known) - PEOPLE_SHOWN
    return join(*rows, el("p", "r-none-yet", f"and {more} more") if more > 0 else None)


def promises(facts: Facts, now: Millis) -> Markup:
    """Open promises by due date, and how earlier ones went."""
    rows = []
    for name, one in sorted(facts.promises.items(), key=lambda pair: pair[1].due):
        word = "broken" if one.broken_at else "overdue" if one.due < now else ""
        badge = el("span", "r-badge r-red", icon("alert"), word) if word else None
        rows.append(
            el(
                "div",
                "r-person",
                el("span", "", one.text or name, el("span", "r-faint", f"  by {one.by}"), title=one.text or name),
                el(
                    "span",
                    "r-when",
                    badge,
                    *((" ", when(one.broken_at)) if one.broken_at else (" due ", when(one.due))),
                ),
            )
        )
    kept = f"{facts.promises_kept} kept, {facts.promises_broken} broken so far."
    return join(*rows, el("p", "r-none-yet", ("" if rows else "No open promise. ") + kept))


def windows(counts: Windows) -> Markup:
    """Counts of the last 7, 30, 90 and 365 days."""
    lines: tuple[tuple[str, Sequence[float]], ...] = (
        ("Use", counts.usage),
        ("From them", counts.inbound),
        ("From us", counts.outbound),
        ("Active people", counts.people),
    )
    head = el("tr", "", el("th", "", "Last days"), *(el("th", "", str(days)) for days in WINDOW_DAYS))
    body = [el("tr", "", el("td", "", word), *(el("td", "", figure(one)) for one in row)) for word, row in lines]
    return el("table", "r-mini", el("thead", "", head), el("tbody", "", *body))


def nothing(text: str) -> Markup:
    """What stands where there is nothing to show."""
    return el("p", "r-none-yet", text)
