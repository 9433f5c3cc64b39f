"""How a command ends: what went wrong becomes words and an exit code, and never a traceback."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

import typer

from punie_trace.errors import PunieTraceError, UnexpectedError
from punie_trace.outside_text import printable

if TYPE_CHECKING:
    from rich.console import Console

EXIT_INTERRUPTED = 130
_OF_THE_COMMAND_LINE = (typer.Exit, typer.Abort)


class errors_as_messages:  # noqa: N801  # reads as a block, not as a value
    """Turns errors into their message, on standard error, and their exit code."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: object) -> None:
        if value is None or isinstance(value, _OF_THE_COMMAND_LINE):
            return
        if isinstance(value, KeyboardInterrupt):
            typer.echo("error: interrupted", err=True)
            raise typer.Exit(EXIT_INTERRUPTED)
        if isinstance(value, Exception):
            error = value if isinstance(value, PunieTraceError) else UnexpectedError(_with_its_place(value))
            typer.echo(f"error: {printable(str(error))}", err=True)
            raise typer.Exit(error.exit_code)


def show(console: Console, text: str, style: str | None = None) -> None:
    """Prints a line of ours that may quote a server, a model or a file: unbroken, and nothing that a terminal obeys."""
    console.print(printable(text), style=style, markup=False, highlight=False, soft_wrap=True)


def _with_its_place(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"
