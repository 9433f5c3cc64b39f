"""`punie-trace compare`: one run's configurations, or two runs, side by side, and what must hold of them."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Final

from rich.console import Console

from punie_trace.analysis.contrast import Contrast, contrast_across, contrast_within
from punie_trace.analysis.gates import parse_gates
from punie_trace.errors import ConfigurationError, LedgerError, nearest
from punie_trace.report.console import print_document
from punie_trace.report.contrast_document import contrast_document
from punie_trace.report.markdown import document_markdown
from punie_trace.runs.reader import read_run

FORMATS: Final = ("console", "markdown", "json")
EXIT_DONE, EXIT_GATE = 0, 1


def compare_command(
    folders: tuple[Path, ...], baseline: str | None, gates: tuple[str, ...], form: str, *, argv: list[str]
) -> int:
    """Prints the comparison and returns the exit code.

    That is 1 where a gate does not hold, else that of `LedgerError` where a ledger does not close. Raises
    `ConfigurationError` for what cannot be compared or read.
    """
    if form not in FORMATS:
        raise ConfigurationError(f"there is no format {form!r}; {nearest(form, FORMATS)}")
    if len(folders) > 2:
        raise ConfigurationError(f"compare takes one run or two, and {len(folders)} were given")
    wanted = parse_gates(gates)
    runs = [read_run(folder) for folder in folders]
    across = len(runs) == 2
    contrast = (
        contrast_across(runs[0], runs[1], baseline, wanted) if across else contrast_within(runs[0], baseline, wanted)
    )
    _show(contrast, form, shlex.join(["punie-trace", *argv]))
    if not contrast.gates_hold:
        return EXIT_GATE
    return LedgerError.exit_code if contrast.summary.ledger_errors else EXIT_DONE


def _show(contrast: Contrast, form: str, command: str) -> None:
    if form == "json":
        print(json.dumps(contrast.model_dump(mode="json"), indent=2))  # noqa: T201
    elif form == "markdown":
        print(document_markdown(contrast_document(contrast, command)), end="")  # noqa: T201
    else:
        print_document(contrast_document(contrast), Console())
