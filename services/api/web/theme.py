"""Colours, icons and words of the dashboard: one table each, used by pages, charts and the style sheet alike."""

from __future__ import annotations

import msgspec

from services.api.confidence import LITTLE
from shared.domain.relationship.flags import Severity
from shared.domain.relationship.state import Band
from shared.domain.rules.declaration import Polarity
from shared.domain.rules.table import RULES
from shared.domain.scores.factors import FACTORS


class Sign(msgspec.Struct, frozen=True):
    """How something is shown without relying on colour: a word and the name of an icon."""

    word: str
    icon: str


BANDS: dict[str, Sign] = {
    Band.RED: Sign("At risk", "alert"),
    Band.YELLOW: Sign("Watch", "watch"),
    Band.GREEN: Sign("Healthy", "check"),
    LITTLE: Sign("Little evidence", "little"),
    Band.UNKNOWN: Sign("No evidence", "unknown"),
}

SEVERITIES: dict[str, Sign] = {
    Severity.CRITICAL: Sign("Critical", "alert"),
    Severity.WARNING: Sign("Warning", "watch"),
    Severity.INFO: Sign("Info", "info"),
}


def rule_words(rule: str) -> str:
    """The name of a rule for people; an unknown one is spelt out."""
    return RULES[rule].title if rule in RULES else rule.replace("_", " ").capitalize()


def polarity_of(rule: str) -> Polarity:
    """Whether a rule's flags warn or are good news; of an unknown one they are taken to warn."""
    return RULES[rule].polarity if rule in RULES else Polarity.RED


def factor_words(factor: str) -> str:
    """The same of a factor."""
    return FACTORS[factor].title if factor in FACTORS else factor.replace("_", " ").capitalize()


LIGHT: dict[str, str] = {
    "bg": "#f6f7f9",
    "surface": "#ffffff",
    "raised": "#ffffff",
    "hover": "#f3f5f8",
    "line": "#e4e7ec",
    "strong-line": "#cfd4dd",
    "text": "#1b2028",
    "muted": "#5c6573",
    "faint": "#8b94a3",
    "accent": "#3a56c5",
    "accent-soft": "#eaeefb",
    "on-accent": "#ffffff",
    "red": "#b42323",
    "red-soft": "#fdeceb",
    "yellow": "#855700",
    "yellow-soft": "#fdf3d8",
    "green": "#1c7040",
    "green-soft": "#e4f5ea",
    "unknown": "#5c6573",
    "unknown-soft": "#eceff3",
    "red-fill": "#d54a48",
    "yellow-fill": "#dda021",
    "green-fill": "#34a065",
    "tab": "#ffffff",
    "shadow": "0 1px 2px rgb(16 24 40 / 5%)",
    "shadow-high": "0 12px 32px rgb(16 24 40 / 16%)",
}

DARK: dict[str, str] = {
    "bg": "#0f1217",
    "surface": "#161a21",
    "raised": "#1d222b",
    "hover": "#1c212a",
    "line": "#272d38",
    "strong-line": "#3a4250",
    "text": "#e6e9ef",
    "muted": "#a0a9b8",
    "faint": "#737d8d",
    "accent": "#93a9ff",
    "accent-soft": "#232b48",
    "on-accent": "#10141f",
    "red": "#ff9a94",
    "red-soft": "#3d1f20",
    "yellow": "#edc369",
    "yellow-soft": "#362b13",
    "green": "#7cd6a1",
    "green-soft": "#163324",
    "unknown": "#a0a9b8",
    "unknown-soft": "#242a34",
    "red-fill": "#ec7d78",
    "yellow-fill": "#e0b04a",
    "green-fill": "#5cc48a",
    "tab": "#343c4a",
    "shadow": "none",
    "shadow-high": "0 12px 32px rgb(0 0 0 / 55%)",
}


def palette(dark: bool) -> dict[str, str]:
    """The colours of one theme by name."""
    return DARK if dark else LIGHT


def variables() -> str:
    """CSS custom properties of both themes; the attribute `data-theme` of the root chooses."""

    def block(selector: str, scheme: str, colours: dict[str, str]) -> str:
        body = "".join(f"--{name}:{value};" for name, value in colours.items())
        return f"{selector}{{color-scheme:{scheme};{body}}}"

    return block(":root", "light", LIGHT) + block(':root[data-theme="dark"]', "dark", DARK)


# Set before anything is painted, so that a dark page never flashes white. The choice lives in a cookie, by which the
# server picks the colours of charts.
BOOT = """
(() => {
  const chosen = document.cookie.match(/(?:^|; )rapport_theme=(light|dark)/);
  const theme = chosen ? chosen[1] : matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  document.documentElement.dataset.theme = theme;
  document.documentElement.lang = "en";
  if (!chosen) document.cookie = `rapport_theme=${theme}; path=/; max-age=31536000; samesite=lax`;
})();
"""

