"""What a report consists of: sections of tables, lists, remarks and figures, whatever shows them in the end.

A document is made once from a summary (`run_document`) or a comparison (`contrast_document`); console, markdown and
page are backends that show the same values. All texts are plain text: each backend escapes them in its own way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from punie_trace.analysis.gates import GateResult

Tone: TypeAlias = Literal["good", "bad", "neutral"]

NONE: Final = "-"
"""A cell with nothing to say."""
UNSEEN: Final = "not observable"
"""A cell whose value could not be measured; never a guess."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column's title, and whether its cells are aligned right."""

    title: str
    numeric: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """A row: what it is about, a cell for each column, and whether it is good or bad news."""

    name: str
    cells: tuple[str, ...]
    tone: Tone = "neutral"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of texts. `names` is the title of the column that the rows' names stand in."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    title: str = ""
    names: str = ""


@dataclass(frozen=True, slots=True)
class Tables:
    """Tables with the same rows: a backend may set some of them side by side."""

    tables: tuple[Table, ...]


@dataclass(frozen=True, slots=True)
class Note:
    """A remark."""

    text: str


@dataclass(frozen=True, slots=True)
class Items:
    """A list of texts. `most_on_screen` are shown where there is room for one screen only."""

    texts: tuple[str, ...]
    tone: Tone = "neutral"
    most_on_screen: int | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """Words with what they mean, or facts with their values."""

    entries: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a bar. `kind` is its line of the ledger ('generation', ...), which gives it its look."""

    kind: str
    value: float


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of parts end to end, with its length as a short text and its parts as a longer one."""

    name: str
    parts: tuple[Part, ...]
    total: str
    detail: str


@dataclass(frozen=True, slots=True)
class StackedBars:
    """A figure that every backend can draw: bars on one scale, on which `longest` fills the whole width."""

    bars: tuple[Bar, ...]
    longest: float


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure of the page alone; `draw` gives its markup, and is only called where it is shown."""

    draw: Callable[[], str]


Block: TypeAlias = Table | Tables | Note | Items | Facts | StackedBars | Picture


@dataclass(frozen=True, slots=True)
class Section:
    """A titled part of a document.

    `on_screen` sections are what a person sees without asking for more; `page_only` ones hold pictures and what
    belongs to them.
    """

    key: str
    title: str
    blocks: tuple[Block, ...]
    on_screen: bool = False
    page_only: bool = False


@dataclass(frozen=True, slots=True)
class Headline:
    """The verdict in a sentence, and in `detail` what else one must know with it ('' for nothing)."""

    text: str
    detail: str
    tone: Tone


@dataclass(frozen=True, slots=True)
class Document:
    """A whole report. `facts` say what was measured, `commands` make it again; gates are shown where they matter."""

    title: str
    facts: Facts
    sections: tuple[Section, ...]
    headline: Headline | None = None
    gates: tuple[GateResult, ...] = ()
    commands: tuple[str, ...] = ()


def section(key: str, title: str, *blocks: Block | None, on_screen: bool = False, page_only: bool = False) -> Section:
    """A section of those blocks that hold anything."""
    kept = tuple(block for block in blocks if block is not None and holds(block))
    return Section(key, title, kept, on_screen, page_only)


def holds(block: Block) -> bool:
    """Whether there is anything in it to show."""
    match block:
        case Table(rows=content) | Tables(tables=content) | Items(texts=content) | Facts(entries=content):
            return bool(content)
        case StackedBars(bars=content):
            return bool(content)
        case Note(text=content):
            return bool(content)
        case _:
            return True
