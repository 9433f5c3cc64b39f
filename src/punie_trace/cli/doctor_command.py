"""`punie-trace doctor`: is everything there that a run and its dashboards need? One line each, with what to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from punie_trace.cli.exits import errors_as_messages

if TYPE_CHECKING:
    from rich.console import Console

    from punie_trace.engine.checks import Check

EXIT_FINE, EXIT_BAD = 0, 1
_STYLES: Final = {"ok": "green", "note": "yellow", "bad": "bold red"}
_NAME_WIDTH: Final = 17


def doctor(
    model: Annotated[str | None, typer.Option(help="The model to look for. [the shipped one]")] = None,
    otlp: Annotated[str, typer.Option(help="Where spans would go: auto, off, or a URL.")] = "auto",
    otlp_metrics: Annotated[str, typer.Option(help="Where metrics would go: auto, off, or a URL.")] = "auto",
) -> None:
    """Look at what a run needs, and whether a span, a metric and an exemplar come back. Exit code 1 if not."""
    from rich.console import Console

    from punie_trace.engine.checks import machine_checks
    from punie_trace.engine.measured import RUNS

    code = EXIT_FINE
    with errors_as_messages():
        console = Console()
        checks = machine_checks(model, Path(RUNS))
        for check in (*_shown(checks, console), *_shown(_stack(otlp, otlp_metrics), console)):
            if check.state == "bad":
                code = EXIT_BAD
    raise typer.Exit(code)


def _stack(otlp: str, otlp_metrics: str) -> Iterator[Check]:
    from punie_trace.engine.stack_checks import stack_at, stack_checks
    from punie_trace.spans.metric_endpoint import first_that_answers, metric_endpoints
    from punie_trace.spans.otlp_endpoint import endpoint_for

    metrics = metric_endpoints(otlp_metrics, otlp)
    answering = first_that_answers(metrics, asked_for=False)
    yield from stack_checks(stack_at(endpoint_for(otlp), answering or (metrics[-1] if metrics else None)))


def _shown(checks: Iterator[Check], console: Console) -> Iterator[Check]:
    from rich.text import Text

    for check in checks:
        line = Text.assemble((f"{check.state:<5}", _STYLES[check.state]), f"{check.name:<{_NAME_WIDTH}}", check.found)
        console.print(line, soft_wrap=True)
        if check.do is not None:
            console.print(Text(f"{'':<5}{'':<{_NAME_WIDTH}}-> {check.do}"), soft_wrap=True)
        yield check
