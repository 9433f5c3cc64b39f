"""What goes into a measurement beside the experiment, and what comes out: values that every way of measuring shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from punie_trace.analysis.gates import Gate
from punie_trace.analysis.running import relative_work
from punie_trace.engine.experiment import Experiment
from punie_trace.engine.loads import one_by_one, planned_each, seconds_of
from punie_trace.engine.plan import Plan
from punie_trace.engine.progress import PhaseStarted, RunPlanned
from punie_trace.engine.questions import Questions
from punie_trace.engine.rounds import most_rounds
from punie_trace.errors import PunieTraceError
from punie_trace.records import Query, SentTo
from punie_trace.runs.header import RunStatus
from punie_trace.runs.secrets import Secrets
from punie_trace.suite.load import Suite

RUNS: Final = Path("runs")
"""Where run folders go if nothing else is asked for."""


@dataclass(frozen=True, slots=True)
class Options:
    """How one run is carried out, beside what is measured.

    `otlp` and `otlp_metrics` are 'auto' (if a collector answers), 'off' or a URL. `argv` is the command line that began
    it, for the header.
    """

    out: Path | None = None
    otlp: str = "auto"
    otlp_metrics: str = "auto"
    argv: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan whose questions, workspace and models were found to be there."""

    plan: Plan
    questions: Questions
    secrets: Secrets
    """What may stand in nothing that is written, raised or announced."""


@dataclass(frozen=True, slots=True)
class Measured:
    """How a run ended. What was measured is in `folder`."""

    folder: Path
    status: RunStatus
    error: PunieTraceError | None
    """What ended the run before its end; None where nothing did."""
    gates: tuple[Gate, ...]
    """What remains to be checked."""
    sent_to: SentTo
    """Where spans and metrics went beside the folder."""


def new_folder(options: Options, run_id: str) -> Path:
    """Where the run `run_id` goes."""
    return options.out or RUNS / run_id


def planned_event(folder: Path, plan: Plan, suite: Suite) -> RunPlanned:
    """What is told of a run that is about to begin."""
    experiment = plan.experiment
    groups = {c.name: c.group for c in plan.configurations}
    decides = experiment.until is not None
    each = planned_each(experiment, suite.queries, most_rounds(experiment) if decides else None)
    seconds = seconds_of(experiment, len(groups))
    return RunPlanned(folder, groups, each, seconds, relative_work(suite.queries, experiment.rounds), at_most=decides)


def warm_up_event(
    experiment: Experiment, queries: Sequence[Query], names: Sequence[str], askers: int = 1
) -> PhaseStarted:
    """What is told when `askers` are about to ask each of the configurations `names` what does not count."""
    asked = queries[: experiment.warm_up]
    work = relative_work(queries, experiment.rounds)
    alone = f" {names[0]}" if one_by_one(experiment) else ""
    times = askers * len(names)
    return PhaseStarted(f"warming up{alone}", "warm-up", times * len(asked), times * sum(work[q.name] for q in asked))
