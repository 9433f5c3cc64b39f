"""A document on a terminal, or as plain text where there is none: fit to be pasted into an issue or read in a log.

Tables keep within the width: several stand side by side where they fit, and one that is too wide is split by columns,
or shown as a list of each row's cells where little fits at all. All text that comes from a model, a server or a suite
goes through `plain`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from punie_trace.analysis.gates import GateResult
from punie_trace.outside_text import printable
from punie_trace.report.gate_lines import gate_lines
from punie_trace.report.model import (
    NONE,
    Bar,
    Block,
    Column,
    Document,
    Facts,
    Items,
    Note,
    Row,
    StackedBars,
    Table,
    Tables,
)

_LONGEST_NAME: Final = 20
_STYLES: Final = {"good": "green", "bad": "red", "neutral": ""}
_MOST_PIECES: Final = 3
"""A table that would be split into more pieces than this is shown as lists."""
_GAP: Final = 2
"""Cells between two columns, where there is room."""
_SHORTEST_BAR: Final = 10
_FILLS: Final = {
    "generation": ("\u2588", "#", "blue"),
    "tool": ("\u2593", "T", "green"),
    "framework": ("\u2592", "=", "yellow"),
    "between_generations": ("\u2592", "=", "yellow"),
    "client_queue": ("\u2591", ".", "magenta"),
}
"""How each line of the ledger is drawn: a block, a letter where the encoding has no blocks, a colour."""


def print_document(document: Document, console: Console, *, full: bool = True) -> None:
    """Print the whole document, or with `full` off what fits on one screen; gates come last, so that they end a log."""
    with _unpadded(console):
        if full:
            console.print(plain(f"punie_trace: {document.title}", "bold"))
            _print_facts(document.facts, console)
        if document.headline is not None:
            if full:
                console.print()
            console.print(plain(document.headline.text, f"bold {_STYLES[document.headline.tone]}".strip()))
            if document.headline.detail:
                console.print(plain(document.headline.detail))
        for section in document.sections:
            if section.page_only or not section.blocks or not (full or section.on_screen):
                continue
            title = plain(section.title, "bold")
            for block in section.blocks:
                title = _print_block(block, title, console, full=full)
    print_gates(document.gates, console)


def print_gates(gates: Sequence[GateResult], console: Console) -> None:
    """Each gate with its reading; nothing where there is none."""
    if not gates:
        return
    console.print()
    console.print(Text("Gates", style="bold"))
    for line in gate_lines(gates):
        style = "red" if line.startswith("FAILED") else "green" if line.startswith("ok") else ""
        console.print(plain(line, style), soft_wrap=True)


def print_facts(facts: Facts, console: Console) -> None:
    """Words with what they mean, alone."""
    with _unpadded(console):
        _print_facts(facts, console)


def plain(text: str, style: str = "") -> Text:
    """The text as it is, on one line, without markup and without what a terminal would obey or could not show."""
    return Text(" ".join(printable(text).splitlines()).replace("\t", " "), style=style)


def _print_block(block: Block, title: Text | None, console: Console, *, full: bool) -> Text | None:
    """Print a block below the section's title, which is printed once; returns what is left of the title to print."""
    match block:
        case Note(text=text):
            console.print(Padding(plain(text, "dim"), (0, 0, 0, 2)))
            return title
        case Tables(tables=tables):
            for titles, table in _side_by_side(tables, console.width):
                _print_table(table, plain(titles, "bold"), console)
            return None
        case Table():
            _print_table(block, title, console)
            return None
    if title is not None:
        console.print()
        console.print(title)
    match block:
        case Items():
            most = None if full else block.most_on_screen
            _print_items(block, most, console)
        case Facts():
            _print_facts(block, console)
        case StackedBars():
            _print_bars(block, console)
    return None


