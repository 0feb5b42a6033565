"""Reading a table's cells: text, numbers, days and times, strictly."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, tzinfo
from math import isfinite
from typing import Any
from zoneinfo import ZoneInfo

from shared.domain.contract.days import iso
from shared.domain.contract.events import Millis
from shared.domain.contract.moments import datetime_millis
from shared.load.mapping import Column, Time

_TRUE, _FALSE = frozenset({"true", "1", "yes", "y", "t"}), frozenset({"false", "0", "no", "n", "f"})


def text_of(cell: Any) -> str:
    """The cell as text: numbers and days in their usual form, nothing as an empty text."""
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell.strip()
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, datetime | date):
        return cell.isoformat()
    return str(cell)


def number_of(cell: Any) -> float | int:
    """A finite number, whole where it is written so; ValueError in words otherwise."""
    text = text_of(cell)
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None
    if not isfinite(number):
        raise ValueError(f"{text!r} is not a finite number")
    return number


def moment_reader(format: str, zone: str) -> Callable[[Any], datetime]:
    """A function from a cell to an aware datetime; the function raises ValueError in words."""
    local: tzinfo = UTC if zone == "UTC" else ZoneInfo(zone)

    def aware(moment: datetime) -> datetime:
        return moment if moment.tzinfo else moment.replace(tzinfo=local)

    def read(cell: Any) -> datetime:
        if isinstance(cell, datetime):
            return aware(cell)
        if isinstance(cell, date):
            return datetime(cell.year, cell.month, cell.day, tzinfo=local)
        text = text_of(cell)
        try:
            if format == "iso":
                return aware(datetime.fromisoformat(text))
            if format in ("unix", "unix_ms"):
                return datetime.fromtimestamp(float(text) / (1 if format == "unix" else 1000), UTC)
            return aware(datetime.strptime(text, format))
        except (ValueError, OverflowError, OSError):
            raise ValueError(f"{text!r} is not a time in the format {format}") from None

    return read


def time_reader(time: Time) -> Callable[[Any], Millis]:
    """A function from a cell to milliseconds UTC; the function raises ValueError in words."""
    read = moment_reader(time.format, time.zone)
    return lambda cell: datetime_millis(read(cell))


def column_reader(column: Column) -> Callable[[Any], Any]:
    """A function from a cell to what `column` says it is; None where the cell is empty and there is no default."""
    read = _READERS[column.kind](column)

    def value(cell: Any) -> Any:
        text = text_of(cell)
        if text in column.values:
            return column.values[text]
        return column.default if text == "" else read(cell)

    return value


def _boolean(cell: Any) -> bool:
    text = text_of(cell).lower()
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise ValueError(f"{text!r} is neither true nor false")


def _integer(cell: Any) -> int:
    number = number_of(cell)
    if number != int(number):
        raise ValueError(f"{number} is not a whole number")
    return int(number)


def _day(column: Column) -> Callable[[Any], str]:
    read = moment_reader(column.format, column.zone)
    return lambda cell: read(cell).date().isoformat()


def _time(column: Column) -> Callable[[Any], str]:
    read = moment_reader(column.format, column.zone)
    return lambda cell: iso(datetime_millis(read(cell)))


def _list(column: Column) -> Callable[[Any], list[str]]:
    return lambda cell: [part.strip() for part in text_of(cell).split(column.separator) if part.strip()]


_READERS: dict[str, Callable[[Column], Callable[[Any], Any]]] = {
    "text": lambda _column: text_of,
    "number": lambda _column: number_of,
    "integer": lambda _column: _integer,
    "boolean": lambda _column: _boolean,
    "day": _day,
    "time": _time,
    "list": _list,
}
