"""The command line: names of commands and flags, what they mean, and exit codes. What is done stands elsewhere.

Everything heavy is imported inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from punie_trace import __version__
from punie_trace.cli import run_options as options
from punie_trace.errors import PunieTraceError
from punie_trace.speculative.registry import drafter_names

EXIT_EARLY = 4
EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="punie-trace",
    help=(
        "Where do my agent's seconds go, and which server configuration is really faster at the same accuracy?\n\n"
        "`punie-trace run` with no argument measures the shipped model on the shipped suite, for real and without any "
        "download. Exit codes: 0 done, 1 a gate failed, 2 bad input, 3 a server could not be brought up, 4 the run "
        "ended early and what there was is kept, 130 interrupted."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"punie-trace {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Root of all commands; typer shows the application's own help."""


@app.command()
def run(
    config: options.Config = None,
    suite: options.Suite = None,
    workspace: options.Workspace = None,
    model: options.Model = None,
    draft_model: options.DraftModel = None,
    url: options.Url = None,
    only: options.Only = None,
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
    path: options.RequestPath = None,
    seed: options.Seed = None,
    timeout: options.Timeout = None,
    ready_timeout: options.ReadyTimeout = None,
    together: options.Together = None,
    out: options.Out = None,
    otlp: options.OtlpTraces = "auto",
    otlp_metrics: options.OtlpMetrics = "auto",
    plain: options.Plain = False,
) -> None:
    """Start the servers, ask the suite, close a ledger for every query, and compare the configurations."""
    from punie_trace.cli.run_command import run_command
    from punie_trace.engine.config import read_config

    with _errors():
        loaded = read_config(
            config,
            {
                "suite": suite,
                "workspace": workspace,
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
            },
            agent={"query_timeout_s": timeout},
            load={
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
            server={"model_path": model, "draft_model": draft_model, "url": url, "kind": "url" if url else None},
        )
        code = run_command(
            loaded,
            only=tuple(only or ()),
            out=out,
            otlp=otlp,
            otlp_metrics=otlp_metrics,
            plain=plain,
            argv=sys.argv[1:],
        )
    raise typer.Exit(code)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="console, html, json, markdown, csv or parquet (the outcomes), speedscope or perfetto (one query).",
        ),
    ] = "console",
    query: Annotated[str | None, typer.Option(help="Of which query the trace is. [the slowest that fits]")] = None,
    configuration: Annotated[str | None, typer.Option(help="Of which configuration the trace is.")] = None,
    round_: Annotated[int | None, typer.Option("--round", help="Of which round the trace is.")] = None,
) -> None:
    """Make a run's report again from its folder, without any server."""
    from punie_trace.cli.report_command import report_command

    with _errors():
        code = report_command(folder, form, query=query, configuration=configuration, round_=round_)
    raise typer.Exit(code)


@app.command()
def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN [RUN]", help="A run's folder; or two, the second against the first.")
    ],
    baseline: Annotated[
        str | None,
        typer.Option(
            help="Compare with this configuration (of the first run). [the run's own; of two runs, the namesake]"
        ),
    ] = None,
    gate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="EXPR",
            help="What must hold, e.g. 'adaptive.wall.p95 < 10s', 'speedup > 1.5', 'accuracy == 1', "
            "'memory.peak < 32GB', 'preset:interactive'; may be given more than once.",
        ),
    ] = None,
    format: Annotated[str, typer.Option("--format", help="console, markdown or json.")] = "console",  # noqa: A002
) -> None:
    """Compare configurations of one run, or two runs, and check gates; exit code 1 where a gate fails."""
    from punie_trace.cli.compare_command import compare_command

    with _errors():
        code = compare_command(tuple(runs), baseline, tuple(gate or ()), format, argv=sys.argv[1:])
    raise typer.Exit(code)


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    otlp: Annotated[
        str, typer.Option(help="A collector's URL, or auto: what the environment says, else the usual port.")
    ] = "auto",
    otlp_metrics: Annotated[
        str, typer.Option(help="Where metrics go: auto (with the spans, else Prometheus if it answers), off, or a URL.")
    ] = "auto",
) -> None:
    """Send a run's spans and metrics later, in full. Sending twice does no harm."""
    from rich.console import Console

    from punie_trace.cli.export_command import export_command

    with _errors():
        code = export_command(folder, otlp, otlp_metrics, Console(stderr=True))
    raise typer.Exit(code)


