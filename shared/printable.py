"""What somebody else wrote, made fit for a terminal."""

from __future__ import annotations

import re

_OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
"""What a terminal obeys instead of showing it (C0, DEL, C1), what turns the direction of writing, what ends a line
elsewhere or cannot be seen, and halves of characters, which cannot be written at all."""


def printable(text: str) -> str:
    """The text with such characters as JSON escapes them; JSON remains the same JSON."""
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
