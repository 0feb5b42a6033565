"""HTML in which text is always escaped: only `Markup` made here passes as it is."""

from __future__ import annotations

from html import escape

from services.api.web.theme import svg


class Markup(str):
    """HTML that is safe to show."""

    __slots__ = ()


Child = str | Markup | None


def el(tag: str, css: str, *children: Child, **attributes: str | int | float | None) -> Markup:
    """An element; attributes without a value (None) are left out, underscores in their names become hyphens."""
    written = "".join(
        f' {name.replace("_", "-")}="{escape(str(value))}"' for name, value in attributes.items() if value is not None
    )
    css = f' class="{escape(css)}"' if css else ""
    return Markup(f"<{tag}{css}{written}>{join(*children)}</{tag}>")


def join(*children: Child) -> Markup:
    """Children one after the other."""
    return Markup("".join(one if isinstance(one, Markup) else escape(one) for one in children if one is not None))


def icon(name: str) -> Markup:
    """A decorative icon of the sprite."""
    return Markup(svg(name))


def when(at: int, style: str = "ago") -> Markup:
    """A time in ms that the page keeps relative ("3 hr. ago"); its title says it in full."""
    return el("time", "r-when", data_at=at, data_style=style) if at else el("span", "r-faint", "never")
