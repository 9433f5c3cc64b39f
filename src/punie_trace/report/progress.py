"""What a person sees while a run goes on: a live table on a terminal, plain lines elsewhere. Everything goes to stderr.

Figures shown here are running means of what was measured so far; the report at the end is made from the run folder.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from punie_trace.engine.progress import (
    ConfigurationFailed,
    Event,
    Noted,
    PhaseStarted,
    QueryEnded,
    RunPlanned,
    ServerChanged,
)
from punie_trace.outside_text import one_line, printable
from punie_trace.records import Ledger, Outcome, Verdict

PLAIN_INTERVAL_S = 10.0
BAR_WIDTH = 24
_LONGEST_STATE = 60
LINES = (
    ("generation", "generation_ns", "blue"),
    ("tool", "tool_ns", "green"),
    ("framework", "framework_ns", "yellow"),
    ("client queue", "client_queue_ns", "magenta"),
)


@dataclass(slots=True)
class _Row:
    group: str
    total: int
    done: int = 0
    correct: int = 0
    wall_ns: int = 0
    lines: dict[str, int] = field(default_factory=lambda: {name: 0 for _, name, _ in LINES})
    failure: str | None = None


class Progress:
    """A run on a terminal: a listener to its events, which shows them.

    Use it as a context manager; outside it, nothing is shown live.
    """

    def __init__(self, console: Console, *, live: bool | None = None) -> None:
        self._console = console
        self._live_wanted = console.is_terminal if live is None else live
        self._live: Live | None = None
        self._rows: dict[str, _Row] = {}
        self._servers: dict[str, str] = {}
        self._phase = "starting"
        self._started = time.monotonic()
        self._last_plain = 0.0

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        context: AbstractContextManager[object] = nullcontext()
        if self._live_wanted:
            self._live = Live(get_renderable=self._render, console=self._console, refresh_per_second=4, transient=True)
            context = self._live
        context.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, value, trace)
            self._live = None

    def __call__(self, event: Event) -> None:
        """Show one event."""
        match event:
            case RunPlanned():
                self._rows = {name: _Row(group, event.queries_each) for name, group in event.groups.items()}
                self._servers = dict.fromkeys(event.groups.values(), "waiting")
            case PhaseStarted():
                self._phase = event.text
                self._print_plainly(event.text)
            case Noted():
                self._print(event.text)
            case ServerChanged():
                if self._servers.get(event.group) != event.state:
                    self._servers[event.group] = event.state
                    self._print_plainly(f"{event.group}: {event.state}")
            case ConfigurationFailed():
                self._rows[event.configuration].failure = event.reason
                self._print(f"{event.configuration} failed: {event.reason}")
            case QueryEnded():
                self._count(event.outcome, event.ledger)

    def _count(self, outcome: Outcome, ledger: Ledger) -> None:
        row = self._rows[outcome.configuration]
        row.done += 1
        row.correct += outcome.verdict is Verdict.CORRECT
        row.wall_ns += ledger.wall_ns
        for _, name, _ in LINES:
            row.lines[name] += getattr(ledger, name)
        if self._live is None and time.monotonic() - self._last_plain >= PLAIN_INTERVAL_S:
            self._last_plain = time.monotonic()
            done, total = sum(r.done for r in self._rows.values()), sum(r.total for r in self._rows.values())
            of = f" of {total}" if total else ""
            self._console.print(f"{done}{of} queries, {self._elapsed()}", highlight=False)

    def _print(self, text: str) -> None:
        """On the screen whether or not it is live, and stays there."""
        self._console.print(escape(printable(text)), highlight=False, soft_wrap=True)

    def _print_plainly(self, text: str) -> None:
        """Where nothing is live, which would show it in its place."""
        if self._live is None:
            self._print(text)

    def _elapsed(self) -> str:
        seconds = int(time.monotonic() - self._started)
        return f"{seconds // 60}:{seconds % 60:02d}"

    def _render(self) -> Group:
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("configuration")
        table.add_column("server")
        table.add_column("queries", justify="right")
        table.add_column("correct", justify="right")
        table.add_column("mean", justify="right")
        table.add_column("where the time went")
        for name, row in self._rows.items():
            state = "failed" if row.failure else escape(one_line(self._servers.get(row.group, ""), _LONGEST_STATE))
            mean = f"{row.wall_ns / row.done / 1e9:.2f} s" if row.done else ""
            table.add_row(
                name, state, _of(row.done, row.total), f"{row.correct}" if row.done else "", mean, _shares(row)
            )
        done, total = sum(r.done for r in self._rows.values()), sum(r.total for r in self._rows.values())
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            ProgressBar(total=total or None, completed=done, width=40, pulse=not total),
            _of(done, total),
            self._elapsed(),
            self._phase,
        )
        legend = Text.assemble(*[part for label, _, colour in LINES for part in (("■ ", colour), f"{label}  ")])
        return Group(table, legend, bar)


def _of(done: int, total: int) -> str:
    return f"{done}/{total}" if total else str(done)


def _shares(row: _Row) -> Text:
    """The ledger so far as one bar of `BAR_WIDTH` cells."""
    if not row.wall_ns:
        return Text("")
    text = Text()
    cells = 0.0
    drawn = 0
    for _, name, colour in LINES:
        cells += BAR_WIDTH * row.lines[name] / row.wall_ns
        text.append("█" * (round(cells) - drawn), style=colour)
        drawn = round(cells)
    text.append(f" {100 * row.lines['generation_ns'] / row.wall_ns:.0f} % generation")
    return text
