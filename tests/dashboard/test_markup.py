"""Markup, rows and words: what comes from outside is shown as text, in a compact form."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from services.api.web import parts
from services.api.web.markup import Markup, el, join
from services.api.web.rows import SPARK, pack, row_of, spark_text
from services.api.web.session import _inside
from services.api.web.words import figure, touchpoint_words
from shared.domain.relationship.facts import Facts, Promise
from shared.domain.relationship.flags import Counter, Severity, StandingFlag, Why
from shared.domain.relationship.state import Band, Directory, Factor, RelationshipState, Score, Scores
from shared.domain.relationship.touchpoints import Touchpoint
from shared.domain.rules.declaration import Polarity

EVIL = '<img src=x onerror="alert(1)">'


def a_head(**changes: object) -> RelationshipState:
    return RelationshipState(id="t/a", tenant="t", relationship="a", **changes)  # type: ignore[arg-type]


def test_text_is_escaped_and_markup_is_not() -> None:
    assert el("p", "", "a < b", el("b", "", "c")) == "<p>a &lt; b<b>c</b></p>"
    assert el("a", "x", href='"><script>', hidden=None) == '<a class="x" href="&quot;&gt;&lt;script&gt;"></a>'
    assert join("<", Markup("<br>"), None) == "&lt;<br>"


def test_nothing_from_outside_becomes_markup() -> None:
    flag = StandingFlag(EVIL, EVIL, Severity.WARNING, 1, EVIL)
    factor = Factor(0.5, 0.5, EVIL)
    state = a_head(
        directory=Directory(name=EVIL, kind=EVIL, segment=EVIL, owner=EVIL, type=EVIL, stage=EVIL, status=EVIL),
        scores=Scores(ri=Score(0.1, 50.0, Band.RED, {EVIL: factor})),
        flags={"x": flag},
        facts=Facts(promises={EVIL: Promise(5, EVIL, 1, "e", EVIL)}),
    )
    entry = Touchpoint(id="x", tenant="t", relationship="a", type=EVIL, time=1, person=EVIL, data={"text": EVIL})
    shown = join(
        parts.hero(state),
        parts.factors(state),
        parts.flags(state, {}, Polarity.RED),
        parts.promises(state.facts, 9),
        parts.touchpoint(touchpoint_words(entry)),
    )
    assert "<img" not in shown
    assert shown.count("&lt;img") > 10


def test_of_many_days_the_latest_are_shown_which_are_the_drop() -> None:
    days = [Counter("export", f"day {number}", 1.0) for number in range(parts.COUNTERS_SHOWN + 2)]
    shown = parts.counter_table(days)
    assert "day 1<" not in shown
    assert "day 2<" in shown
    assert f"day {parts.COUNTERS_SHOWN + 1}<" in shown
    assert "and 2 earlier days" in shown
    assert "earlier" not in parts.counter_table(days[2:])


def test_an_alerts_history_has_words_for_every_reason_why_a_flag_was_cleared() -> None:
    script = (Path(parts.__file__).parent / "static" / "inbox.js").read_text()
    words = script.partition("const CLEARED = {")[2].partition("}")[0]
    assert set(re.findall(r'(\w+): "Cleared', words)) == set(Why)


def test_a_factor_without_evidence_says_so() -> None:
    shown = parts.factor_row("trust", Factor(None))
    assert "no evidence" in shown
    assert "Trust" in shown
    assert "Nothing has been seen yet" in shown


@pytest.mark.parametrize(("value", "band"), [(0.5, "red"), (0.51, "yellow"), (0.75, "yellow"), (0.76, "green")])
def test_factors_have_the_bands_of_scores(value: float, band: str) -> None:
    assert parts.band_of(value) == band


def test_an_overdue_promise_says_so() -> None:
    facts = Facts(promises={"p": Promise(5, "us", 1, "e", "Ship it")}, promises_kept=2)
    assert "overdue" in parts.promises(facts, 6)
    assert "overdue" not in parts.promises(facts, 5)
    assert "2 kept, 0 broken" in parts.promises(facts, 5)


def test_a_broken_promise_is_not_called_overdue() -> None:
    facts = Facts(promises={"p": Promise(5, "us", 1, "e", "Ship it", broken_at=4, broken_by="f")}, promises_broken=1)
    shown = parts.promises(facts, 6)
    assert "broken</span>" in shown
    assert "due" not in shown


def test_a_flag_from_loaded_history_is_not_dated_by_the_loading() -> None:
    loud = StandingFlag("expectation_violated", "p", Severity.CRITICAL, 9, "promise broken: p")
    quiet = msgspec.structs.replace(loud, suppressed=True)
    assert "<time" in parts.flag_card(a_head(), loud, {})
    assert "<time" not in parts.flag_card(a_head(), quiet, {})
    assert "nobody was alerted" in parts.flag_card(a_head(), quiet, {})


def test_rows_travel_with_words_as_indexes() -> None:
    flag = StandingFlag("silence", "", Severity.CRITICAL, 1)
    states = [
        a_head(directory=Directory(name="A", segment="x", owner="x"), last_seen=7, flags={"s": flag}),
        a_head(scores=Scores(ri=Score(0.2, 61.04, Band.YELLOW))),
    ]
    packed = pack([row_of(state) for state in states], 3)
    assert packed.words == ["customer", "x", "unknown", "", "yellow"]
    assert packed.rows[0] == ("a", "A", 0, 1, 1, 2, None, None, 1, 0, 7, "")
    assert packed.rows[1] == ("a", "", 0, 3, 3, 4, 61.0, None, 0, 2, 0, "")
    assert packed.seq == 3


def test_the_sparkline_is_a_character_a_day_relative_to_the_busiest() -> None:
    assert spark_text((0.0, 1.0, 1000.0)) == SPARK[0] + SPARK[1] + SPARK[63]
    assert spark_text((0.0, 0.0)) == ""
    assert spark_text(()) == ""


def test_touchpoints_in_words() -> None:
    entry = Touchpoint(
        id="x",
        tenant="t",
        relationship="a",
        type="payment.overdue",
        time=1,
        direction="fact",
        data={"amount": 12, "currency": "EUR", "due": "2026-01-30T00:00:00Z", "text": "y" * 400},
    )
    words = touchpoint_words(entry)
    assert (words.icon, words.title) == ("money", "Payment overdue")
    assert words.detail.startswith("12 EUR · yyy")
    assert len(words.detail) == 220
    assert touchpoint_words(Touchpoint(id="x", tenant="t", relationship="a", type="own.thing", time=1)).icon == "event"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (63355.33, "63,355"),
        (79200.0, "79,200"),
        (12000, "12,000"),
        (100.4, "100"),
        (53.076, "53.08"),
        (-0.5, "-0.5"),
        (0, "0"),
        (0.00002, "2.0e-5"),
        (0.125, "0.13"),
        (2.675, "2.68"),
        (100.5, "101"),
        (-0.125, "-0.13"),
        (99.999, "100"),
        (0.0025, "0.003"),
        (-0.004, "-0.004"),
    ],
)
def test_numbers_are_written_in_one_way(value: float, text: str) -> None:
    assert figure(value) == text


def test_evidence_tells_the_part_of_a_day_that_counted() -> None:
    shown = parts.counter_table([Counter("api", "2026-01-01", 12000.0, share=0.25), Counter("", "2026-01-02", 9600.0)])
    assert "<td>3,000 of 12,000</td>" in shown
    assert "<td>everything</td><td>9,600</td>" in shown


def test_a_small_part_of_a_day_is_not_called_none_of_it() -> None:
    assert "<td>0.003 of 5</td>" in parts.counter_table([Counter("api", "2026-01-01", 5.0, share=0.0005)])
    assert "<td>0</td>" in parts.counter_table([Counter("api", "2026-01-01", 0.0, share=0.25)])


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (12400, "12,400"),
        (12400.5, "12,400.50"),
        ("12400", "12400"),
        (2.675, "2.68"),
        (0, "0"),
        (0.001, "0.001"),
        (-0.004, "-0.004"),
        (True, "True"),
    ],
)
def test_amounts_keep_their_cents(amount: object, text: str) -> None:
    paid = Touchpoint(id="x", tenant="t", relationship="a", type="payment.received", time=1, data={"amount": amount})
    assert touchpoint_words(paid).detail == text


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example", ""])
def test_signing_in_leads_nowhere_else(target: str) -> None:
    assert _inside(target) == "/"
    assert _inside("/alerts?tab=all") == "/alerts?tab=all"