def _print_items(items: Items, most: int | None, console: Console) -> None:
    shown = list(items.texts[:most])
    if more := len(items.texts) - len(shown):
        shown.append(f"and {more} more: --full shows them all")
    table = RichTable.grid(padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold", style={"bad": "yellow"}.get(items.tone, _STYLES[items.tone]))
    for text in shown:
        table.add_row("-", plain(text))
    console.print(table)


def _print_facts(facts: Facts, console: Console) -> None:
    table = RichTable.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", max_width=console.width // 3, overflow="fold")
    table.add_column(overflow="fold")
    for word, value in facts.entries:
        table.add_row(plain(word), plain(value))
    console.print(table)


def _print_table(table: Table, title: Text | None, console: Console) -> None:
    # A little closer together is better than in two pieces.
    gap = next((gap for gap in (_GAP, 1) if sum(_widths(table, gap)) - gap <= console.width), _GAP)
    pieces = list(_split(table, console.width, gap))
    if len(pieces) > _MOST_PIECES:
        if title is not None:
            console.print()
            console.print(title)
        _print_as_lists(table, console)
        return
    for piece in pieces:
        if title is not None:
            console.print()
            console.print(title)
        console.print(_rich_table(piece, gap))


def _rich_table(table: Table, gap: int) -> RichTable:
    shown = RichTable(box=box.SIMPLE_HEAD, padding=(0, gap - 1, 0, 0), show_edge=False, pad_edge=False)
    shown.add_column("", max_width=_LONGEST_NAME, overflow="fold")
    for column in table.columns:
        shown.add_column(plain(column.title), justify="right" if column.numeric else "left", overflow="fold")
    for row in table.rows:
        shown.add_row(plain(row.name), *map(plain, row.cells), style=_STYLES[row.tone])
    return shown


def _print_as_lists(table: Table, console: Console) -> None:
    """Each row's name, and below it what its cells hold, each after its column's title."""
    for row in table.rows:
        console.print(plain(row.name, _STYLES[row.tone]))
        cells = [
            f"{column.title} {cell}" for column, cell in zip(table.columns, row.cells, strict=True) if cell != NONE
        ]
        console.print(Padding(plain("; ".join(cells), _STYLES[row.tone]), (0, 0, 0, 2)))


def _widths(table: Table, gap: int) -> list[int]:
    """How wide each column is, the names' first, with the gap to the next one."""
    names = max((min(cell_len(row.name), _LONGEST_NAME) for row in table.rows), default=0)
    return [names + gap] + [
        max(cell_len(column.title), *(cell_len(row.cells[place]) for row in table.rows), 1) + gap
        for place, column in enumerate(table.columns)
    ]


def _side_by_side(tables: Sequence[Table], width: int) -> Iterator[tuple[str, Table]]:
    """As many of the tables in one as fit, with the titles of all that are in it."""
    titles: list[str] = []
    together: Table | None = None
    for table in tables:
        joined = table if together is None else _joined(together, table)
        if together is not None and sum(_widths(joined, _GAP)) - _GAP > width:  # nothing stands after the last column
            yield "; ".join(titles), together
            titles, joined = [], table
        titles.append(table.title if not titles else table.title[:1].lower() + table.title[1:])
        together = joined
    if together is not None:
        yield "; ".join(titles), together


def _joined(first: Table, second: Table) -> Table:
    rows = tuple(Row(a.name, a.cells + b.cells, a.tone) for a, b in zip(first.rows, second.rows, strict=True))
    return Table(first.columns + second.columns, rows, first.title, first.names)


def _split(table: Table, width: int, gap: int) -> Iterator[Table]:
    """The table in pieces that fit, each with the names."""
    names, *widths = _widths(table, gap)
    start, used = 0, names
    for place, one in enumerate(widths):
        if place > start and used + one - gap > width:
            yield _columns(table, start, place)
            start, used = place, names
        used += one
    yield _columns(table, start, len(widths))


def _columns(table: Table, start: int, end: int) -> Table:
    shown: tuple[Column, ...] = table.columns[start:end]
    return Table(shown, tuple(Row(row.name, row.cells[start:end], row.tone) for row in table.rows))


def _print_bars(figure: StackedBars, console: Console) -> None:
    """Bars on one scale, each with its length and its largest part in words; the legend says what is what."""
    drawn = 0 if "utf" in console.encoding.lower() else 1
    names = max((min(cell_len(bar.name), _LONGEST_NAME) for bar in figure.bars), default=0)
    totals = max((cell_len(bar.total) for bar in figure.bars), default=0)
    room = max(console.width - names - totals - 4, _SHORTEST_BAR)
    table = RichTable.grid(padding=(0, 2, 0, 0))
    table.add_column(max_width=_LONGEST_NAME, overflow="fold")
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    for bar in figure.bars:
        table.add_row(plain(bar.name), _bar(bar, figure.longest, room, drawn), plain(bar.total))
    console.print(table)
    legend = Text()
    for kind, (*glyphs, colour) in _FILLS.items():
        if any(part.kind == kind and part.value > 0 for bar in figure.bars for part in bar.parts):
            legend.append(glyphs[drawn], style=colour)
            legend.append(f" {kind.replace('_', ' ')} {_range(figure, kind)}  ")
    console.print(Padding(legend, (0, 0, 0, 2)))


def _bar(bar: Bar, longest: float, room: int, drawn: int) -> Text:
    text, reached, cells = Text(), 0.0, 0
    for part in bar.parts:
        reached += part.value
        end = round(room * reached / longest) if longest > 0 else 0
        text.append(_FILLS[part.kind][drawn] * (end - cells), style=_FILLS[part.kind][2])
        cells = end
    return text


def _range(figure: StackedBars, kind: str) -> str:
    """The share that this kind has of the bars, from the least to the largest."""
    shares = []
    for bar in figure.bars:
        whole = sum(part.value for part in bar.parts)
        if whole > 0:
            shares.append(sum(part.value for part in bar.parts if part.kind == kind) / whole)
    low, high = min(shares), max(shares)
    return f"{high:.0%}" if f"{low:.0%}" == f"{high:.0%}" else f"{100 * low:.0f}-{high:.0%}"


@contextmanager
def _unpadded(console: Console) -> Generator[None]:
    """Leaves the spaces away that fill tables up to their width, where what is printed to is no terminal.

    In a pasted text they only make lines longer.
    """
    if console.is_terminal:
        yield
        return
    with console.capture() as printed:
        yield
    lines = [line.rstrip() for line in printed.get().splitlines()]
    console.print(Text("\n".join(lines)), soft_wrap=True)
