"""Making a git repository with many commits in a moment, by git fast-import."""

from __future__ import annotations

import subprocess
from pathlib import Path

START = 1_600_000_000  # 2020-09-13
EVERY = 3_600


def make_repository(path: Path, commits: int, authors: int = 7) -> None:
    """A repository of `commits` linear commits by `authors` in turn, an hour apart, and one merge commit on top."""
    _git(path.parent, "init", "-q", "-b", "main", str(path))
    lines: list[str] = []
    for n in range(commits):
        author = n % authors
        who = f"Author {author} <Author{author}@Example.org>"
        text = f"Change number {n}"
        lines += [
            "commit refs/heads/main",
            f"mark :{n + 1}",
            f"author {who} {START + n * EVERY} +0200",
            f"committer Keeper <keeper@example.org> {START + n * EVERY + 60} +0000",
            f"data {len(text)}",
            text,
            *([f"from :{n}"] if n else []),
            f"M 100644 inline file-{n % 50}",
            "data 2",
            "x",
            "",
        ]
    merge = "Merge"
    lines += [
        "commit refs/heads/main",
        f"committer Keeper <keeper@example.org> {START + commits * EVERY} +0000",
        f"data {len(merge)}",
        merge,
        f"from :{commits}",
        f"merge :{max(1, commits - 1)}",
        "",
    ]
    _git(path, "fast-import", "--quiet", stdin="\n".join(lines).encode())


def _git(path: Path, *arguments: str, stdin: bytes = b"") -> None:
    subprocess.run(["git", "-C", str(path), *arguments], input=stdin, check=True, capture_output=True)
