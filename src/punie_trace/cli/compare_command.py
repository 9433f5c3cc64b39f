"""`punie-trace compare`: one run's configurations, or two runs, side by side, and what must hold of them."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from punie_trace.cli.exits import errors_as_messages
from punie_trace.errors import ConfigurationError, LedgerError, nearest

if TYPE_CHECKING:
    from punie_trace import Contrast

FORMATS: Final = ("console", "markdown", "json")
EXIT_DONE, EXIT_GATE = 0, 1


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
    form: Annotated[str, typer.Option("--format", help="console, markdown or json.")] = "console",
) -> None:
    """Compare configurations of one run, or two runs, and check gates; exit code 1 where a gate fails."""
    with errors_as_messages():
        if form not in FORMATS:
            raise ConfigurationError(f"there is no format {form!r}; {nearest(form, FORMATS)}")
        if len(runs) > 2:
            raise ConfigurationError(f"compare takes one run or two, and {len(runs)} were given")
        contrast = _contrast(runs, baseline, tuple(gate or ()))
        _show(contrast, form)
    if not contrast.gates_hold:
        raise typer.Exit(EXIT_GATE)
    raise typer.Exit(LedgerError.exit_code if contrast.summary.ledger_errors else EXIT_DONE)


def _contrast(folders: list[Path], baseline: str | None, gates: tuple[str, ...]) -> Contrast:
    from punie_trace import compare, read_run

    runs = [read_run(folder) for folder in folders]
    if len(runs) == 2:
        return compare(runs[0], runs[1], baseline=baseline, gates=gates)
    return runs[0].contrast(baseline, gates=gates)


def _show(contrast: Contrast, form: str) -> None:
    if form == "json":
        typer.echo(json.dumps(contrast.model_dump(mode="json"), indent=2))
    elif form == "markdown":
        from punie_trace.report.contrast_document import contrast_document
        from punie_trace.report.markdown import document_markdown

        document = contrast_document(contrast, shlex.join(["punie-trace", *sys.argv[1:]]))
        typer.echo(document_markdown(document), nl=False)
    else:
        from rich.console import Console

        from punie_trace.report.console import print_document
        from punie_trace.report.contrast_document import contrast_document

        print_document(contrast_document(contrast), Console())