@app.command()
def doctor(
    model: Annotated[str | None, typer.Option(help="The model to look for. [the shipped one]")] = None,
    otlp: Annotated[str, typer.Option(help="Where spans would go: auto, off, or a URL.")] = "auto",
    otlp_metrics: Annotated[str, typer.Option(help="Where metrics would go: auto, off, or a URL.")] = "auto",
) -> None:
    """Look at what a run needs, and whether a span, a metric and an exemplar come back. Exit code 1 if not."""
    from rich.console import Console

    from punie_trace.cli.doctor_command import doctor_command

    with _errors():
        code = doctor_command(model, otlp, otlp_metrics, Console())
    raise typer.Exit(code)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def serve(
    context: typer.Context,
    model: Annotated[str | None, typer.Option(help="An MLX model: a folder or a hub name. [the shipped pair]")] = None,
    draft_model: Annotated[str | None, typer.Option(help="A draft model with the same tokens.")] = None,
    drafter: Annotated[
        str | None, typer.Option(help=f"What drafts: {', '.join(drafter_names())}. [what the draft model allows]")
    ] = None,
    adaptive: Annotated[
        bool, typer.Option("--adaptive", help="Choose drafter and length anew in each round, by measured costs.")
    ] = False,
    num_draft_tokens: Annotated[
        int | None, typer.Option(min=0, help="Tokens drafted a round, where they are fixed. [3]")
    ] = None,
    max_draft_memory: Annotated[
        str | None, typer.Option(help="The most that drafting may take, e.g. 500MB; beyond it, decoding is plain.")
    ] = None,
    otlp: Annotated[
        str, typer.Option(help="Send spans to a collector: auto (if one answers), off, or a URL.")
    ] = "auto",
    max_requests: Annotated[int, typer.Option(min=1, help="Requests that may be open at once.")] = 256,
    max_body_bytes: Annotated[int, typer.Option(min=1024, help="The longest body of a request.")] = 16 << 20,
) -> None:
    """Serve a model with speculative decoding that adapts, and with spans of the server's own time.

    Takes every flag of `mlx_lm.server` as well (--host, --port, --temp, --max-tokens, --prompt-cache-size, ...), and
    speaks the same API; it listens on 127.0.0.1:8080 if not told otherwise.
    """
    from punie_trace.cli.serve_command import serve_command

    with _errors():
        serve_command(
            model=model,
            draft_model=draft_model,
            drafter=drafter,
            adaptive=adaptive,
            num_draft_tokens=num_draft_tokens,
            max_draft_memory=max_draft_memory,
            otlp=otlp,
            max_requests=max_requests,
            max_body_bytes=max_body_bytes,
            others=context.args,
        )


@app.command()
def suites() -> None:
    """List the shipped suites."""
    from punie_trace.suite.load import shipped_suites

    for name, description in shipped_suites().items():
        typer.echo(f"{name:20} {description}")


class _errors:  # noqa: N801  # reads as a block, not as a value
    """Turns errors that a user can mend into their message and exit code."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: object) -> None:
        if isinstance(value, PunieTraceError):
            _fail(str(value), value.exit_code)
        if isinstance(value, KeyboardInterrupt):
            _fail("interrupted", EXIT_INTERRUPTED)


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(code)


def main() -> None:
    """Entry point of `punie-trace` and `python -m punie_trace`."""
    # logfire's pydantic plugin costs half a second at the first model and is of no use here.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "logfire-plugin")
    try:
        app(prog_name="punie-trace")
    finally:
        # Else the interpreter looks through all of it for garbage before it lets it go, twice of these without asking.
        gc.disable()
        gc.freeze()
