"""The outcomes of a run as a Parquet file: the columns of the CSV, typed, and the texts as they are.

A data frame takes no text for a formula, so that nothing is put in front of one. It needs pyarrow, which is an extra of
this package: without it the error says how to get it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from punie_trace.errors import ConfigurationError, RunFolderError
from punie_trace.report.outcomes_csv import COLUMNS, Cell, outcome_rows
from punie_trace.runs.reader import RunRecord

PARQUET_FILE: Final = "outcomes.parquet"
_BATCH: Final = 50_000
_INTEGERS: Final = ("seq", "round", "generations", "tool_calls", "input_tokens", "output_tokens", "cached_tokens")


def write_outcomes_parquet(run: RunRecord) -> Path:
    """Write `outcomes.parquet` into the run's folder, whole or not at all; returns its path.

    Raises `ConfigurationError` where pyarrow is not installed, `RunFolderError` where the file cannot be written.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise ConfigurationError(
            "--format parquet needs pyarrow, which is not installed: pip install 'punie-trace[parquet]'; "
            "--format csv has the same rows without it"
        ) from None

    def kind(column: str) -> pa.DataType:
        if column in _INTEGERS:
            return pa.int64()
        if column == "correct":
            return pa.bool_()
        return pa.float64() if column.endswith("_ms") else pa.string()

    schema = pa.schema([pa.field(column, kind(column)) for column in COLUMNS])
    path = run.folder / PARQUET_FILE
    unfinished = run.folder / f".{PARQUET_FILE}.tmp"
    rows = (row for _, row in outcome_rows(run))
    try:
        with pq.ParquetWriter(unfinished, schema, compression="zstd") as writer:
            for batch in _batches(rows):
                columns = [pa.array([_typed(name, row[name]) for row in batch], kind(name)) for name in COLUMNS]
                writer.write_table(pa.Table.from_arrays(columns, schema=schema))
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise RunFolderError(
            f"{path}: cannot be written ({error.strerror or error}): make space or the folder writable, and run "
            f"'punie-trace report {run.folder} --format parquet' again"
        ) from error
    return path


def _batches(rows: Iterator[dict[str, Cell]]) -> Iterator[Sequence[dict[str, Cell]]]:
    while batch := list(islice(rows, _BATCH)):
        yield batch


def _typed(name: str, cell: Cell) -> Cell:
    if name == "correct":
        return bool(cell)
    # Half of a surrogate pair, which a model may write, has no form in UTF-8.
    return cell.encode("utf-8", "replace").decode("utf-8") if isinstance(cell, str) else cell