THEME_COOKIE = "rapport_theme"

# Drawn on a grid of 24, stroked with the text's colour.
ICONS: dict[str, str] = {
    "logo": '<path d="M3 12h4l3-7 4 14 3-7h4"/>',
    "alert": '<path d="M8 3h8l5 5v8l-5 5H8l-5-5V8z"/><path d="M12 8v5"/><path d="M12 16.2v.1"/>',
    "watch": '<path d="M12 4 2.8 20h18.4z"/><path d="M12 10v4.5"/><path d="M12 17.2v.1"/>',
    "check": '<circle cx="12" cy="12" r="9"/><path d="m8 12.4 2.8 2.8L16 9.6"/>',
    "unknown": '<circle cx="12" cy="12" r="9" stroke-dasharray="3 3.2"/><path d="M9 12h6"/>',
    "little": '<circle cx="12" cy="12" r="9" stroke-dasharray="3 3.2"/><path d="M12 12v.1"/>',
    "info": '<circle cx="12" cy="12" r="9"/><path d="M12 11v5.5"/><path d="M12 7.7v.1"/>',
    "search": '<circle cx="11" cy="11" r="6.5"/><path d="m20 20-4.2-4.2"/>',
    "close": '<path d="M6 6l12 12M18 6 6 18"/>',
    "sort": '<path d="m7 14 5 5 5-5"/><path d="M12 5v14"/>',
    "moon": '<path d="M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5z"/>',
    "exit": '<path d="M10 4H5v16h5"/><path d="M14 8l4 4-4 4M18 12H9"/>',
    "keyboard": '<rect x="2.5" y="6" width="19" height="12" rx="2"/>'
    '<path d="M6.5 10h.1M10 10h.1M13.5 10h.1M17 10h.1M8 14h8"/>',
    "people": '<circle cx="9" cy="8.5" r="3.5"/><path d="M2.5 20a6.5 6.5 0 0 1 13 0"/>'
    '<path d="M16 5.3a3.5 3.5 0 0 1 0 6.4M18 14.6a6.5 6.5 0 0 1 3.5 5.4"/>',
    "bell": '<path d="M6 10a6 6 0 0 1 12 0c0 5 2 6.5 2 6.5H4S6 15 6 10z"/><path d="M10 20a2.2 2.2 0 0 0 4 0"/>',
    "message": '<path d="M4 5h16v11H9l-5 4z"/>',
    "meeting": '<rect x="3.5" y="5" width="17" height="15" rx="2"/><path d="M3.5 10h17M8 3v4M16 3v4"/>',
    "ticket": '<path d="M3 7h18v3.5a1.8 1.8 0 0 0 0 3.5V17H3v-3a1.8 1.8 0 0 0 0-3.5z"/><path d="M14 7v10"/>',
    "survey": '<path d="m12 3.5 2.6 5.4 5.9.8-4.3 4.1 1 5.9-5.2-2.8-5.2 2.8 1-5.9L3.5 9.7l5.9-.8z"/>',
    "money": '<rect x="3" y="6" width="18" height="12" rx="2"/><circle cx="12" cy="12" r="2.6"/>'
    '<path d="M6.5 12h.1M17.5 12h.1"/>',
    "contract": '<path d="M6 3h8l4 4v14H6z"/><path d="M14 3v4h4M9 12h6M9 16h6"/>',
    "promise": '<path d="M5 21V4M5 4h12l-2.5 4L17 12H5"/>',
    "person": '<circle cx="12" cy="8" r="4"/><path d="M4.5 21a7.5 7.5 0 0 1 15 0"/>',
    "note": '<path d="M4 20l1-4L16.5 4.5l3 3L8 19z"/>',
    "event": '<circle cx="12" cy="12" r="4"/>',
    "code": '<path d="m8 7-5 5 5 5M16 7l5 5-5 5M13.5 5l-3 14"/>',
    "up": '<path d="M12 19V5M6 11l6-6 6 6"/>',
    "down": '<path d="M12 5v14M6 13l6 6 6-6"/>',
    "chevron": '<path d="m9 5 7 7-7 7"/>',
    "back": '<path d="m15 5-7 7 7 7"/>',
}


def sprite() -> str:
    """All icons as symbols `i-NAME`, to be put once into a page."""
    symbols = "".join(f'<symbol id="i-{name}" viewBox="0 0 24 24">{body}</symbol>' for name, body in ICONS.items())
    return f'<svg xmlns="http://www.w3.org/2000/svg" style="display:none" aria-hidden="true">{symbols}</svg>'


def svg(icon: str) -> str:
    """Markup of one icon; decorative, the word stands beside it."""
    return f'<svg class="r-icon" aria-hidden="true"><use href="#i-{icon}"></use></svg>'
