"""The command line: the commands by name, and what all of them share. What each does stands in a file of its own.

Everything heavy is imported inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import gc
import os
from typing import Annotated

import typer

from punie_trace import __version__
from punie_trace.cli import run_command
from punie_trace.cli.compare_command import compare
from punie_trace.cli.doctor_command import doctor
from punie_trace.cli.export_command import export
from punie_trace.cli.report_command import report
from punie_trace.cli.serve_command import serve
from punie_trace.cli.suites_command import suites
from punie_trace.cli.train_command import train_app
from punie_trace.outside_text import one_line
from punie_trace.plugins import load_plugins
from punie_trace.report.standard_streams import forgiving_streams

app = typer.Typer(
    name="punie-trace",
    help="""Where do my agent's seconds go, and which server configuration is really faster at the same accuracy?

`punie-trace run` with no argument measures the shipped model on the shipped suite, for real and without any download.

\b
Examples:
  punie-trace run                                        measure, report, compare
  punie-trace run --url http://127.0.0.1:8080/v1         a server that already runs
  punie-trace report runs/<id> --format markdown         the same figures again, from the folder alone
  punie-trace compare runs/<id> --gate 'accuracy == 1'   what must hold, e.g. in CI
  punie-trace doctor                                     is everything there?

Exit codes: 0 done, 1 a gate failed, 2 bad input, 3 a server could not be brought up, 4 the run ended early and what
there was is kept, 130 interrupted.""",
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


app.command(help=run_command.HELP, epilog=run_command.EPILOG)(run_command.run)
app.command()(report)
app.command()(compare)
app.command()(export)
app.command()(doctor)
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(serve)
app.command()(suites)
app.add_typer(train_app, name="train")


def main() -> None:
    """Entry point of `punie-trace` and `python -m punie_trace`."""
    # logfire's pydantic plugin costs half a second at the first model and is of no use here.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "logfire-plugin")
    try:
        with forgiving_streams():
            for line in load_plugins():
                typer.echo(one_line(line, 600), err=True)
            app(prog_name="punie-trace")
    finally:
        # Else the interpreter looks through all of it for garbage before it lets it go, twice of these without asking.
        gc.disable()
        gc.freeze()
