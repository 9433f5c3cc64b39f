"""The turns of a run's sessions as a table for spreadsheets and data frames: a row for each turn that was asked.

Cells are as in the table of outcomes (`outcomes_csv`), with which `run` and `seq` join them: times in ms, what was not
observed empty.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Final, TextIO

from punie_trace.analysis.observations import Observation
from punie_trace.analysis.turns import TurnObservation
from punie_trace.records import Verdict
from punie_trace.report.outcomes_csv import LEDGER_COLUMNS, Cell, inert, ledger_cells, outcome_rows
from punie_trace.runs.reader import RunRecord

_OF_THE_SESSION: Final = ("run", "seq", "round", "configuration", "path", "query", "category")
TURN_COLUMNS: Final = (
    *_OF_THE_SESSION,
    "turn",
    "verdict",
    "correct",
    "error",
    "wall_ms",
    *LEDGER_COLUMNS,
    "ttft_ms",
    "generations",
    "tool_calls",
    "tools",
    "prompt_tokens",
    "prompt_cached_tokens",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "trace_id",
    "answer",
)
"""`prompt_tokens` and `prompt_cached_tokens` are of the turn's first request, the others of all its requests."""


def write_turns_csv(run: RunRecord, file: TextIO) -> int:
    """Write the header line and a line for each turn; returns how many rows there were, 0 without sessions."""
    rows = csv.DictWriter(file, TURN_COLUMNS, lineterminator="\n")
    rows.writeheader()
    count = 0
    for row in turn_rows(run):
        rows.writerow({column: inert(cell) for column, cell in row.items()})
        count += 1
    return count


def turn_rows(run: RunRecord) -> Iterator[dict[str, Cell]]:
    """Each turn's cells by column, in the order asked."""
    for one, whole in outcome_rows(run):
        for turn in one.turns:
            yield {column: whole[column] for column in _OF_THE_SESSION} | _row(one, turn)


def _row(one: Observation, turn: TurnObservation) -> dict[str, Cell]:
    outcome = turn.outcome
    return {
        "turn": turn.number,
        "verdict": outcome.verdict.value,
        "correct": int(outcome.verdict is Verdict.CORRECT),
        "error": outcome.error,
        "wall_ms": outcome.wall_ns / 1e6,
        **ledger_cells(turn.ledger),
        "ttft_ms": None if turn.first_chunk_ns is None else turn.first_chunk_ns / 1e6,
        "generations": outcome.generations,
        "tool_calls": len(outcome.tool_calls),
        "tools": " ".join(call.name for call in outcome.tool_calls),
        "prompt_tokens": turn.prompt_tokens,
        "prompt_cached_tokens": turn.cached_tokens,
        "input_tokens": outcome.input_tokens,
        "output_tokens": outcome.output_tokens,
        "cached_tokens": outcome.cached_tokens,
        "trace_id": one.outcome.trace_id,
        "answer": outcome.answer,
    }
