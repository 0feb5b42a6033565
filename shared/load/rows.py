"""A table's rows become events, as a mapping says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any

import msgspec

from shared.domain.contract.events import Millis
from shared.load.cells import column_reader, number_of, text_of, time_reader
from shared.load.mapping import PLACE, Column, Condition, EventRule, LoadedMapping, Time
from shared.load.outgoing import ENCODER, Loaded, Outgoing, Rejection, encode_event, is_additive, restates
from shared.load.seen import Seen

Row = Mapping[str, Any]
MAX_ID = 200  # characters; a longer key is hashed


class RowFault(Exception):
    """A row cannot become an event: a slug and a sentence."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class _Rule(msgspec.Struct, frozen=True):
    """An event's rule made ready: everything looked up and compiled once."""

    type: str
    suffix: str
    holds: Callable[[Row], bool]
    subject: Callable[[Row], str]
    time: Callable[[Row], Millis]
    data: Callable[[Row], Any]
    once: bool


class RowEvents:
    """Turns rows into events with ids that depend on the row alone, so that loading again changes nothing.

    `source` is the stable name of the file's origin. Rows with the same `key` after the first are rejected; without a
    key a row's id is the hash of its content and its number among equal rows.
    """

    def __init__(self, loaded: LoadedMapping, source: str, backfill: bool) -> None:
        mapping = loaded.mapping
        self._key = tuple(mapping.key)
        self._source = source
        self._backfill = backfill
        self._seen = Seen()
        self._rules = [_compile(loaded, n, rule) for n, rule in enumerate(mapping.events)]
        self.additive = {rule.type for rule in mapping.events if is_additive(rule.type)}

    def of(self, line: int, row: Row, done: int) -> Loaded:
        """The events of one row and what is wrong with it; a faulty event does not hold back the row's others."""
        events: list[Outgoing] = []
        problems: list[Rejection] = []
        try:
            row_id = self._row_id(row)
        except RowFault as fault:
            return Loaded(line, problems=(_rejection(line, row, fault),), done=done)
        for rule in self._rules:
            try:
                event = self._event(rule, row_id, line, row)
            except RowFault as fault:
                problems.append(_rejection(line, row, fault))
                continue
            if event is not None:
                events.append(event)
        return Loaded(line, tuple(events), tuple(problems), done)

    def _row_id(self, row: Row) -> str:
        if not self._key:
            content = blake2b(ENCODER.encode([(k, text_of(v)) for k, v in row.items()]), digest_size=16).hexdigest()
            return f"{content}-{self._seen.times('row ' + content)}"
        values = [text_of(row[column]) for column in self._key]
        if not any(values):
            raise RowFault("no_key", f"the key ({', '.join(self._key)}) is empty")
        key = ":".join(value.replace("%", "%25").replace(":", "%3A") for value in values)
        if self._seen.times("row " + key) > 1:
            raise RowFault(
                "key_met_before", f"the key {key} has been met before in this file; add a column to `key` if both count"
            )
        return key if len(key) <= MAX_ID and key.isprintable() else blake2b(key.encode(), digest_size=16).hexdigest()

    def _event(self, rule: _Rule, row_id: str, line: int, row: Row) -> Outgoing | None:
        if not rule.holds(row):
            return None
        subject = rule.subject(row)
        if not subject:
            raise RowFault("no_subject", f"no relationship is named for {rule.type}: the subject is empty")
        if not rule.once:
            return self._encoded(rule, f"{row_id}/{rule.suffix}", subject, line, row)
        once = f"once {rule.suffix} {subject}"
        if self._seen.times(once) > 1:
            return None
        try:
            return self._encoded(rule, f"once/{subject}/{rule.suffix}", subject, line, row)
        except RowFault:
            self._seen.forget(once)  # the subject's next row gets its chance
            raise

    def _encoded(self, rule: _Rule, event_id: str, subject: str, line: int, row: Row) -> Outgoing:
        time, data = rule.time(row), rule.data(row)
        if restates(rule.type):
            event_id = f"{event_id}/{blake2b(ENCODER.encode(data), digest_size=4).hexdigest()}"
        return encode_event(
            line=line,
            id=event_id,
            source=self._source,
            type=rule.type,
            subject=subject,
            time=time,
            data=data,
            backfill=self._backfill,
        )


def _rejection(line: int, row: Row, fault: RowFault) -> Rejection:
    raw = ENCODER.encode({key: text_of(value) for key, value in row.items()})
    return Rejection(line, fault.reason, fault.detail, event=msgspec.Raw(raw))


def _compile(loaded: LoadedMapping, number: int, rule: EventRule) -> _Rule:
    mapping = loaded.mapping
    tests = [_test(condition) for condition in rule.when]
    time = rule.time or mapping.time
    if time is None:
        raise AssertionError("parse_mapping lets no event through without a time")
    return _Rule(
        type=rule.type,
        suffix=rule.id or rule.type,
        holds=lambda row: all(test(row) for test in tests),
        subject=_template(rule.subject or mapping.subject),
        time=_time(time),
        data=_value(loaded.data[number]),
        once=rule.once,
    )


def _time(time: Time) -> Callable[[Row], Millis]:
    read = time_reader(time)

    def moment(row: Row) -> Millis:
        try:
            return read(row[time.column])
        except ValueError as error:
            raise RowFault("no_time", f"{time.column}: {error}") from error

    return moment


def _template(text: str) -> Callable[[Row], str]:
    parts = PLACE.split(text)  # constant, column, constant, ...
    if len(parts) == 1:
        return lambda _row: text
    if parts == ["", parts[1], ""]:
        column = parts[1]
        return lambda row: text_of(row[column])
    return lambda row: "".join(text_of(row[part]) if n % 2 else part for n, part in enumerate(parts)).strip()


def _value(value: Any) -> Callable[[Row], Any]:
    if isinstance(value, Column):
        return _column(value)
    if isinstance(value, dict):
        fields = {key: _value(inner) for key, inner in value.items()}

        def filled(row: Row) -> dict[str, Any]:
            found = ((key, read(row)) for key, read in fields.items())
            return {key: inner for key, inner in found if inner not in (None, "")}

        return filled
    return _template(value) if isinstance(value, str) else lambda _row: value


def _column(column: Column) -> Callable[[Row], Any]:
    read = column_reader(column)

    def cell(row: Row) -> Any:
        try:
            return read(row[column.column])
        except ValueError as error:
            raise RowFault("wrong_value", f"{column.column}: {error}") from error

    return cell


def _test(condition: Condition) -> Callable[[Row], bool]:
    name = condition.column
    tests: list[Callable[[str], bool]] = []
    if condition.equals is not None:
        wanted = text_of(condition.equals)
        tests.append(lambda text: text == wanted)
    if condition.one_of is not None:
        among = {text_of(value) for value in condition.one_of}
        tests.append(lambda text: text in among)
    if condition.none_of is not None:
        without = {text_of(value) for value in condition.none_of}
        tests.append(lambda text: text not in without)
    if condition.empty is not None:
        empty = condition.empty
        tests.append(lambda text: (text == "") == empty)
    if condition.above is not None or condition.below is not None:
        tests.append(_between(name, condition.above, condition.below))
    return lambda row: all(test(text_of(row[name])) for test in tests)


def _between(name: str, above: float | None, below: float | None) -> Callable[[str], bool]:
    def test(text: str) -> bool:
        if text == "":
            return False
        try:
            number = number_of(text)
        except ValueError as error:
            raise RowFault("wrong_value", f"{name}: {error}") from error
        return (above is None or number > above) and (below is None or number < below)

    return test
