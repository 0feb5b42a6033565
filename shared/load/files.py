"""Reading files: JSONL of CloudEvents, CSV and Parquet, each plain or (JSONL, CSV) compressed with gzip."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import msgspec

from shared.domain.contract.moments import time_millis
from shared.domain.errors import Misconfigured
from shared.load.mapping import LoadedMapping
from shared.load.outgoing import ENCODER, Loaded, Outgoing, Rejection, Source, is_additive
from shared.load.rows import Row, RowEvents

MAX_LINE = 1_000_000
"""Longest line of a JSONL file, bytes; ingest takes far less in one event."""

_TRUE = msgspec.Raw(b"true")
_EVENT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_STEM_SUFFIXES = {".gz", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet"}


def open_source(path: Path, mapping: LoadedMapping | None, backfill: bool) -> Source:
    """The source for a file by the end of its name; a file that cannot be loaded is `Misconfigured`."""
    if not path.is_file():
        raise Misconfigured(f"there is no file {path}" if not path.exists() else f"{path} is not a file")
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if suffix in (".jsonl", ".ndjson") and mapping is None:
        return JsonLines(path, backfill)
    if suffix not in _READERS or (suffix == ".parquet" and path.suffix == ".gz"):
        raise Misconfigured(f"{path}: the name must end in .jsonl, .csv or .parquet (the first two also with .gz)")
    if mapping is None:
        raise Misconfigured(f"{path}: a table needs --mapping FILE, which says what events its rows are")
    return Table(path, mapping, backfill, _READERS[suffix])


def stem(path: Path) -> str:
    """The file's base name without what tells its format: the source of its events unless the mapping names one."""
    while path.suffix in _STEM_SUFFIXES:
        path = path.with_suffix("")
    return path.name


@contextmanager
def _opened(path: Path) -> Iterator[tuple[IO[bytes], Callable[[], int]]]:
    """The file's bytes, decompressed, and a function telling how many bytes of the file itself have been read."""
    with path.open("rb") as plain:
        if path.suffix != ".gz":
            yield plain, plain.tell
            return
        with gzip.open(plain) as unpacked:
            try:
                yield io.BufferedReader(unpacked, 1 << 20), plain.tell
            except (gzip.BadGzipFile, EOFError) as error:
                raise Misconfigured(f"{path} is damaged: {error}") from error


class JsonLines:
    """One CloudEvent a line; empty lines are passed over."""

    def __init__(self, path: Path, backfill: bool) -> None:
        self.name = stem(path)
        self.total = path.stat().st_size
        self.additive: set[str] = set()
        self._path = path
        self._backfill = backfill

    def read(self) -> Iterator[Loaded]:
        with _opened(self._path) as (file, position):
            number = 0
            while raw := file.readline(MAX_LINE):
                number += 1
                if len(raw) == MAX_LINE and not raw.endswith(b"\n"):
                    while raw and not raw.endswith(b"\n"):
                        raw = file.readline(MAX_LINE)
                    problem = Rejection(number, "too_large", f"the line is longer than {MAX_LINE} bytes")
                    yield Loaded(number, problems=(problem,), done=position())
                elif not raw.isspace():
                    yield self._line(number, raw, position())

    def _line(self, number: int, raw: bytes, done: int) -> Loaded:
        try:
            event = _EVENT.decode(raw)
            subject, id, type, time = (_text(event.get(name)) for name in ("subject", "id", "type", "time"))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            what = ENCODER.encode(raw.decode(errors="replace").strip())
            problem = Rejection(number, "malformed_json", f"not a JSON object: {error}", event=msgspec.Raw(what))
            return Loaded(number, problems=(problem,), done=done)
        if is_additive(type):
            self.additive.add(type)
        if self._backfill:
            event["rapportbackfill"] = _TRUE
        out = Outgoing(number, id, subject, ENCODER.encode(event), time_millis(time) or 0)
        return Loaded(number, (out,), done=done)


