"""The loops over rings of daily counts: one pass over each ring, in one order, whoever else is looked at.

A ring holds the last days of a series, each at its day modulo the ring's length. `places` says which rings are looked
at, `today` as of which day each of them is. A count is known to a millionth. Whole uses and millionths are added up by
themselves, as whole numbers: below 2⁵³ (9 · 10¹⁵ uses) that is exact, so the sum is the same in any order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shared.compiled import compiled

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MICRO = 1e6
_LEAST_WEEKS = 2  # fewer weeks of history are no baseline


@compiled
def _parts(count: float) -> tuple[float, float]:
    """Whole uses, and millionths."""
    whole = np.floor(count)
    return whole, np.rint((count - whole) * MICRO)


@compiled
def _exact(count: float) -> float:
    """A count without what lies beyond its millionths."""
    whole, part = _parts(count)
    return whole + part / MICRO


@compiled
def counts(rings: Floats, places: Ints, today: Ints, days: int) -> Floats:
    """The last `days` days, today first: shape (places, days)."""
    found, length = np.empty((len(places), days)), rings.shape[1]
    for one in range(len(places)):
        ring, last = rings[places[one]], today[one] % length
        for day in range(days):
            found[one, day] = _exact(ring[last - day if day <= last else last - day + length])
    return found


@compiled
def sums(rings: Floats, places: Ints, today: Ints, days: int) -> Floats:
    """What the last `days` days add up to."""
    found = np.empty(len(places))
    for one in range(len(places)):
        found[one] = _last_days(rings[places[one]], today[one], days)
    return found


@compiled
def _last_days(ring: Floats, today: int, days: int) -> float:
    """What the last `days` days add up to."""
    end = today % len(ring) + 1
    total, parts = _between(ring, max(end - days, 0), end)
    if days > end:
        before, rest = _between(ring, len(ring) + end - days, len(ring))
        total, parts = total + before, parts + rest
    return total + parts / MICRO


@compiled
def _between(ring: Floats, start: int, end: int) -> tuple[float, float]:
    total, parts = 0.0, 0.0
    for at in range(start, end):
        whole, part = _parts(ring[at])
        total += whole
        parts += part
    return total, parts


@compiled
def days_with(rings: Floats, places: Ints, others: Ints, today: Ints, days: int) -> Floats:
    """On how many of the last `days` days these rings, or the others beside them, have anything."""
    found, length = np.empty(len(places)), rings.shape[1]
    for one in range(len(places)):
        ring, other, end = rings[places[one]], rings[others[one]], today[one] % length + 1
        count = _days_between(ring, other, max(end - days, 0), end)
        if days > end:
            count += _days_between(ring, other, length + end - days, length)
        found[one] = count
    return found


@compiled
def _days_between(ring: Floats, other: Floats, start: int, end: int) -> int:
    count = 0
    for at in range(start, end):
        count += (np.rint(ring[at] * MICRO) != 0) | (np.rint(other[at] * MICRO) != 0)
    return count


@compiled
def used(rings: Floats, places: Ints, today: Ints, days: int) -> NDArray[np.bool_]:
    """Whether there is anything in the last `days` days."""
    found, length = np.zeros(len(places), np.bool_), rings.shape[1]
    for one in range(len(places)):
        ring, at = rings[places[one]], today[one] % length
        for _ in range(days):
            if np.rint(ring[at] * MICRO) != 0:
                found[one] = True
                break
            at = at - 1 if at > 0 else length - 1
    return found


@compiled
def levels(rings: Floats, places: Ints, today: Ints, elapsed: Floats, window: int, weeks: int) -> tuple[Floats, Ints]:
    """What shared.domain.rules.baseline.Levels has: seen and expected now, then both by midnight; and known weeks."""
    found, known = np.empty((4, len(places))), np.empty(len(places), np.int64)
    length, weekday, parts = rings.shape[1], np.empty(7), np.empty(7)
    for one in range(len(places)):
        ring, now = rings[places[one]], elapsed[one]
        weeks_back = _weeks_known(ring, today[one], window, weeks)
        total, at = _last_days(ring, today[one], window), (today[one] - window) % length
        weekday[:], parts[:], oldest = 0.0, 0.0, _exact(ring[at])
        for _ in range(weeks_back):
            for k in range(7):  # k: days before the window began
                at = at - 1 if at > 0 else length - 1
                whole, part = _parts(ring[at])
                weekday[k] += whole
                parts[k] += part
        weekday += parts / MICRO
        usual = 0.0
        for day in range(1, window):
            usual += weekday[(day - window - 1) % 7]
        first, last = weekday[(-window - 1) % 7], weekday[6]
        base = weeks_back if weeks_back >= _LEAST_WEEKS else np.nan
        found[0, one] = total + oldest * (1 - now)
        found[1, one] = (usual + now * first + (1 - now) * last) / base
        found[2, one] = total
        found[3, one] = (usual + first) / base
        known[one] = weeks_back
    return found, known


@compiled
def _weeks_known(ring: Floats, today: int, window: int, weeks: int) -> int:
    """How many whole weeks before the window there are since the first use, at most `weeks`."""
    oldest = window + 7 * weeks
    at = (today - oldest) % len(ring)
    for age in range(oldest, window + 6, -1):
        if np.rint(ring[at] * MICRO) > 0:
            return (age - window) // 7
        at = at + 1 if at + 1 < len(ring) else 0
    return 0


@compiled
def spreads(rings: Floats, places: Ints, today: Ints, window: int, known: Ints) -> tuple[Floats, Ints]:
    """How the known weeks before the window spread about each weekday's mean, against what chance would do.

    The sum of squared residuals, each over its mean (half a use at least); and how many of the weeks have any use.
    """
    spread, active = np.zeros(len(places)), np.zeros(len(places), np.int64)
    length, mean, parts = rings.shape[1], np.empty(7), np.empty(7)
    for one in range(len(places)):
        ring, weeks, before = rings[places[one]], known[one], today[one] - window - 1
        mean[:], parts[:] = 0.0, 0.0
        for day in range(7 * weeks):
            whole, part = _parts(ring[(before - day) % length])
            mean[day % 7] += whole
            parts[day % 7] += part
        mean += parts / MICRO
        mean /= max(weeks, 1)
        for week in range(weeks):
            some = False
            for k in range(7):
                count = _exact(ring[(before - 7 * week - k) % length])
                spread[one] += (count - mean[k]) ** 2 / max(mean[k], 0.5)
                some |= count > 0
            active[one] += some
    return spread, active
