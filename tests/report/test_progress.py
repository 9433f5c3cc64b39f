"""What a person sees while a run goes on: figures at once, how long it takes, at any width."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from punie_trace.engine.progress import (
    ConfigurationFailed,
    Event,
    PhaseStarted,
    QueryEnded,
    RunPlanned,
    ServerChanged,
)
from punie_trace.report.progress import Progress
from punie_trace.report.running_table import clock
from tests.analysis.test_running import outcome

PLANNED = RunPlanned(Path("runs/one"), {"baseline": "server-1", "speculative-3": "server-2"}, 5)
UP = (
    PLANNED,
    PhaseStarted("starting baseline"),
    ServerChanged("server-1", "ready"),
    PhaseStarted("starting speculative-3"),
    ServerChanged("server-2", "loading"),
)
MEASURING = (ServerChanged("server-2", "ready"), PhaseStarted("measuring", "measuring"))
ANSWERS = tuple(
    QueryEnded(*outcome(name, f"q{number}", wall + number / 10))
    for number in range(3)
    for name, wall in (("baseline", 2.0), ("speculative-3", 1.0))
)


def shown(*events: Event, width: int = 80, terminal: bool = False) -> str:
    """What is on the screen after these events; of a live display the last picture of it."""
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None)
    progress = Progress(console, live=False)
    for event in events:
        progress(event)
    if terminal:
        with console.capture() as captured:
            console.print(progress._render())
        return captured.get()
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_the_table_fits_any_width_and_has_each_figure_with_its_interval(width: int) -> None:
    text = shown(*UP, *MEASURING, *ANSWERS, width=width, terminal=True)
    assert max(map(len, text.splitlines())) <= width
    words = " ".join(text.split())
    for part in ("baseline", "speculative-3", "3/5", "2.10 s", "1.10 s", "1.91x", "6 of 10 asked", "to go"):
        assert part in words
    assert ("where the time goes" in words) is (width >= 104)
    assert "(1.72-2.13)" in words


def test_while_servers_start_it_says_which_and_promises_nothing() -> None:
    text = shown(*UP, terminal=True)
    assert "starting speculative-3 (speculative-3: loading)" in text
    assert "how long, the warm-up will tell" in text


def test_a_configuration_that_failed_stays_in_its_row() -> None:
    text = shown(*UP, *MEASURING, ConfigurationFailed("speculative-3", "it died"), *ANSWERS[:1], terminal=True)
    assert "failed" in next(line for line in text.splitlines() if line.startswith("speculative-3"))
    assert "speculative-3 failed: it died" in shown(PLANNED, ConfigurationFailed("speculative-3", "it died"))


def test_without_a_terminal_the_first_figures_come_at_once_in_a_line() -> None:
    assert "median so far" not in shown(*UP, *MEASURING, *ANSWERS[:1])
    text = shown(*UP, *MEASURING, *ANSWERS[:2])
    assert "2 of 10 asked, about 0:" in text
    assert "median so far: baseline 2.00 s; speculative-3 1.00 s, 2.00x" in text
    assert "\x1b" not in text


def test_without_a_terminal_a_line_comes_while_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("punie_trace.report.progress.PLAIN_EVERY_S", ((float("inf"), 0.0),))
    console = Console(file=io.StringIO(), width=80, color_system=None)
    assert isinstance(console.file, io.StringIO)
    with Progress(console, live=False) as progress:
        for event in UP:
            progress(event)
        for _ in range(300):
            if "starting speculative-3 (speculative-3: loading)" in console.file.getvalue():
                break
            progress._ended.wait(0.05)
    assert "starting speculative-3 (speculative-3: loading)" in console.file.getvalue()


def test_it_keeps_its_time_among_hours() -> None:
    assert [clock(seconds) for seconds in (0, 59.6, 61, 3750)] == ["0:00", "1:00", "1:01", "1:02:30"]
