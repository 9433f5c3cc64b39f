"""`punie-trace doctor`: is everything there that a run and its dashboards need? One line each, with what to do.

With an agent, a server or a suite it asks one real query as well. The last line is the one next thing to do.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from punie_trace.cli import run_options as options
from punie_trace.cli.exits import errors_as_messages

if TYPE_CHECKING:
    from rich.console import Console

    from punie_trace.engine.checks import Check
    from punie_trace.engine.experiment import Experiment

EXIT_FINE, EXIT_BAD = 0, 1
_STYLES: Final = {"ok": "green", "note": "yellow", "bad": "bold red"}
_NAME_WIDTH: Final = 17
_FLAGS: Final = ("--config", "--url", "--served-model", "--api-key-env", "--agent", "--suite", "--workspace")


def doctor(
    model: Annotated[str | None, typer.Option(help="The model to look for. [the shipped one]")] = None,
    url: options.Url = None,
    agent: options.Agent = None,
    suite: options.Suite = None,
    workspace: options.Workspace = None,
    config: options.Config = None,
    served_model: options.ServedModel = None,
    api_key_env: options.ApiKeyEnv = None,
    otlp: Annotated[str, typer.Option(help="Where spans would go: auto, off, or a URL.")] = "auto",
    otlp_metrics: Annotated[str, typer.Option(help="Where metrics would go: auto, off, or a URL.")] = "auto",
) -> None:
    """Look at what a run needs, and whether a span, a metric and an exemplar come back. Exit code 1 if not.

    With --url, --agent or --config it asks one question of the suite: a real generation and a tool call, and what the
    server tells of them. The last line says what to do next.
    """
    from rich.console import Console
    from rich.text import Text

    from punie_trace.engine.checks import machine_checks, next_thing
    from punie_trace.engine.experiment import Experiment
    from punie_trace.engine.measured import RUNS
    from punie_trace.engine.stack_checks import checks_of_stack

    server = {
        "model_path": None if url else model,
        "url": url,
        "kind": "url" if url else None,
        "served_model": served_model,
        "api_key_env": api_key_env,
    }
    with errors_as_messages():
        given = {"suite": suite, "workspace": workspace, "agent": {"import": agent}, "server": server}
        experiment = Experiment.merged(config, given)
        run = _run_words(config, url, served_model, api_key_env, agent, suite, workspace)
        console = Console()
        checks = [*_shown(machine_checks(None if url else model, Path(RUNS)), console)]
        if suite or workspace or agent or url or config:
            checks += _shown(_asking(experiment, asks=bool(agent or url or config)), console)
        checks += _shown(checks_of_stack(otlp, otlp_metrics), console)
        console.print(Text(f"next: {next_thing(checks, run)}"), soft_wrap=True)
        code = EXIT_BAD if any(check.state == "bad" for check in checks) else EXIT_FINE
    raise typer.Exit(code)


def _asking(experiment: Experiment, *, asks: bool) -> Iterator[Check]:
    from punie_trace.engine.ask_checks import ask_checks, suite_check

    suite = suite_check(experiment)
    yield suite
    if asks and suite.state != "bad":
        yield from ask_checks(experiment)


def _run_words(config: Path | None, *values: object) -> str:
    """The command line of a run with the same settings: a quick one where nothing of the user's was given."""
    words = [
        word
        for flag, value in zip(_FLAGS, (config, *values), strict=True)
        if value is not None
        for word in (flag, str(value))
    ]
    return shlex.join(["punie-trace", "run", *(words or ["--quick"])])


def _shown(checks: Iterator[Check], console: Console) -> Iterator[Check]:
    from rich.text import Text

    for check in checks:
        line = Text.assemble((f"{check.state:<5}", _STYLES[check.state]), f"{check.name:<{_NAME_WIDTH}}", check.found)
        console.print(line, soft_wrap=True)
        if check.do is not None:
            console.print(Text(f"{'':<5}{'':<{_NAME_WIDTH}}-> {check.do}"), soft_wrap=True)
        yield check
