"""The comparison at the end of a trial finds what is lost, double or different, and says where."""

from __future__ import annotations

from collections import Counter

from msgspec.structs import replace

from tests.e2e.state import State, differences
from tests.e2e.traffic import Picture
from tests.e2e.trial import missed

HEAD = {"events": 3, "scores": {"ri": {"index": 50.0}, "at": 7}}
WHOLE = State(
    states={"demo/a": HEAD},
    months={"demo/a/2026-11": {"days": {"use:reports ann 2026-11-26": 2.0}}},
    timeline={"demo/a/up#1": {"type": "note.added"}},
    ids={"demo/a": {"17 of inc": {4}}},
    partitions={"0": {"clock": 9}},
    alerts={"demo/a/silence/": {"version": 1}},
)


def test_the_same_is_the_same() -> None:
    assert differences(WHOLE, replace(WHOLE, states={"demo/a": dict(HEAD)})) == []


def test_what_is_missing_and_what_is_too_much_is_told() -> None:
    assert differences(replace(WHOLE, timeline={}), WHOLE) == ["timeline demo/a/up#1: missing"]
    assert differences(WHOLE, replace(WHOLE, alerts={})) == ["alerts demo/a/silence/: not expected"]


def test_a_field_that_differs_is_told_down_to_the_place() -> None:
    other = {**HEAD, "scores": {"ri": {"index": 51.0}, "at": 7}}
    assert differences(replace(WHOLE, states={"demo/a": other}), WHOLE) == [
        "states demo/a: scores is ri: index: 51.0 instead of 50.0"
    ]
    elsewhere = {"demo/a": {"17 of inc": {8}}}
    assert differences(replace(WHOLE, ids=elsewhere), WHOLE) == ["ids demo/a: 17 of inc is {8} instead of {4}"]


def test_what_was_sent_and_did_not_count_once_is_told() -> None:
    sent = Picture({"a": {("reports", "ann", "2026-11-26"): 1.0}}, {"a": Counter({"up#1": 1})}, {"x": ("opened",)})
    assert missed(sent, sent) == []
    assert missed(replace(sent, alerts={**sent.alerts, "unforeseen": ("opened", "cleared")}), sent) == []
    assert missed(replace(sent, uses={}), sent) == ["uses of a: not those sent"]
    assert missed(replace(sent, entries={"a": Counter({"up#1": 2})}), sent) == ["entries of a: not those sent"]
    assert missed(replace(sent, alerts={"x": ("opened", "reopened")}), sent) == [
        "alert x: ('opened', 'reopened') instead of ('opened',)"
    ]
