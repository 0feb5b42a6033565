"""Counting how often something was met, in bounded memory."""

from __future__ import annotations

import sqlite3
from hashlib import blake2b


class Seen:
    """Occurrences by content. Held by a private temporary SQLite database, which spills to disk beyond its cache."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=OFF")
        self._db.execute("PRAGMA cache_size=-65536")
        self._db.execute("CREATE TABLE seen (what BLOB PRIMARY KEY, times INTEGER NOT NULL) WITHOUT ROWID")
        self._db.execute("BEGIN")
        self.distinct = 0

    def times(self, what: str) -> int:
        """How often `what` has been met, this time included."""
        (times,) = self._db.execute(
            "INSERT INTO seen VALUES (?, 1) ON CONFLICT (what) DO UPDATE SET times = times + 1 RETURNING times",
            (_digest(what),),
        ).fetchone()
        if times == 1:
            self.distinct += 1
        return int(times)

    def forget(self, what: str) -> None:
        """As if `what` had never been met."""
        self._db.execute("DELETE FROM seen WHERE what = ?", (_digest(what),))
        self.distinct -= 1

    def close(self) -> None:
        """Drop the temporary database."""
        self._db.close()


def _digest(what: str) -> bytes:
    return blake2b(what.encode(), digest_size=12).digest()
