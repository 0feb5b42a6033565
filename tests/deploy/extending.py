"""A copy of the code and of what is made of it, in which what docs/extending.md says has been done."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "extending.md"
COPIED = ("shared", "services", "docs/schema", "docs/playbooks.md", "docs/sending-events.md", "pyproject.toml")
TESTS = ("tests/__init__.py", "tests/domain/builders.py")

_BLOCK = re.compile(r"^ *```python\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)


def blocks(section: str) -> list[str]:
    """The code of a section of the guide, block by block."""
    text = GUIDE.read_text(encoding="utf-8").split(f"\n## {section}\n")[1].split("\n## ")[0]
    return [textwrap.dedent(block) for block in _BLOCK.findall(text)]


def last_entry(block: str) -> str:
    """The last entry of a table that a block shows in part."""
    *_, entry, closing = block.splitlines(keepends=True)
    assert "    ...,\n" in block
    assert closing == ")\n"
    return entry


@dataclass
class Copy:
    """A copy of the code, and how many lines each of its files has got more."""

    root: Path
    added: dict[str, int]

    @classmethod
    def at(cls, root: Path) -> Copy:
        """A copy as the code is now."""
        for name in (*COPIED, *TESTS):
            into = root / name
            into.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, into, ignore=shutil.ignore_patterns("__pycache__", "static"))
            else:
                shutil.copy(ROOT / name, into)
        return cls(root, {})

    def write(self, name: str, code: str) -> None:
        """A new file."""
        assert not (self.root / name).exists()
        (self.root / name).write_text(code, encoding="utf-8")
        self._count(name, code)

    def insert(self, name: str, before: str, code: str) -> None:
        """Put code into a file, before a line that there is once."""
        text = (self.root / name).read_text(encoding="utf-8")
        assert text.count(before) == 1, f"{before!r} must be in {name} once"
        (self.root / name).write_text(text.replace(before, code + before), encoding="utf-8")
        self._count(name, code)

    def _count(self, name: str, code: str) -> None:
        self.added[name] = self.added.get(name, 0) + len(code.splitlines())

    def run(self, *arguments: str) -> str:
        """What Python says in the copy; it must end well."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.root,
            env={"PYTHONPATH": str(self.root), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
