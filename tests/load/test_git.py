from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path

from msgspec import json

from shared.domain.contract.accepting import Interaction
from shared.domain.contract.events import HOUR, SECOND
from tests.load.conftest import Run
from tests.load.fake_ingest import FakeIngest
from tests.load.git_history import EVERY, START, make_repository


def test_authors_become_relationships_and_commits_contributions(run: Run, ingest: FakeIngest, tmp_path: Path) -> None:
    make_repository(tmp_path / "work", 300)
    result = run("git", tmp_path / "work")
    assert result.exit_code == 0, result.output
    assert Counter(event.type for event in ingest.accepted) == {"relationship.updated": 7, "contribution.made": 300}
    assert {event.relationship for event in ingest.accepted} == {f"author{n}@example.org" for n in range(7)}
    assert all(event.backfill for event in ingest.accepted)
    assert "relationships  7" in result.output
    first = next(
        event for event in ingest.accepted if event.type == "contribution.made" and event.time == START * SECOND
    )
    assert json.decode(first.data) == {
        "channel": "git",
        "person": "author0@example.org",
        "text": "Change number 0",
        "repository": "work",
    }
    assert len(first.id) == 40
    named = next(event for event in ingest.accepted if event.type == "relationship.updated")
    assert json.decode(named.data)["kind"] == "community"
    assert max(event.time for event in ingest.accepted) == (START + 299 * EVERY) * SECOND


def test_a_clone_loads_as_the_same_events(run: Run, ingest: FakeIngest, tmp_path: Path) -> None:
    make_repository(tmp_path / "work", 20)
    subprocess.run(["git", "clone", "-q", "--bare", str(tmp_path / "work"), str(tmp_path / "copy.git")], check=True)
    assert run("git", tmp_path / "work").exit_code == 0
    before = ingest.ids()
    assert run("git", tmp_path / "copy.git").exit_code == 0
    assert ingest.ids() == before


def test_each_relationship_is_in_order(run: Run, ingest: FakeIngest, tmp_path: Path) -> None:
    make_repository(tmp_path / "work", 100)
    run("git", tmp_path / "work")
    by_author: dict[str, list[Interaction]] = {}
    for event in ingest.accepted:
        by_author.setdefault(event.relationship, []).append(event)
    for events in by_author.values():
        assert [event.time for event in events] == sorted(event.time for event in events)
        assert events[0].type == "relationship.updated"


def test_since_and_branch_select(run: Run, ingest: FakeIngest, tmp_path: Path) -> None:
    make_repository(tmp_path / "work", 48)
    assert run("git", tmp_path / "work", "--branch", "main~11").exit_code == 0
    assert sum(event.type == "contribution.made" for event in ingest.accepted) == 38
    ingest.accepted.clear()
    assert run("git", tmp_path / "work", "--since", "2020-09-14T12:00:00Z").exit_code == 0
    assert min(event.time for event in ingest.accepted) >= START * SECOND + 23 * HOUR


def test_mailmap_and_wrong_clocks(run: Run, ingest: FakeIngest, tmp_path: Path) -> None:
    work = tmp_path / "work"
    make_repository(work, 3, authors=1)
    (work / ".mailmap").write_text("Real Name <real@example.org> <author0@example.org>\n")
    environment = {
        "GIT_AUTHOR_NAME": "Eva\tAhead",
        "GIT_AUTHOR_EMAIL": "EVA@example.org",
        "GIT_AUTHOR_DATE": "2100000000 +0000",
        "GIT_COMMITTER_NAME": "k",
        "GIT_COMMITTER_EMAIL": "k@example.org",
        "GIT_COMMITTER_DATE": "1700000000 +0000",
        "PATH": "/usr/bin:/bin:/usr/local/bin",
    }
    subprocess.run(["git", "-C", str(work), "reset", "-q", "--hard"], check=True)
    subprocess.run(
        ["git", "-C", str(work), "commit", "-q", "--allow-empty", "-m", "From the future"], check=True, env=environment
    )
    assert run("git", work).exit_code == 0
    assert {event.relationship for event in ingest.accepted} == {"real@example.org", "eva@example.org"}
    assert {event.time for event in ingest.accepted if event.relationship == "eva@example.org"} == {1_700_000_000_000}
    names = {json.decode(event.data)["name"] for event in ingest.accepted if event.type == "relationship.updated"}
    assert names == {"Real Name", "Eva Ahead"}


def test_what_is_no_repository_is_said(run: Run, tmp_path: Path) -> None:
    result = run("git", tmp_path)
    assert result.exit_code == 2
    assert "not a git repository" in result.output


def test_a_shallow_clone_is_refused(run: Run, tmp_path: Path) -> None:
    make_repository(tmp_path / "work", 10)
    source = f"file://{tmp_path / 'work'}"
    subprocess.run(["git", "clone", "-q", "--depth", "1", source, str(tmp_path / "shallow")], check=True)
    result = run("git", tmp_path / "shallow")
    assert result.exit_code == 2
    assert "git fetch --unshallow" in result.output
