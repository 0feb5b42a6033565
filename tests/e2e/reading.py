"""Reading through the API what has become of the traffic, and following its live stream across deaths of the API."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx

from tests.e2e.traffic import SOURCE, Picture

USE = "use:"


class Reader:
    """A client of the API that waits for nothing: an API that does not answer raises."""

    def __init__(self, ready: dict[str, str]) -> None:
        self.http = httpx.Client(
            base_url=ready["api"],
            headers={"authorization": f"Bearer {ready['api_key']}"},
            timeout=20.0,
            trust_env=False,
        )

    def picture(self) -> Picture:
        """Everything that the traffic has left behind."""
        uses: dict[str, dict[tuple[str, str, str], float]] = {}
        entries: dict[str, Counter[str]] = {}
        for relationship in self._pages("/v1/relationships"):
            id = relationship["id"]
            uses[id] = dict(self._uses(id))
            found = Counter(entry["id"] for entry in self._pages(f"/v1/relationships/{quote(id, safe='')}/timeline"))
            entries[id] = Counter({key: count for key, count in found.items() if key.startswith(f"{SOURCE}#")})
        return Picture(uses, entries, self.alerts())

    def alerts(self) -> dict[str, tuple[str, ...]]:
        """Of each alert, by its id, what has happened to it, in order."""
        return {one["id"]: tuple(entry["what"] for entry in one["timeline"]) for one in self._pages("/v1/alerts")}

    def _uses(self, id: str) -> Iterator[tuple[tuple[str, str, str], float]]:
        parameters = {"metric": f"{USE}*", "by": "person"}
        found = self._get(f"/v1/relationships/{quote(id, safe='')}/metrics", parameters)
        for series in found["items"]:
            for day, count in zip(found["days"], series["values"], strict=True):
                if count:
                    yield (series["metric"].removeprefix(USE), series["person"], day), count

    def _pages(self, path: str) -> Iterator[dict[str, Any]]:
        cursor: str | None = None
        while True:
            limit = "100" if path == "/v1/alerts" else "500"
            page = self._get(path, {"limit": limit, **({"cursor": cursor} if cursor else {})})
            yield from page["items"]
            cursor = page["next"]
            if cursor is None:
                return

    def _get(self, path: str, parameters: dict[str, str]) -> Any:
        answer = self.http.get(path, params=parameters)
        answer.raise_for_status()
        return answer.json()


class Follower:
    """Reads the live stream on a thread, and resumes with Last-Event-ID whenever it breaks off."""

    def __init__(self, ready: dict[str, str]) -> None:
        self._url = f"{ready['api']}/v1/stream?types=alert"
        self._headers = {"authorization": f"Bearer {ready['api_key']}"}
        self._last = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)
        self.seen: set[str] = set()
        self.connections = 0
        self.resets = 0

    def __enter__(self) -> Follower:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        timeout = httpx.Timeout(5.0, read=1.0)
        with httpx.Client(trust_env=False, timeout=timeout) as client:
            while not self._stop.is_set():
                headers = self._headers | ({"last-event-id": self._last} if self._last else {})
                try:
                    with client.stream("GET", self._url, headers=headers) as answer:
                        if answer.status_code == httpx.codes.OK:
                            self.connections += 1
                            self._read(answer)
                except httpx.TransportError:
                    pass  # gone, or silent for a second: resumed
                self._stop.wait(0.1)

    def _read(self, answer: httpx.Response) -> None:
        kind = ""
        for line in answer.iter_lines():
            if self._stop.is_set():
                return
            field, _, text = line.partition(": ")
            if field == "id":
                self._last = text
            elif field == "event":
                kind = text
                self.resets += kind == "reset"
            elif field == "data" and kind == "alert":
                self.seen.add(json.loads(text)["id"])
