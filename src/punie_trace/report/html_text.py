"""Markup from text that anybody may have written: everything in the page is escaped here."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from typing import Final

from punie_trace.report.model import UNSEEN

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


def contents(parts: Iterable[tuple[str, str]]) -> str:
    """Links to the parts of the page, each by its anchor and title; what follows a colon is left out."""
    links = "".join(
        tag("li", f'<a href="#{html.escape(anchor)}">{text(title.partition(":")[0])}</a>') for anchor, title in parts
    )
    return f'<nav aria-label="On this page">{tag("ul", links)}</nav>'


def line(name: str, drawn: str, label: str, kind: str = "line") -> str:
    """A row of a chart: its name and what is drawn (both markup), and the figure in words."""
    return tag("div", tag("p", name) + tag("div", drawn) + tag("p", unbroken(text(label)), "note"), kind)


def folded(title: str, content: str) -> str:
    """Markup that a reader unfolds, by pointer or by keyboard, without any script."""
    return tag("details", tag("summary", text(title)) + content)


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


def table(names: str, columns: Sequence[tuple[str, bool]], rows: Iterable[tuple[str, Sequence[str], str]]) -> str:
    """A table of texts, which scrolls by itself where it is too wide.

    `names` is the title above the rows' names; `columns` are titles and whether their cells are numbers, `rows` are
    name, cells and class.
    """
    head = f'<th scope="col" class="words">{text(names)}</th>' if names else "<td></td>"
    head += "".join(f'<th scope="col"{_words(numeric)}>{text(title)}</th>' for title, numeric in columns)
    body = "".join(
        tag(
            "tr",
            f'<th scope="row">{text(name)}</th>'
            + "".join(_cell(value, numeric) for value, (_, numeric) in zip(values, columns, strict=True)),
            kind if kind != "neutral" else "",
        )
        for name, values, kind in rows
    )
    return tag("div", tag("table", tag("thead", tag("tr", head)) + tag("tbody", body)), "scroll")


def _words(numeric: bool) -> str:
    return "" if numeric else ' class="words"'


def _cell(value: str, numeric: bool) -> str:
    """A table's cell with a text in it; what was not observable is set back."""
    return tag("td", text(value), "unseen" if value == UNSEEN else "" if numeric else "words")
