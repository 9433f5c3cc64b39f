"""`punie-trace run`: from a configuration to a run folder, a summary and an exit code."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import anyio
from pydantic import JsonValue
from rich.console import Console

from punie_trace.agent.toolbox import Toolbox
from punie_trace.agent.workspace import Workspace
from punie_trace.analysis.gates import check_gates
from punie_trace.cli.openblas import restart_with_openblas
from punie_trace.cli.report_command import show_report
from punie_trace.driver.precise_loop import new_event_loop
from punie_trace.engine.config import LoadConfig, RunConfig
from punie_trace.engine.gates import gates_of
from punie_trace.engine.load_config import describe_load, planned_each
from punie_trace.engine.machine import read_machine, read_versions
from punie_trace.engine.measure import Measurement
from punie_trace.engine.plan import Plan, make_plan
from punie_trace.engine.rounds import most_rounds
from punie_trace.engine.secrets import redacted, without_secrets
from punie_trace.engine.tracing import Tracing
from punie_trace.errors import PunieTraceError, RunFolderError
from punie_trace.report.console import print_gates
from punie_trace.report.interfaces import deep_links, show_links
from punie_trace.report.progress import Progress
from punie_trace.runs.header import Clock as ClockRecord
from punie_trace.runs.header import RunHeader, RunStatus, SuiteRecord
from punie_trace.runs.reader import not_collecting, read_run
from punie_trace.runs.writer import RunWriter, new_run_id
from punie_trace.servers.models import check_models
from punie_trace.spans.clock import Clock
from punie_trace.suite.load import Suite, load_suite, sample_workspace

EXIT_DONE, EXIT_GATE, EXIT_NO_SERVER, EXIT_EARLY, EXIT_INTERRUPTED = 0, 1, 3, 4, 130
RUNS = Path("runs")


def run_command(
    config: RunConfig,
    *,
    only: tuple[str, ...],
    out: Path | None,
    otlp: str,
    otlp_metrics: str = "auto",
    plain: bool,
    argv: list[str],
) -> int:
    """Measures, reports, returns the exit code. Raises `PunieTraceError` for what a user can mend before a start."""
    suite = load_suite(config.suite)
    root = config.workspace.expanduser() if config.workspace else sample_workspace()
    workspace = Workspace(root)
    plan = make_plan(config, only)
    gates, skipped = gates_of(plan, only)
    toolbox = Toolbox(workspace, max_chars=plan.tool_output_chars)
    for configuration in plan.configurations:
        check_models(configuration.server)
    if any(c.path == "inprocess" for c in plan.configurations):
        restart_with_openblas()  # before anything is written or started
    if len(plan.configurations) > 1:
        import numpy  # noqa: F401, ICN001  # comparisons need it, at the end, when somebody waits
    console = Console(stderr=True)
    clock = Clock.start()
    run_id = new_run_id()
    folder = out or RUNS / run_id
    header = _header(run_id, argv, plan, suite, clock)
    with RunWriter(folder, header) as writer:
        tracing = Tracing(otlp, clock, run_id, writer.spans_path, otlp_metrics)
        with Progress(console, live=False if plain else None) as progress:
            for note in (*plan.notes, *skipped, *tracing.notes):
                writer.add_note(note)
                progress.note(note)
            status, error = _measure(plan, suite, toolbox, writer, progress, clock, tracing)
        _finish(writer, status, tracing, console)
    with not_collecting():  # there are no cycles in what is read and shown
        run = read_run(folder)
        summary = show_report(run, Console())
        results = check_gates(gates, summary)
        print_gates(results, Console())
        if (why := writer.header.stopping) is not None and why.reason is not None:
            console.print(f"stopped: {why.reason}", markup=False, highlight=False, soft_wrap=True)
        show_links(deep_links(run, **tracing.sent_to), console)
    if error is not None:
        console.print(f"the run ended early: {error}", style="bold red", markup=False, highlight=False)
    code = _exit_code(status, writer, plan, ledgers_close=not summary.ledger_errors)
    return EXIT_GATE if code == EXIT_DONE and not all(result.holds for result in results) else code


def _measure(
    plan: Plan, suite: Suite, toolbox: Toolbox, writer: RunWriter, progress: Progress, clock: Clock, tracing: Tracing
) -> tuple[RunStatus, PunieTraceError | None]:
    queries = len(suite.queries)
    each = planned_each(plan.config, queries) if plan.config.until is None else queries * most_rounds(plan.config)
    progress.plan({c.name: c.group for c in plan.configurations}, each)
    measurement = Measurement(plan, suite, toolbox, writer, progress, clock, tracing.provider, tracing.open_query)
    status: RunStatus = "done"
    error: PunieTraceError | None = None
    try:
        anyio.run(partial(_guarded, measurement, tracing), backend_options={"loop_factory": new_event_loop})
        if measurement.ended_early:
            status = "ended-early"
    except* KeyboardInterrupt:
        status = "interrupted"
    except* PunieTraceError as group:
        status, error = "ended-early", _first(group)
    return status, error


async def _guarded(measurement: Measurement, tracing: Tracing) -> None:
    with tracing.run_span():
        await measurement.run()
    tracing.check()


def _first(group: BaseExceptionGroup) -> PunieTraceError:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found if isinstance(found, PunieTraceError) else RunFolderError(str(found))


def _finish(writer: RunWriter, status: RunStatus, tracing: Tracing, console: Console) -> None:
    """The last words of the run folder; where even they cannot be written, what is there stays."""
    for line in tracing.close(writer.header):
        console.print(line, highlight=False, markup=False, soft_wrap=True)  # addresses stay whole
    try:
        writer.finish(status)
    except RunFolderError as error:
        console.print(str(error), style="red", markup=False)


def _exit_code(status: RunStatus, writer: RunWriter, plan: Plan, *, ledgers_close: bool) -> int:
    if status == "interrupted":
        return EXIT_INTERRUPTED
    if status == "ended-early" or not ledgers_close:
        return EXIT_EARLY
    failed = [c.name for c in plan.configurations if c.name in writer.header.failures]
    if failed and writer.outcomes_written == 0:
        return EXIT_NO_SERVER
    return EXIT_EARLY if failed else EXIT_DONE


def _header(run_id: str, argv: list[str], plan: Plan, suite: Suite, clock: Clock) -> RunHeader:
    return RunHeader(
        id=run_id,
        started=datetime.now(UTC).astimezone(),
        argv=("punie-trace", *map(without_secrets, argv)),
        configuration={name: redacted(value, name) for name, value in _resolved(plan).items()},
        suite=SuiteRecord(name=suite.name, digest=suite.digest, queries=suite.queries),
        versions=read_versions(),
        machine=read_machine(),
        seed=plan.config.seed,
        rounds=plan.config.rounds,
        concurrency=plan.config.concurrency,
        load=describe_load(plan.config),
        planned=None if plan.config.load == LoadConfig() else planned_each(plan.config, len(suite.queries)),
        order="interleaved" if len(plan.batches) < 2 else "one-by-one",
        clock=ClockRecord(anchor_wall_ns=clock.anchor_wall_ns, anchor_monotonic_ns=clock.anchor_monotonic_ns),
    )


def _resolved(plan: Plan) -> dict[str, JsonValue]:
    """The configuration with everything filled in that was left open."""
    servers: dict[str, JsonValue] = {
        c.name: c.server.model_dump(mode="json", exclude_unset=True) for c in plan.configurations
    }
    return {
        **plan.config.model_dump(mode="json"),
        "tool_output_chars": plan.tool_output_chars,
        "max_tokens": plan.max_tokens,
        "configurations": servers,
    }
