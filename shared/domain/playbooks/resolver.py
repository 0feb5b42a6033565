"""Which settings a relationship has: a playbook's overrides laid over its rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray
from xxhash import xxh32_hexdigest

from shared.domain.columns.row import Row
from shared.domain.playbooks.model import Match, Override, Playbook, RuleSettings
from shared.domain.relationship.state import RelationshipState
from shared.domain.rules.declaration import Thresholds

PROFILES_KEPT = 10_000  # what relationships are called is theirs to say, so it is not remembered without bound

Profile = tuple[str, ...]


class Settings(dict[str, RuleSettings]):
    """The settings of every rule for a relationship, without overrides.

    `marks` tell what rules are judged by apart, and `fingerprint` is all of them: what a state was judged by.
    """

    def __init__(self, rules: Mapping[str, RuleSettings]) -> None:
        super().__init__(rules)
        self.marks = {name: _mark(name, settings) for name, settings in rules.items()}
        self.fingerprint = " ".join(sorted(self.marks.values()))

    def differ(self, rule: str, judged_by: str) -> bool:
        """Whether the rule has others here than those of this fingerprint."""
        return self.marks[rule] not in judged_by


class Resolver:
    """Resolves one playbook."""

    def __init__(self, playbook: Playbook) -> None:
        self._rules = Settings(playbook.rules)
        self.uniform = not any(settings.overrides for settings in playbook.rules.values())
        self._known: dict[Profile, Settings] = {}

    def of(self, state: RelationshipState) -> Settings:
        """The settings of every rule for a relationship."""
        if self.uniform:
            return self._rules
        profile = _profile(state)
        found = self._known.get(profile)
        if found is None:
            if len(self._known) >= PROFILES_KEPT:
                self._known.clear()
            resolved = {name: _resolved(one, profile) for name, one in self._rules.items()}
            found = self._known[profile] = Settings(resolved)
        return found

    def of_rows(self, rows: Sequence[Row]) -> Variants:
        """The settings of each row."""
        if self.uniform:
            return Variants([self._rules], np.zeros(len(rows), np.int64))
        distinct: dict[int, tuple[int, Settings]] = {}
        which = np.empty(len(rows), np.int64)
        for at, row in enumerate(rows):
            found = self.of(row.state)
            which[at] = distinct.setdefault(id(found), (len(distinct), found))[0]
        return Variants([settings for _, settings in distinct.values()], which)


class Variants:
    """Distinct settings, and which of them each of some rows has."""

    def __init__(self, settings: Sequence[Settings], which: NDArray[np.int64]) -> None:
        self._settings = settings
        self._which = which

    def of(self, position: int) -> Settings:
        """The settings of a row."""
        return self._settings[int(self._which[position])]

    def fingerprints(self) -> list[str]:
        """For each row, what tells its settings apart from others."""
        return [self._settings[which].fingerprint for which in self._which.tolist()]

    def enabled(self, rule: str) -> NDArray[np.bool_]:
        """For each row, whether the rule is on."""
        on: NDArray[np.bool_] = np.array([one[rule].enabled for one in self._settings])[self._which]
        return on

    def thresholds(self, rule: str, positions: NDArray[np.int64]) -> Thresholds:  # type: ignore[type-arg]
        """The parameters of a rule for the rows at these positions."""
        return Thresholds([one[rule].params for one in self._settings], self._which[positions])


def _mark(name: str, settings: RuleSettings) -> str:
    """What tells settings apart by which a rule is judged: eight characters, none of them a blank."""
    judged_by = (name, settings.enabled, settings.severity, settings.cooldown_days, settings.params)
    return xxh32_hexdigest(msgspec.json.encode(judged_by, order="deterministic"))


_ATTRIBUTES = Match.__struct_fields__


def _profile(state: RelationshipState) -> Profile:
    said = state.directory
    found = (state.tenant, said.kind, said.type, said.segment, said.tier, said.stage)
    return tuple(map(str.casefold, found))


def _matches(match: Match, profile: Profile) -> bool:
    wanted = (getattr(match, name) for name in _ATTRIBUTES)
    return all(not values or value in map(str.casefold, values) for values, value in zip(wanted, profile, strict=True))


def covers(wider: Match, narrower: Match) -> bool:
    """Whether every relationship that one match takes is taken by the other, too, whatever there is of them."""
    pairs = zip(_values(wider), _values(narrower), strict=True)
    return all(not values or (fewer and fewer <= values) for values, fewer in pairs)


def _values(match: Match) -> list[set[str]]:
    """What it asks for of each attribute, in their order; an empty set where it takes any."""
    return [set(map(str.casefold, getattr(match, name))) for name in _ATTRIBUTES]


def _resolved(settings: RuleSettings, profile: Profile) -> RuleSettings:
    mine = next((one for one in settings.overrides if _matches(one.match, profile)), None)
    return settings if mine is None else laid_over(settings, mine)


def laid_over(settings: RuleSettings, override: Override) -> RuleSettings:
    """What an override makes of a rule's settings. Raises ValueError where its parameters do not go with the rule's."""
    given = {
        name: value
        for name in ("enabled", "severity", "cooldown_days")
        if (value := getattr(override, name)) is not None
    }
    params = msgspec.structs.replace(settings.params, **override.params)
    return msgspec.structs.replace(settings, params=params, **given)
