"""What a person sees while a run goes on: a live table on a terminal, a line now and then elsewhere. All to stderr.

Figures are those of `analysis.running`: what was measured so far, with intervals that shrink. No verdict is among them:
whoever looks until one appears finds it too often. The report at the end is made from the run folder.
"""

from __future__ import annotations

import threading
import time
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Final, Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.markup import escape

from punie_trace.analysis.running import Pace, Running, RunningFigures
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
from punie_trace.report.running_table import Snapshot, live_table, plain_line

REFRESHES: Final = 2
"""A second. Drawing takes time from what is measured."""
RECKONED_EVERY_S: Final = 1.0
_COST: Final = 50
"""Reckoning figures may take one part in so many of the time."""
PLAIN_EVERY_S: Final = ((60.0, 10.0), (600.0, 30.0), (float("inf"), 60.0))
"""Until a run is so old, a line at most so often; seconds."""
_LONGEST_STATE: Final = 60


class Progress:
    """A run on a terminal: a listener to its events, which shows them.

    Use it as a context manager; outside it, nothing is shown live.
    """

    def __init__(self, console: Console, *, live: bool | None = None) -> None:
        self._console = console
        self._live_wanted = console.is_terminal if live is None else live
        self._live: Live | None = None
        self._running = Running(())
        self._pace = Pace({})
        self._groups: dict[str, str] = {}
        self._servers: dict[str, str] = {}
        self._failed: set[str] = set()
        self._phase = "starting"
        self._started = time.monotonic()
        self._figures: dict[str, RunningFigures] = {}
        self._stale = True
        self._next_reckoning = 0.0
        self._shown = 0.0
        self._shown_all = False
        self._ended = threading.Event()
        self._ticking: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._started = self._shown = time.monotonic()
        context: AbstractContextManager[object] = nullcontext()
        if self._live_wanted:
            self._live = Live(
                get_renderable=self._render, console=self._console, refresh_per_second=REFRESHES, transient=True
            )
            context = self._live
        else:
            # A line now and then while nothing happens as well: a model may take minutes to load, or to answer.
            self._ticking = threading.Thread(target=self._tick, name="punie-trace-progress", daemon=True)
            self._ticking.start()
        context.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, value, trace)
            self._live = None
        self._ended.set()
        if self._ticking is not None:
            self._ticking.join()
            self._ticking = None

    def __call__(self, event: Event) -> None:
        """Show one event."""
        match event:
            case RunPlanned():
                self._plan(event)
            case PhaseStarted():
                self._begin(event)
            case Noted():
                self._print(event.text)
            case ServerChanged():
                if self._servers.get(event.group) != event.state:
                    self._servers[event.group] = event.state
                    self._print_plainly(f"{event.group}: {event.state}")
            case ConfigurationFailed():
                self._failed.add(event.configuration)
                self._print(f"{event.configuration} failed: {event.reason}")
            case QueryEnded():
                self._running.add(event.outcome, event.ledger, tells=event.tells)
                self._stale = True
                if not self._shown_all and all(one.asked for one in self._running.counted.values()):
                    self._shown_all = True  # the first figures of all: whoever waits for them need not wait longer
                    self._print_line()

    def _plan(self, event: RunPlanned) -> None:
        self._running = Running(event.groups, event.work)
        self._groups = dict(event.groups)
        self._servers = dict.fromkeys(event.groups.values(), "waiting")
        planned = dict.fromkeys(event.groups, event.queries_each)
        self._pace = Pace(planned, event.seconds, event.at_most)

    def _begin(self, event: PhaseStarted) -> None:
        now = time.monotonic()
        self._phase = event.text
        if event.phase == "warm-up":
            self._pace.warming_up(now, event.work)
        elif event.phase == "measuring":
            self._pace.measuring(now)
        self._print_plainly(event.text)

    def _tick(self) -> None:
        """Prints a line now and then, until the run has ended."""
        while not self._ended.wait(1.0):
            now = time.monotonic()
            every = next(every for age, every in PLAIN_EVERY_S if now - self._started < age)
            if now - self._shown >= every:
                self._print_line()

    def _print_line(self) -> None:
        if self._live is None:
            self._shown = time.monotonic()
            self._print(plain_line(self._snapshot()))

    def _print(self, text: str) -> None:
        """On the screen whether or not it is live, and stays there."""
        self._console.print(escape(printable(text)), highlight=False, soft_wrap=True)

    def _print_plainly(self, text: str) -> None:
        """Where nothing is live, which would show it in its place."""
        if self._live is None:
            self._print(text)

    def _render(self) -> RenderableType:
        return live_table(self._snapshot(), self._console.width)

    def _snapshot(self) -> Snapshot:
        now = time.monotonic()
        if self._stale and (self._live is None or now >= self._next_reckoning):
            self._stale = False
            self._figures = self._running.figures()
            cost = time.monotonic() - now
            self._next_reckoning = now + max(RECKONED_EVERY_S, _COST * cost)
        return Snapshot(
            figures=self._figures,
            counted=self._running.counted,
            planned=self._pace.planned,
            failed=frozenset(self._failed),
            remaining=self._pace.remaining(now, self._running.counted, self._failed),
            elapsed_s=now - self._started,
            phase=printable(self._phase),
            busy={
                name: one_line(state, _LONGEST_STATE)
                for name, group in self._groups.items()
                if (state := self._servers.get(group, "")) not in ("ready", "")
            },
        )
