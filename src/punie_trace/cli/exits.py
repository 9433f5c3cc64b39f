"""How a command ends: what a user can mend becomes its message and an exit code, and never a traceback."""

from __future__ import annotations

import typer

from punie_trace.errors import PunieTraceError

EXIT_INTERRUPTED = 130


class errors_as_messages:  # noqa: N801  # reads as a block, not as a value
    """Turns errors that a user can mend into their message, on standard error, and their exit code."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: object) -> None:
        if isinstance(value, PunieTraceError):
            typer.echo(f"error: {value}", err=True)
            raise typer.Exit(value.exit_code)
        if isinstance(value, KeyboardInterrupt):
            typer.echo("error: interrupted", err=True)
            raise typer.Exit(EXIT_INTERRUPTED)
