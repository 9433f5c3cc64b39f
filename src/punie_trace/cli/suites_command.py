"""`punie-trace suites`: what is shipped to be asked."""

from __future__ import annotations

import typer


def suites() -> None:
    """List the shipped suites."""
    from punie_trace.engine.questions import FRESH, FRESH_COUNT, FRESH_MULTI_TOOL
    from punie_trace.suite.load import shipped_suites

    generated = {
        f"{FRESH}:{FRESH_COUNT}": "as many new questions as you say, about a code base made with them, by --seed.",
        f"{FRESH_MULTI_TOOL}:40": "the same with questions that take two to six calls.",
    }
    for name, description in {**shipped_suites(), **generated}.items():
        typer.echo(f"{name:21} {description}")
