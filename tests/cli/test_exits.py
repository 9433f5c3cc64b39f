from __future__ import annotations

import io

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner, Result

from punie_trace.cli.exits import errors_as_messages, show
from punie_trace.errors import ServerError


def ended(error: BaseException) -> Result:
    app = typer.Typer()

    @app.command()
    def command() -> None:
        with errors_as_messages():
            raise error

    return CliRunner().invoke(app, [])


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (ServerError("it is gone"), 3, "error: it is gone\n"),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
        (typer.Exit(7), 7, ""),
        (ServerError("it says \x1b]0;mine\x07\x1b[2Jhello"), 3, "error: it says hello\n"),
    ],
)
def test_an_error_is_its_message_and_its_exit_code(error: BaseException, code: int, says: str) -> None:
    result = ended(error)
    assert (result.exit_code, result.output) == (code, says)


def test_what_nobody_expected_is_one_line_with_its_place_and_no_failed_gate() -> None:
    result = ended(RecursionError("maximum recursion depth exceeded"))
    assert result.exit_code == 4
    (line,) = result.output.splitlines()
    assert line.startswith("error: unexpected: RecursionError: maximum recursion depth exceeded (")
    assert "test_exits.py:" in line


def test_what_a_server_wrote_is_shown_without_what_a_terminal_obeys() -> None:
    out = io.StringIO()
    show(Console(file=out, force_terminal=True, width=20), "[bold]clip\x1b]52;c;aGVsbG8=\x07board[/bold] and so on")
    assert out.getvalue() == "[bold]clipboard[/bold] and so on\n"
