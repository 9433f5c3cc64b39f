"""Markup from text that anybody may have written: everything is escaped here, and nowhere else in the page's rooms."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from typing import Final

NOT_OBSERVABLE: Final = "not observable"
_INTERVAL: Final = re.compile(r"(\d)-(?=\d)")


def text(value: str) -> str:
    """One line of text as markup. What cannot be shown, or would turn the writing around, becomes a space."""
    return html.escape("".join(char if char.isprintable() else " " for char in value))


def unbroken(markup: str) -> str:
    """The markup with no line break allowed within an interval ('1.64-1.82')."""
    return _INTERVAL.sub(r"\1-&#8288;", markup)


def tag(name: str, content: str, kind: str = "") -> str:
    """An element around markup, with a class of ours."""
    return f'<{name} class="{html.escape(kind)}">{content}</{name}>' if kind else f"<{name}>{content}</{name}>"


def section(anchor: str, title: str, *content: str) -> str:
    """A part of the page with its title; nothing where it has no content."""
    body = "".join(content)
    return f'<section id="{html.escape(anchor)}"><h2>{text(title)}</h2>{body}</section>' if body else ""


def note(value: str) -> str:
    """A remark below a chart or table."""
    return tag("p", text(value), "note") if value else ""


def items(values: Iterable[str], kind: str = "") -> str:
    """A list of texts; nothing where there are none."""
    listed = "".join(tag("li", text(value)) for value in values)
    return tag("ul", listed, kind) if listed else ""


def pairs(values: Iterable[tuple[str, str]]) -> str:
    """Words and what they mean, or facts and their values."""
    listed = "".join(tag("dt", text(word)) + tag("dd", text(meaning)) for word, meaning in values if meaning)
    return tag("dl", listed) if listed else ""


def cell(value: str) -> str:
    """A table's cell with a text in it; what was not observable is set back."""
    return tag("td", text(value), "unseen" if value == NOT_OBSERVABLE else "")


def table(columns: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]]) -> str:
    """A table of texts with a name for each row, which scrolls by itself where it is too wide."""
    head = "".join(f'<th scope="col">{text(column)}</th>' for column in ("", *columns))
    body = "".join(
        tag("tr", f'<th scope="row">{text(name)}</th>' + "".join(map(cell, values))) for name, values in rows
    )
    return tag("div", tag("table", tag("thead", tag("tr", head)) + tag("tbody", body)), "scroll")
