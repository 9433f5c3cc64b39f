"""The library: measure an experiment, read a run, compare, write a report. The command line is a thin user of it.

    run = measure(Experiment(suite="questions.yaml", workspace="src", server={"model_path": "models/mine"}))
    print(run.summary.configurations["baseline"].wall_ms, run.compare("adaptive").speedup)
    run.write_report("report.html")

It joins the engine, the analysis and the report, which know nothing of each other, and computes nothing itself. What it
gives is imported from `punie_trace`, which lists it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final

from punie_trace.analysis.contrast import Contrast, contrast_across, contrast_within
from punie_trace.analysis.figures import Comparison, ConfigurationFigures, Summary
from punie_trace.analysis.gates import Gate, GateResult, check_gates, parse_gates
from punie_trace.analysis.observations import Observation
from punie_trace.errors import ConfigurationError, LedgerError, PunieTraceError, RunFolderError, ServerError, nearest
from punie_trace.records import Outcome, SentTo, Verdict
from punie_trace.runs.header import RunHeader, RunStatus
from punie_trace.runs.reader import RunRecord, not_collecting
from punie_trace.runs.reader import read_run as read_record

if TYPE_CHECKING:  # reports and senders are loaded where they are needed
    from punie_trace.engine import measure as engine
    from punie_trace.engine.experiment import Experiment
    from punie_trace.engine.progress import Listener
    from punie_trace.engine.sending import OnStep, Sent
    from punie_trace.report.registry import Export, ReportSource

_WRITTEN_BESIDE: Final = ("html", "parquet")
"""Formats that write a file of their own into the run's folder."""
EXIT_DONE, EXIT_GATE, EXIT_EARLY, EXIT_INTERRUPTED = 0, 1, 4, 130


class Interrupted(KeyboardInterrupt):
    """A run was interrupted, by Ctrl-C or by a signal. `run` is what was measured until then."""

    def __init__(self, run: Run) -> None:
        super().__init__(f"interrupted; what was measured is in {run.folder}")
        self.run = run


