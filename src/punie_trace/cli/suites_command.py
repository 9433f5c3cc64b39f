"""`punie-trace suites`: what is shipped to be asked."""

from __future__ import annotations

import typer


def suites() -> None:
    """List the shipped suites."""
    from punie_trace.suite.load import shipped_suites

    for name, description in shipped_suites().items():
        typer.echo(f"{name:20} {description}")
