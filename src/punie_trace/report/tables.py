"""The parts of the console report that are not a row for each configuration, and how all its tables and texts look.

All text that comes from a model, a server or a suite goes through `plain`.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from punie_trace.analysis.figure_kinds import Observed
from punie_trace.analysis.figures import CategoryFigures, Summary
from punie_trace.report.units import duration

NONE: Final = "-"
UNSEEN: Final = "not observable"
_LONGEST_NAME: Final = 20
_CATEGORY_CELL: Final = 13


@contextmanager
def unpadded(console: Console) -> Generator[None]:
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


def new_table() -> Table:
    """An empty table whose first column is for names, which are folded where they are long and never cut off."""
    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
        pad_edge=False,
    )
    table.add_column("", max_width=_LONGEST_NAME, overflow="fold")
    return table


def print_table(title: str, table: Table, console: Console) -> None:
    """The table below its title (rich's own titles wrap at the table's width), with an empty line above."""
    console.print()
    console.print(plain(title, "bold"))
    console.print(table)


def print_rows(title: str, titles: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]], console: Console) -> None:
    """A table of texts with a name for each row; nothing where there are no rows."""
    if not rows:
        return
    table = new_table()
    for one in titles:
        table.add_column(one, justify="right", no_wrap=True)
    for name, cells in rows:
        table.add_row(plain(name), *map(plain, cells))
    print_table(title, table, console)


def print_list(title: str, texts: Sequence[str], console: Console, style: str = "") -> None:
    """A title and an item for each text; nothing where there is none."""
    if not texts:
        return
    console.print()
    console.print(Text(title, style="bold"))
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold", style=style)
    for text in texts:
        table.add_row("-", plain(text))
    console.print(table)


def print_categories(summary: Summary, console: Console) -> None:
    """Median wall and speed-up by category, as many configurations side by side as fit; only from two categories on."""
    categories = list(dict.fromkeys(name for one in summary.configurations.values() for name in one.by_category))
    names = [name for name, figures in summary.configurations.items() if figures.by_category]
    if len(categories) < 2:
        return
    cell = max(_CATEGORY_CELL, *(min(len(name), _LONGEST_NAME) for name in names)) + 2
    first = min(max(map(len, categories)), _LONGEST_NAME)
    fit = max(1, (console.width - first) // cell)
    for start in range(0, len(names), fit):
        shown = names[start : start + fit]
        table = new_table()
        for name in shown:
            table.add_column(plain(name), justify="right", max_width=_LONGEST_NAME, overflow="fold")
        for category in categories:
            table.add_row(plain(category), *(_category_cell(summary, name, category) for name in shown))
        print_table("By category: median, speed-up (right, where not all are)", table, console)


def _category_cell(summary: Summary, name: str, category: str) -> Text:
    one: CategoryFigures | None = summary.configurations[name].by_category.get(category)
    if one is None:
        return plain(NONE)
    parts = [NONE if one.wall_ms_median is None else duration(one.wall_ms_median)]
    speeds = [comparison.speed_by_category for comparison in summary.comparisons if comparison.other == name]
    parts.extend(f"{speed[category].value:.2f}x" for speed in speeds if category in speed)
    if one.correct < one.queries:
        parts.append(f"({one.correct}/{one.queries})")
    return plain(" ".join(parts))


def print_split(summary: Summary, console: Console) -> None:
    """Mean phases of a generation, those that were seen anywhere; below, why the others were not."""
    rows = {name: figures.generation_split_ms for name, figures in summary.configurations.items()}
    phases = list(dict.fromkeys(phase for row in rows.values() for phase in row))
    seen = [phase for phase in phases if any(row[phase].value is not None for row in rows.values())]
    if seen:
        table = new_table()
        for phase in seen:
            table.add_column(_words(phase), justify="right", no_wrap=True)
        for name, row in rows.items():
            table.add_row(plain(name), *(plain(_phase_cell(row[phase])) for phase in seen))
        print_table("A generation: mean of each phase", table, console)
        partly = [name for name, row in rows.items() if any(0 < row[phase].n < row[phase].of for phase in seen)]
        if partly:
            said = ", ".join(f"{name} {_share_seen(rows[name], seen)}" for name in partly)
            console.print(Padding(plain(f"* not seen in every generation: {said}", "dim"), (0, 0, 0, 2)))
    reasons: dict[tuple[str, str], None] = {}
    for row in rows.values():
        for phase, one in row.items():
            if one.of and one.not_observable is not None:
                reasons[_words(phase), one.not_observable] = None
    for phase, reason in reasons:
        console.print(Padding(plain(f"{phase} not observable: {reason}", "dim"), (0, 0, 0, 2)))


def _phase_cell(one: Observed) -> str:
    if one.value is None:
        return UNSEEN if one.of else NONE
    return duration(one.value) + ("*" if one.n < one.of else "")


def _share_seen(row: Mapping[str, Observed], seen: Sequence[str]) -> str:
    return " and ".join(dict.fromkeys(f"{row[p].n}/{row[p].of}" for p in seen if 0 < row[p].n < row[p].of))


def _words(phase: str) -> str:
    return phase.replace("_", " ")


def plain(text: str, style: str = "") -> Text:
    """The text as it is, on one line, without markup and without what a terminal would obey or could not show."""
    return Text("".join(char if char.isprintable() else " " for char in text), style=style)
