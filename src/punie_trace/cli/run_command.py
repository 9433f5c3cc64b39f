"""`punie-trace run`: its flags to an experiment, the measured run to a report, and the run's exit code."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from punie_trace.cli import run_options as options
from punie_trace.cli.exits import errors_as_messages, show

if TYPE_CHECKING:
    from rich.console import Console

    from punie_trace import Experiment, Run

HELP = """Start the servers, ask the suite, close a ledger for every query, and compare the configurations.

\b
Examples:
  punie-trace run
      the shipped model and suite: a first look, without any download; --quick takes the least time
  punie-trace run --url http://127.0.0.1:8080/v1 --suite mine.yaml --workspace ~/code/mine
      a server that already runs, with your questions about your code
  punie-trace run --agent my_package.agents:helper --suite mine.yaml
      your own agent in place of the built-in one
  punie-trace run --model org/large --draft-model org/small --until decided
      which way of speculating is faster, until that is certain
  punie-trace run --config punie-trace.toml --only baseline --only adaptive
      configurations of your own, two of them
"""
EPILOG = "Rates, sweeps, durations and time-outs have flags and TOML keys of their own: docs/load.md. "
EPILOG += "Several load generators, here or on a Ray cluster: --generators N, --ray ADDRESS, docs/scale.md."


def run(
    config: options.Config = None,
    suite: options.Suite = None,
    workspace: options.Workspace = None,
    evaluators: options.Evaluators = None,
    model: options.Model = None,
    draft_model: options.DraftModel = None,
    memory: options.ServerMemory = None,
    url: options.Url = None,
    agent: options.Agent = None,
    served_model: options.ServedModel = None,
    api_key_env: options.ApiKeyEnv = None,
    only: options.Only = None,
    quick: options.Quick = None,
    rounds: options.Rounds = None,
    until: options.Until = None,
    max_rounds: options.MaxRounds = None,
    max_minutes: options.MaxMinutes = None,
    repeat_contaminated: options.RepeatContaminated = None,
    concurrency: options.Concurrency = None,
    rate: options.Rate = None,
    arrivals: options.Arrivals = None,
    burstiness: options.Burstiness = None,
    replay: options.Replay = None,
    think_time: options.ThinkTime = None,
    duration: options.Duration = None,
    queries: options.Queries = None,
    sweep: options.Sweep = None,
    max_in_flight: options.MaxInFlight = None,
    max_error_ratio: options.MaxErrorRatio = None,
    cool_down: options.CoolDown = None,
    stop_when_saturated: options.StopWhenSaturated = None,
    generators: options.Generators = None,
    ray: options.Ray = None,
    path: options.RequestPath = None,
    seed: options.Seed = None,
    timeout: options.Timeout = None,
    ready_timeout: options.ReadyTimeout = None,
    together: options.Together = None,
    out: options.Out = None,
    otlp: options.OtlpTraces = "auto",
    otlp_metrics: options.OtlpMetrics = "auto",
    plain: options.Plain = False,
    full: options.Full = False,
) -> None:
    """As `HELP` says."""
    from punie_trace import Experiment

    with errors_as_messages():
        experiment = Experiment.merged(
            config,
            {
                "suite": suite,
                "workspace": workspace,
                "evaluators": evaluators,
                "only": only,
                "quick": quick,
                "rounds": rounds,
                "until": until,
                "max_rounds": max_rounds,
                "max_minutes": max_minutes,
                "repeat_contaminated": repeat_contaminated,
                "concurrency": concurrency,
                "path": path,
                "seed": seed,
                "ready_timeout_s": ready_timeout,
                "together": together,
                "agent": {"query_timeout_s": timeout, "import": agent},
                "load": {
                    "rate": rate,
                    "arrivals": arrivals,
                    "burstiness": burstiness,
                    "replay": replay,
                    "think_time_s": think_time,
                    "duration_s": duration,
                    "queries": queries,
                    "sweep": sweep,
                    "max_in_flight": max_in_flight,
                    "max_error_ratio": max_error_ratio,
                    "cool_down_s": cool_down,
                    "stop_when_saturated": stop_when_saturated,
                },
                "fleet": {"generators": generators, "ray": ray},
                "server": {
                    "model_path": None if url else model,
                    "model": model if url else None,
                    "draft_model": draft_model,
                    "memory": memory,
                    "url": url,
                    "served_model": served_model,
                    "api_key_env": api_key_env,
                    "kind": "url" if url else None,
                },
            },
        )
        code = _measure_and_show(experiment, out, otlp, otlp_metrics, plain=plain, full=full)
    raise typer.Exit(code)


def _measure_and_show(
    experiment: Experiment, out: Path | None, otlp: str, otlp_metrics: str, *, plain: bool, full: bool
) -> int:
    from rich.console import Console

    from punie_trace import Interrupted, measure
    from punie_trace.report.progress import Progress

    if experiment.computes_here:
        from punie_trace.servers.openblas_restart import restart_with_openblas

        restart_with_openblas()  # before anything is written or started
    console = Console(stderr=True)
    argv = ("punie-trace", *sys.argv[1:])
    with Progress(console, live=False if plain else None) as progress:
        try:
            measured = measure(experiment, out=out, progress=progress, otlp=otlp, otlp_metrics=otlp_metrics, argv=argv)
        except Interrupted as interrupted:
            measured = interrupted.run
    _show(measured, console, full=full)
    return measured.exit_code


def _show(run: Run, console: Console, *, full: bool) -> None:
    from rich.console import Console as NewConsole

    from punie_trace.cli.report_command import show_report
    from punie_trace.report.console import print_gates
    from punie_trace.report.interfaces import deep_links, show_links

    if not run.outcomes:
        show(console, f"nothing was measured; what there is of the run is in {run.folder}")
        return
    tables = NewConsole()
    show_report(run, tables, full=full)
    print_gates(run.gates, tables)
    if (stopping := run.header.stopping) is not None and stopping.reason is not None:
        show(console, f"stopped: {stopping.reason}")
    sent_to = run.sent_to
    show_links(deep_links(run.record, spans_at=sent_to.spans_at, metrics_at=sent_to.metrics_at), console)
    if run.without_an_answer:
        names = ", ".join(run.without_an_answer)
        show(console, f"every query failed: {names}", "bold red")
    if run.error is not None:
        show(console, f"the run ended early, and what was measured is kept: {run.error}", "bold red")