class Run:
    """A run in its folder, measured just now or read: its figures, its comparisons, its report.

    Everything is made from the folder when it is first asked for, and raises `RunFolderError` where it cannot be read.
    """

    def __init__(
        self,
        record: RunRecord,
        *,
        gates: Sequence[Gate] = (),
        error: PunieTraceError | None = None,
        sent_to: SentTo | None = None,
    ) -> None:
        self.record = record
        """All that the folder holds: header, outcomes, spans, samples of the machine."""
        self.error = error
        """What ended the run before its end, where it was measured just now; None where nothing did."""
        self.sent_to = sent_to or SentTo()
        """Where spans and metrics went beside the folder, where it was measured just now."""
        self._gates = tuple(gates)

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.record.folder

    @property
    def header(self) -> RunHeader:
        """What was asked for, of whom, on what machine, and how it ended."""
        return self.record.header

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """What became of each query, in the order in which they ended."""
        return self.record.outcomes

    @property
    def status(self) -> RunStatus:
        """How it ended: 'done', 'ended-early' or 'interrupted'; 'running' where it goes on or was killed."""
        return self.header.status

    @property
    def failures(self) -> Mapping[str, str]:
        """Configurations that could not be measured, or not to the end, and why."""
        return self.header.failures

    @cached_property
    def source(self) -> ReportSource:
        """The run as reports of it are made from."""
        from punie_trace.report.registry import ReportSource

        return ReportSource(self.record)

    @property
    def observed(self) -> dict[str, list[Observation]]:
        """Each outcome beside what its spans say, by configuration."""
        with not_collecting():  # there are no cycles in what is read
            return self.source.observed

    @property
    def summary(self) -> Summary:
        """All figures of the run: times in ms, memory in bytes, intervals of 95 %."""
        with not_collecting():
            return self.source.summary

    @property
    def configurations(self) -> Mapping[str, ConfigurationFigures]:
        """The figures of each configuration, in the order to show them."""
        return self.summary.configurations

    @cached_property
    def gates(self) -> tuple[GateResult, ...]:
        """The gates of the experiment, where it was measured just now, each with what was read for it."""
        return check_gates(self._gates, self.summary)

    @property
    def exit_code(self) -> int:
        """What the command line ends with: 0 done; 1 a gate failed; 4 ended early or in part; 130 interrupted."""
        if self.status == "interrupted":
            return EXIT_INTERRUPTED
        if self.status != "done" or self.failures or self.without_an_answer:
            return EXIT_EARLY
        if self.summary.ledger_errors:
            return LedgerError.exit_code
        return EXIT_DONE if all(result.holds for result in self.gates) else EXIT_GATE

    @property
    def without_an_answer(self) -> tuple[str, ...]:
        """Configurations of which every query ended in an error: nothing of them was measured."""
        answered = {one.configuration for one in self.outcomes if one.verdict is not Verdict.ERROR}
        return tuple(dict.fromkeys(one.configuration for one in self.outcomes if one.configuration not in answered))

    def compare(self, configuration: str, baseline: str | None = None) -> Comparison:
        """`configuration` against `baseline`, the run's own if None: speed-up, accuracy, what of the work changed.

        Raises `ConfigurationError` where one of them is not there, or no query was asked in both.
        """
        for name in (configuration, *([baseline] if baseline is not None else [])):
            if name not in self.configurations:
                raise ConfigurationError(f"there is no configuration {name!r}; {nearest(name, self.configurations)}")
        summary = self.summary
        if baseline is not None and baseline != summary.baseline:
            summary = contrast_within(self.record, baseline).summary
        for found in summary.comparisons:
            if found.other == configuration:
                return found
        raise ConfigurationError(
            f"{configuration!r} is what the others are compared with: name one of them, or another baseline"
            if configuration == summary.baseline
            else f"no query was asked both in {configuration!r} and in {summary.baseline!r}"
        )

    def contrast(self, baseline: str | None = None, *, gates: Sequence[str] = ()) -> Contrast:
        """All configurations against `baseline`, the run's own if None, with `gates` checked; as `compare` of two runs.

        Raises `ConfigurationError` where there is no such configuration, or a gate cannot be read.
        """
        return contrast_within(self.record, baseline, parse_gates(gates))

    def write_summary(self) -> Path:
        """Writes `summary.json` into the run's folder, and returns its path."""
        from punie_trace.report.summary_json import write_summary

        return write_summary(self.folder, self.summary)

    def write_report(self, path: Path | str | None = None) -> Path:
        """Writes the report and returns its path: `report.html` in the run's folder, or where `path` says.

        The end of `path` chooses the form: .html (a page of its own), .md, .json (all figures), .csv (a row for each
        query), or the name of a format that was registered. Raises `ConfigurationError` for another one, and
        `RunFolderError` where it cannot be written.
        """
        from punie_trace.report.page import html_report, write_html

        if path is None:
            return write_html(self.folder, html_report(self.record, self.summary, self.observed))
        path = Path(path)
        ending = path.suffix.lower().removeprefix(".")
        text = io.StringIO()
        if ending == "html":
            text.write(html_report(self.record, self.summary, self.observed))
        else:
            self._export(ending).write(self.source, text)
        try:
            path.write_text(text.getvalue(), encoding="utf-8", newline="")
        except OSError as error:
            raise RunFolderError(f"{path}: cannot be written ({error.strerror or error})") from error
        return path

    def _export(self, ending: str) -> Export:
        from punie_trace.report.registry import exports

        known = {name: one for name, one in exports().items() if not one.of_one_query and name not in _WRITTEN_BESIDE}
        name = "markdown" if ending == "md" else ending
        if name not in known:
            raise ConfigurationError(f"there is no report that ends with '.{ending}'; {nearest(name, known)}")
        return known[name]

    def send(self, otlp: str = "auto", otlp_metrics: str = "auto", *, on_step: OnStep | None = None) -> Sent:
        """Sends the run's spans and metrics to collectors, in full; doing so twice does no harm.

        `otlp` and `otlp_metrics` are a collector's URL, 'off', or 'auto': what the environment says, else the usual
        port. What was not accepted is in the answer. Raises `ConfigurationError` where there is nowhere to send it.
        """
        from punie_trace.engine.sending import send_run

        return send_run(self.record, otlp, otlp_metrics, on_step)

    def __repr__(self) -> str:
        names = ", ".join(self.header.names)
        return f"<Run {self.header.id}: {self.status}, {len(self.outcomes)} queries of {names or 'no configuration'}>"

    def _repr_html_(self) -> str:
        """A row for each configuration, as a notebook shows it."""
        head = "".join(f"<th>{title}</th>" for title in ("", "right", "median", "speed-up", "verdict"))
        rows = "".join(
            f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in self._row(name))}</tr>"
            for name in self.configurations
        )
        status = "" if self.status == "done" else f" ({escape(self.status)})"
        return (
            f"<table><caption>{escape(self.summary.run.suite)}, {escape(self.header.id)}{status}</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        )

    def _row(self, name: str) -> tuple[str, ...]:
        from punie_trace.report.units import duration

        figures = self.configurations[name]
        speed = next((one.speed for one in self.summary.comparisons if one.other == name), None)
        shown = "" if speed is None else f"{speed.estimate:.2f}x"
        if speed is not None and speed.low is not None and speed.high is not None:
            shown += f" ({speed.low:.2f} to {speed.high:.2f})"
        verdict = "baseline" if name == self.summary.baseline else speed.verdict if speed is not None else ""
        return (
            name,
            f"{figures.correct}/{figures.queries}",
            duration(figures.wall_ms.median) if figures.wall_ms is not None else "",
            shown,
            "failed" if figures.failure is not None else verdict,
        )


def measure(
    experiment: Experiment,
    *,
    out: Path | str | None = None,
    progress: Listener | None = None,
    otlp: str = "auto",
    otlp_metrics: str = "auto",
    argv: Sequence[str] = (),
) -> Run:
    """Starts the servers, asks the suite, stops the servers, and returns what was measured.

    `out` is the run's folder, which must not hold anything (`runs/<id>` if None). `progress` is called with each event
    of `punie_trace.engine.progress`. `otlp` and `otlp_metrics` say where spans and metrics go beside the folder: 'auto'
    (to a collector, if one answers), 'off' or a URL. `argv` is a command line to remember in the header.

    From a notebook, where an event loop runs, it measures in a thread of its own and returns as well; `measure_async`
    leaves the loop free. Where some configurations fail and others do not, `Run.failures` names them. Raises
    `PunieTraceError` for what is wrong with the set-up, `ServerError` where no server could be brought up, and
    `Interrupted` on Ctrl-C, with what was measured.
    """
    from punie_trace.engine import measure as engine

    return _run_of(engine.measure(experiment, _options(out, otlp, otlp_metrics, argv), progress))


async def measure_async(
    experiment: Experiment,
    *,
    out: Path | str | None = None,
    progress: Listener | None = None,
    otlp: str = "auto",
    otlp_metrics: str = "auto",
    argv: Sequence[str] = (),
) -> Run:
    """As `measure`, beside what else the event loop does: in a thread of its own, with an event loop of its own.

    `progress` is called in that thread. Cancelling it ends the servers and keeps what was measured.
    """
    from punie_trace.engine import measure as engine

    return _run_of(await engine.measure_async(experiment, _options(out, otlp, otlp_metrics, argv), progress))


def read_run(folder: Path | str) -> Run:
    """A run from its folder, finished or not. Raises `RunFolderError` for what is no run, or one of another version."""
    return Run(read_record(Path(folder)))


def compare(first: Run, second: Run, *, baseline: str | None = None, gates: Sequence[str] = ()) -> Contrast:
    """The second run's configurations against their namesakes in the first, or all against its `baseline`.

    `gates` are lines such as 'speedup > 1.5', about the second run. Raises `ConfigurationError` where the two cannot be
    compared, or a name is not there.
    """
    return contrast_across(first.record, second.record, baseline, parse_gates(gates))


def _options(out: Path | str | None, otlp: str, otlp_metrics: str, argv: Sequence[str]) -> engine.Options:
    from punie_trace.engine import measure as engine

    return engine.Options(Path(out) if out is not None else None, otlp, otlp_metrics, tuple(argv))


def _run_of(measured: engine.Measured) -> Run:
    """The run; raises instead where it was interrupted, or where nothing at all could be measured."""
    with not_collecting():
        record = read_record(measured.folder)
    run = Run(record, gates=measured.gates, error=measured.error, sent_to=measured.sent_to)
    if measured.status == "interrupted":
        raise Interrupted(run)
    if not run.outcomes:
        if measured.error is not None:
            raise measured.error
        if run.failures:
            reasons = dict.fromkeys(run.failures.values())
            raise ServerError(
                "no server could be brought up, and nothing was measured:\n"
                + "\n".join(f"{_named(run, reason)}: {reason}" for reason in reasons)
                + f"\nwhat there is of the run is in {run.folder}"
            )
    return run


def _named(run: Run, reason: str) -> str:
    return ", ".join(name for name, other in run.failures.items() if other == reason)
