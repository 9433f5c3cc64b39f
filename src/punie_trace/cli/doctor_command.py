"""`punie-trace doctor`: is everything there that a run and its dashboards need? One line each, with what to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from punie_trace.cli.run_command import RUNS
from punie_trace.engine.checks import Check, machine_checks
from punie_trace.engine.stack_checks import stack_at, stack_checks
from punie_trace.spans.export import endpoint_for
from punie_trace.spans.metric_export import first_that_answers, metric_endpoints

EXIT_FINE, EXIT_BAD = 0, 1
_STYLES: Final = {"ok": "green", "note": "yellow", "bad": "bold red"}
_NAME_WIDTH: Final = 17


def doctor_command(model: str | None, otlp: str, otlp_metrics: str, console: Console) -> int:
    """Prints each check when it is done; the exit code is 1 where one is bad. Raises `ConfigurationError`."""
    checks = machine_checks(model, Path(RUNS))
    code = EXIT_FINE
    for check in (*_shown(checks, console), *_shown(_stack(otlp, otlp_metrics), console)):
        if check.state == "bad":
            code = EXIT_BAD
    return code


def _stack(otlp: str, otlp_metrics: str) -> Iterator[Check]:
    metrics = metric_endpoints(otlp_metrics, otlp)
    answering = first_that_answers(metrics, asked_for=False)
    yield from stack_checks(stack_at(endpoint_for(otlp), answering or (metrics[-1] if metrics else None)))


def _shown(checks: Iterator[Check], console: Console) -> Iterator[Check]:
    for check in checks:
        line = Text.assemble((f"{check.state:<5}", _STYLES[check.state]), f"{check.name:<{_NAME_WIDTH}}", check.found)
        console.print(line, soft_wrap=True)
        if check.do is not None:
            console.print(Text(f"{'':<5}{'':<{_NAME_WIDTH}}-> {check.do}"), soft_wrap=True)
        yield check
