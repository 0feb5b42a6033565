from __future__ import annotations

import pytest

from shared.domain.errors import Misconfigured
from shared.load.mapping import parse_mapping

GOOD = """\
subject: "{who}"
time: {column: at}
events:
  - type: note.added
    data:
      text: "{words}"
      minutes: {column: length, as: number}
"""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("events: [", "m.yaml:1: not YAML"),
        ("subject: a\nsubject: b\nevents: []", "m.yaml:2: subject: given twice"),
        ("subject: a\n", "m.yaml:1: document: Object missing required field `events`"),
        ("subject: a\nevents: []", "m.yaml:2: events: needs at least one event"),
        (GOOD.replace("column: at", "colum: at"), "m.yaml:2: time.colum: no such key; known are: column, format, zone"),
        (GOOD.replace("column: at", "column: at, zone: Mars"), "m.yaml:2: time.zone: no such time zone: 'Mars'"),
        (GOOD.replace("- type", "- typ"), "m.yaml:4: events[0].typ: no such key; known are: type, subject"),
        (GOOD.replace("as: number", "as: money"), "m.yaml:7: events[0].data.minutes.as: Invalid enum value 'money'"),
        (
            GOOD.replace("as: number", "is: number"),
            "m.yaml:7: events[0].data.minutes.is: no such key; known are: column, as",
        ),
        (GOOD.replace("time: {column: at}\n", ""), "m.yaml:3: events[0]: needs a `time`"),
        (GOOD.replace('subject: "{who}"\n', ""), "m.yaml:3: events[0]: needs a `subject`"),
        (GOOD + "  - type: note.added\n", "m.yaml:8: events[1]: 'note.added' is there twice"),
        (GOOD + "    when: [{column: a, equal: 1}]\n", "m.yaml:8: events[0].when[0].equal: no such key"),
    ],
)
def test_errors_name_file_line_and_key(text: str, says: str) -> None:
    with pytest.raises(Misconfigured) as error:
        parse_mapping(text, "m.yaml")
    assert str(error.value).startswith(says)


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        (["at", "words", "length"], "m.yaml:1: subject: the table has no column 'who'"),
        (["who", "words", "length"], "m.yaml:2: time.column: the table has no column 'at'"),
        (["who", "at", "length"], "m.yaml:6: events[0].data.text: the table has no column 'words'"),
        (["who", "at", "words"], "m.yaml:7: events[0].data.minutes.column: the table has no column 'length'"),
    ],
)
def test_columns_that_are_not_there(columns: list[str], says: str) -> None:
    with pytest.raises(Misconfigured) as error:
        parse_mapping(GOOD, "m.yaml").check_columns(columns)
    assert str(error.value).startswith(says)


def test_a_mapping_that_fits_passes() -> None:
    parse_mapping(GOOD, "m.yaml").check_columns(["who", "at", "words", "length", "more"])