def _text(raw: msgspec.Raw | None) -> str:
    """An attribute as text; one that is missing or of another type is ingest's to reject."""
    value = msgspec.json.decode(raw) if raw is not None else ""
    return value if isinstance(value, str) else ""


Rows = Iterator[tuple[int, Row | str, int]]
"""Line (or row) number, the row by column (or what is wrong with it), and how far the file has been read."""


class Table:
    """Rows by column, turned into events by a mapping."""

    def __init__(
        self, path: Path, mapping: LoadedMapping, backfill: bool, rows: Callable[[Path, LoadedMapping], Rows]
    ) -> None:
        self.name = mapping.mapping.source or stem(path)
        self.total = _parquet_length(path) if rows is _parquet_rows else path.stat().st_size
        self._events = RowEvents(mapping, self.name, backfill)
        self.additive = self._events.additive
        self._path, self._mapping, self._rows = path, mapping, rows

    def read(self) -> Iterator[Loaded]:
        for line, row, done in self._rows(self._path, self._mapping):
            if isinstance(row, str):
                yield Loaded(line, problems=(Rejection(line, "malformed_row", row),), done=done)
            else:
                yield self._events.of(line, row, done)


def _csv_rows(path: Path, loaded: LoadedMapping) -> Rows:
    form = loaded.mapping.csv
    delimiter = "\t" if ".tsv" in path.suffixes and form.delimiter == "," else form.delimiter
    with _opened(path) as (file, position):
        lines = io.TextIOWrapper(file, encoding=form.encoding, newline="")
        reader = csv.reader(lines, delimiter=delimiter, quotechar=form.quote, strict=True)
        try:
            columns = form.header or [name.strip() for name in next(reader, [])]
            loaded.check_columns(columns)
            for cells in reader:
                if len(cells) == len(columns):
                    yield reader.line_num, dict(zip(columns, cells, strict=True)), position()
                elif cells:
                    wrong = f"{len(cells)} cells where there are {len(columns)} columns"
                    yield reader.line_num, wrong, position()
        except UnicodeDecodeError as error:
            raise Misconfigured(
                f"{path}: after line {reader.line_num}: not {form.encoding}; set csv.encoding in the mapping"
            ) from error
        except csv.Error as error:
            raise Misconfigured(f"{path}:{reader.line_num}: not CSV: {error}; see csv.quote in the mapping") from error


def _parquet_file(path: Path) -> Any:
    """The file opened, to be closed by the caller."""
    import pyarrow  # a third of the start of `rapport load`: only who loads such a file waits for it
    import pyarrow.parquet

    try:
        return pyarrow.parquet.ParquetFile(path)
    except pyarrow.ArrowInvalid as error:
        raise Misconfigured(f"{path} is not a Parquet file: {error}") from error


def _parquet_length(path: Path) -> int:
    with _parquet_file(path) as file:
        return int(file.metadata.num_rows)


def _parquet_rows(path: Path, loaded: LoadedMapping) -> Rows:
    with _parquet_file(path) as file:
        loaded.check_columns(file.schema_arrow.names)
        number = 0
        for group in range(file.num_row_groups):
            for batch in file.iter_batches(batch_size=2_000, row_groups=[group]):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row, number


def _json_rows(path: Path, loaded: LoadedMapping) -> Rows:
    """A JSONL file of plain records; a column that a record lacks is empty."""
    names: dict[str, Any] = {}
    with _opened(path) as (file, position):
        for number, raw in enumerate(file, 1):
            if raw.isspace():
                continue
            try:
                record = msgspec.json.decode(raw, type=dict[str, Any])
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                yield number, f"not a JSON object: {error}", position()
                continue
            if not names:
                loaded.check_columns(list(record))
                names = dict.fromkeys(record)
            yield number, {**names, **record}, position()


_READERS: dict[str, Callable[[Path, LoadedMapping], Rows]] = {
    ".jsonl": _json_rows,
    ".ndjson": _json_rows,
    ".csv": _csv_rows,
    ".tsv": _csv_rows,
    ".parquet": _parquet_rows,
}
