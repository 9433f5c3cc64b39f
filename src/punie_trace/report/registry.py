"""What a report is made of and can be added to from outside: columns of its tables, formats of `report --format`.

    register_column("Work", "tokens a right answer", lambda row: ...)
    register_export("ndjson", write_ndjson, "a line of JSON for each query")

A column stands in the console's tables, in markdown and on the page; a format is a name for `--format`. The package's
own are registered in the same way, in `configuration_columns`, `server_columns`, `code_columns` and `exports`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final, TextIO, TypeAlias

from punie_trace.analysis.figures import Comparison, ConfigurationFigures, Summary
from punie_trace.analysis.named_figures import comparison_of
from punie_trace.analysis.observations import Observation, observe
from punie_trace.analysis.summary import summarize
from punie_trace.errors import ConfigurationError, nearest
from punie_trace.report.model import Column, Row, Table, Tone
from punie_trace.runs.reader import RunRecord

SCREEN: Final = "Configurations"
"""The one table of the screen at the end of a run: its cells are short."""
_TONES: Final[dict[str, Tone]] = {"faster": "good", "slower": "bad", "failed": "bad"}


@dataclass(frozen=True, slots=True)
class ConfigurationRow:
    """What a cell is made from: a configuration, its figures, its comparison with the baseline, and all of the run."""

    name: str
    figures: ConfigurationFigures
    comparison: Comparison | None
    summary: Summary

    @property
    def verdict(self) -> str:
        """Who is faster, in a word; 'baseline', or why there is no such verdict, where the configuration has none."""
        if self.figures.failure is not None:
            return "failed"
        if self.comparison is not None and self.comparison.speed is not None:
            return self.comparison.speed.verdict
        if self.comparison is not None:
            return "no pairs" if self.comparison.speed_again is None else "cannot tell"
        if not self.figures.outcomes:
            return "not measured"
        return "baseline" if self.name == self.summary.baseline else "no pairs"


Show: TypeAlias = Callable[[ConfigurationRow], str]


@dataclass(frozen=True, slots=True)
class ConfigurationColumn:
    """A column of the table named `group`: what it shows for a configuration."""

    group: str
    title: str
    show: Show
    numeric: bool = True


@dataclass(frozen=True)
class ReportSource:
    """A run to be reported on, with its summary made when first asked for; `query` and the rest choose one trace."""

    run: RunRecord
    query: str | None = None
    configuration: str | None = None
    round: int | None = None

    @cached_property
    def observed(self) -> dict[str, list[Observation]]:
        """Each outcome beside what its spans say, by configuration."""
        return observe(self.run)

    @cached_property
    def summary(self) -> Summary:
        """All figures. Raises `RunFolderError` where the spans cannot be read."""
        return summarize(self.run, self.observed)


WriteExport: TypeAlias = Callable[[ReportSource, TextIO], None]


@dataclass(frozen=True, slots=True)
class Export:
    """A format of `report --format`: `write` prints the run in it, or writes a file and prints its path."""

    name: str
    write: WriteExport
    about: str = ""
    of_one_query: bool = False


_columns: dict[tuple[str, str], ConfigurationColumn] = {}
_exports: dict[str, Export] = {}


def register_column(group: str, title: str, show: Show, *, numeric: bool = True) -> None:
    """Add a column to the table named `group`, after those that it has; a new name makes a table of its own.

    The table `SCREEN` is the one that stands on the screen at the end of a run.

    `show` gives the cell for one configuration, as plain text. Raises `ConfigurationError` where the table has a
    column of that title.
    """
    _built_in("configuration_columns", "server_columns", "code_columns")
    if (group, title) in _columns:
        raise ConfigurationError(f"the table {group!r} has a column {title!r} already: choose another title")
    _columns[group, title] = ConfigurationColumn(group, title, show, numeric)


def register_export(name: str, write: WriteExport, about: str = "", *, of_one_query: bool = False) -> None:
    """Add a format for `report --format`. With `of_one_query`, the user chooses the query that it shows.

    Raises `ConfigurationError` where there is a format of that name.
    """
    _built_in("exports")
    if name in _exports:
        raise ConfigurationError(f"there is a format {name!r} already: choose another name")
    _exports[name] = Export(name, write, about, of_one_query)


def columns() -> tuple[ConfigurationColumn, ...]:
    """All columns, in the order in which they were registered."""
    _built_in("configuration_columns", "server_columns", "code_columns")
    return tuple(_columns.values())


def exports() -> dict[str, Export]:
    """All formats by name."""
    _built_in("exports")
    return dict(_exports)


def export_named(name: str) -> Export:
    """The format of that name. Raises `ConfigurationError` with the nearest known one."""
    known = exports()
    if name not in known:
        raise ConfigurationError(f"there is no format {name!r}; {nearest(name, list(known))}")
    return known[name]


def configuration_table(shown: tuple[ConfigurationColumn, ...], summary: Summary, title: str = "") -> Table:
    """A row for each configuration, with these columns."""
    rows = []
    for name, figures in summary.configurations.items():
        row = ConfigurationRow(name, figures, comparison_of(summary, name), summary)
        # Green and red say who is faster: beside anything but the verdict they would say something else.
        toned = row.verdict == "failed" or any(column.title == "verdict" for column in shown)
        tone = _TONES.get(row.verdict, "neutral") if toned else "neutral"
        rows.append(Row(name, tuple(column.show(row) for column in shown), tone))
    return Table(tuple(Column(one.title, one.numeric) for one in shown), tuple(rows), title, "configuration")


def _built_in(*modules: str) -> None:
    """Whatever is registered from outside stands after the package's own."""
    for module in modules:
        importlib.import_module(f"punie_trace.report.{module}")
