"""The outcomes of a run as a table for spreadsheets and data frames: a row for each query asked, in the order asked.

Times are in ms; what was not observed is empty, never 0. Texts cannot act: a spreadsheet takes a cell that begins with
one of `= + - @` for a formula, so that such a text gets an apostrophe in front, as OWASP advises ('CSV Injection').
The exact texts stand in `outcomes.jsonl`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final, TextIO, TypeAlias

from punie_trace.analysis.observations import Observation, observe
from punie_trace.records import Ledger, Verdict
from punie_trace.runs.reader import RunRecord

Cell: TypeAlias = "str | int | float | None"

_FORMULA: Final = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # the wide forms count for some programs
_KEPT: Final = "\n\t"
_LEDGER: Final = ("client_queue", "generation", "tool", "framework", "tool_work", "sandbox", "hidden_tool")
LEDGER_COLUMNS: Final = tuple(f"{line}_ms" for line in _LEDGER)

COLUMNS: Final = (
    "run",
    "seq",
    "round",
    "configuration",
    "path",
    "query",
    "category",
    "verdict",
    "correct",
    "error",
    "due",
    "wall_ms",
    *LEDGER_COLUMNS,
    "ttft_ms",
    "generations",
    "tool_calls",
    "tools",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "served_model",
    "trace_id",
    "answer",
)


def write_outcomes_csv(run: RunRecord, file: TextIO) -> int:
    """Write the header line and a line for each outcome (RFC 4180, but for line ends of one character).

    Returns how many rows there were. `file` is opened with `newline=""`, where it is one.
    """
    rows = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    rows.writeheader()
    count = 0
    for _, row in outcome_rows(run):
        rows.writerow({column: inert(cell) for column, cell in row.items()})
        count += 1
    return count


def outcome_rows(run: RunRecord) -> Iterator[tuple[Observation, dict[str, Cell]]]:
    """Each outcome and its cells by column, exact and not made inert, in the order asked."""
    observed = [one for observations in observe(run).values() for one in observations]
    for one in sorted(observed, key=lambda one: one.outcome.seq):
        yield one, _row(run.header.id, one)


def _row(run_id: str, one: Observation) -> dict[str, Cell]:
    outcome = one.outcome
    first = one.splits[0].first_chunk_ns if one.splits else None
    return {
        "run": run_id,
        "seq": outcome.seq,
        "round": outcome.round,
        "configuration": outcome.configuration,
        "path": outcome.path,
        "query": outcome.query,
        "category": one.ask.category,
        "verdict": outcome.verdict.value,
        "correct": int(outcome.verdict is Verdict.CORRECT),
        "error": outcome.error,
        "due": datetime.fromtimestamp(outcome.due_ns / 1e9, UTC).isoformat(timespec="milliseconds"),
        "wall_ms": _ms(outcome.wall_ns),
        **ledger_cells(one.ledger),
        "ttft_ms": _ms(first),
        "generations": outcome.generations,
        "tool_calls": len(outcome.tool_calls),
        "tools": _joined([call.name for call in outcome.tool_calls]),
        "input_tokens": outcome.input_tokens,
        "output_tokens": outcome.output_tokens,
        "cached_tokens": outcome.cached_tokens,
        "served_model": outcome.served_model,
        "trace_id": outcome.trace_id,
        "answer": outcome.answer,
    }


def ledger_cells(ledger: Ledger | None) -> dict[str, Cell]:
    """The lines of a ledger by `LEDGER_COLUMNS`, empty where there is none."""
    return {f"{line}_ms": None if ledger is None else _ms(getattr(ledger, f"{line}_ns")) for line in _LEDGER}


def _ms(time_ns: int | None) -> float | None:
    return None if time_ns is None else time_ns / 1e6


def _joined(names: Sequence[str]) -> str:
    return " ".join(names)


def inert(cell: Cell) -> Cell:
    """Numbers as they are; texts without control characters, and never a formula."""
    if not isinstance(cell, str):
        return cell
    text = "".join(char if char.isprintable() or char in _KEPT else " " for char in cell)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text
