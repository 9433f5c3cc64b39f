"""What is known of a run so far, as a table for a terminal of any width, or as one line. Nothing is computed here.

The table is drawn anew again and again, so it has no more rows than there are configurations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from punie_trace.analysis.running import Counted, Remaining, RunningFigures
from punie_trace.report.units import duration, interval, span

BAR_WIDTH: Final = 24
_WIDE: Final = 104
"""From so many columns on there is room for where the time goes."""
_NARROW: Final = 72
"""Below so many columns, each configuration has lines of its own instead of a row."""
_LONGEST_NAME: Final = 24
_NS_PER_MS: Final = 1e6
_COLOURS: Final = (
    ("generation", "generation_ns", "blue"),
    ("tool", "tool_ns", "green"),
    ("framework", "framework_ns", "yellow"),
    ("client queue", "client_queue_ns", "magenta"),
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run at one moment. `busy` holds what the servers of configurations do that are not ready."""

    figures: Mapping[str, RunningFigures]
    counted: Mapping[str, Counted]
    planned: Mapping[str, int]
    failed: frozenset[str]
    remaining: Remaining | None
    elapsed_s: float
    phase: str
    busy: Mapping[str, str]

    @property
    def asked(self) -> int:
        """Queries that have ended."""
        return sum(one.asked for one in self.counted.values())

    @property
    def total(self) -> int:
        """Queries to be asked; 0 where that is not known."""
        return sum(self.planned.values()) if all(self.planned.values()) else 0


def live_table(now: Snapshot, width: int) -> RenderableType:
    """A row for each configuration, and below them how far it is and how long it will take."""
    if not now.planned:
        return Text(f"{clock(now.elapsed_s)}  {now.phase}")
    parts = [_rows(now, width)] if width >= _NARROW else list(_lines(now))
    if width >= _WIDE and now.asked:
        parts.append(Text.assemble(*[part for label, _, colour in _COLOURS for part in (("■ ", colour), f"{label}  ")]))
    foot = Table.grid(padding=(0, 1))
    bar = ProgressBar(
        total=now.total or None, completed=now.asked, width=min(30, max(width // 4, 8)), pulse=not now.total
    )
    foot.add_row(bar, Text(how_far(now)))
    waiting = "; ".join(f"{name}: {state}" for name, state in now.busy.items() if name not in now.failed)
    return Group(*parts, foot, Text(f"{now.phase} ({waiting})" if waiting else now.phase, style="dim"))


def _rows(now: Snapshot, width: int) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("so far", max_width=_LONGEST_NAME, overflow="fold")
    for title in ("asked", "right", "median (95 %)", "speed-up (95 %)"):
        table.add_column(title, justify="right", overflow="fold")
    if width >= _WIDE:
        table.add_column("where the time goes")
    for name in now.planned:
        table.add_row(name, *_cells(now, name), *([_shares(now.counted[name])] if width >= _WIDE else []))
    return table


def _lines(now: Snapshot) -> Iterator[RenderableType]:
    for name in now.planned:
        asked, right, middle, speed = _cells(now, name)
        yield Text(f"{name} {asked}{f', {right} right' if right else ''}")
        if middle or speed:
            yield Padding(Text(", ".join(filter(None, (middle, speed)))), (0, 0, 0, 2))


def plain_line(now: Snapshot) -> str:
    """The same in one line, for a log or a screen reader."""
    if not now.asked:
        waiting = "; ".join(f"{name}: {state}" for name, state in now.busy.items() if name not in now.failed)
        return f"{clock(now.elapsed_s)}  {now.phase}{f' ({waiting})' if waiting else ''}; {how_far(now, clocked=False)}"
    known = []
    for name, one in now.figures.items():
        if one.median_ns is None:
            continue
        speed = one.speed
        shown = "" if speed is None else f", {speed.estimate:.2f}x {interval(speed.low, speed.high)}".rstrip()
        known.append(f"{name} {_ms(one.median_ns.value)}{shown}")
    medians = f"; median so far: {'; '.join(known)}" if known else ""
    return f"{clock(now.elapsed_s)}  {how_far(now, clocked=False)}{medians}"


def how_far(now: Snapshot, *, clocked: bool = True) -> str:
    """How much was asked, and how long it will go on."""
    asked = f"{now.asked} of {now.total} asked" if now.total else f"{now.asked} asked"
    if clocked:
        asked = f"{asked} in {clock(now.elapsed_s)}"
    if now.remaining is None:
        return f"{asked}; how long, the warm-up will tell"
    how = "at most" if now.remaining.at_most else "about"
    return f"{asked}, {how} {clock(now.remaining.seconds)} to go"


def clock(seconds: float) -> str:
    """'0:21', '12:05', '1:02:30'."""
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _cells(now: Snapshot, name: str) -> tuple[str, str, str, str]:
    counted = now.counted[name]
    planned = now.planned[name]
    asked = f"{counted.asked}/{planned}" if planned else str(counted.asked)
    if name in now.failed:
        return asked, "", "failed", ""
    one = now.figures.get(name)
    if one is None or one.median_ns is None:
        return asked, str(counted.right) if counted.asked else "", "", ""
    middle = f"{_ms(one.median_ns.value)} {span(one.median_ns.low, one.median_ns.high, _ms)}".rstrip()
    speed = ""
    if one.speed is not None:
        speed = f"{one.speed.estimate:.2f}x {interval(one.speed.low, one.speed.high)}".rstrip()
    return asked, str(counted.right), middle, speed


def _ms(ns: float) -> str:
    return duration(ns / _NS_PER_MS)


def _shares(counted: Counted) -> Text:
    """The ledger so far as one bar of `BAR_WIDTH` cells."""
    text = Text()
    if not counted.wall_ns:
        return text
    cells, drawn = 0.0, 0
    for _, line, colour in _COLOURS:
        cells += BAR_WIDTH * counted.lines[line] / counted.wall_ns
        text.append("█" * (round(cells) - drawn), style=colour)
        drawn = round(cells)
    text.append(f" {100 * counted.lines['generation_ns'] / counted.wall_ns:.0f} %")
    return text
