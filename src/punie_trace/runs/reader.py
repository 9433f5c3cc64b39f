"""A run on disk, read back: the names of its files, and what is in `run.json`, `outcomes.jsonl` and `spans.jsonl`.

A run that was killed at any point can be read up to that point: a line that was cut off at the end is left out and
named. Nothing here writes, which is `run_writer`'s part, or computes anything.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, TypeVar

from punie_trace.errors import RunFolderError
from punie_trace.records import EnergySample, MachineSample, Outcome
from punie_trace.runs.header import RunHeader
from punie_trace.runs.merge import complete
from punie_trace.runs.outcome_line import decode_outcome
from punie_trace.runs.sample_line import decode_energy_sample, decode_machine_sample
from punie_trace.runs.stored_header import (
    CONDITIONS_FILE,
    ENERGY_FILE,
    HEADER_FILE,
    OUTCOMES_FILE,
    PARTS_FOLDER,
    SERVERS_FOLDER,
    SPANS_FILE,
    WORKSPACE_FOLDER,
    check_is_file,
    read_header,
)
from punie_trace.spans.span import Span

MOST_SPAN_BYTES: Final = 96 * 2**20
"""A file of spans that is larger is read in part: a span takes about three times its line in memory."""
_SPAN_PARTS: Final = 24

T = TypeVar("T")

__all__ = [
    "CONDITIONS_FILE",
    "ENERGY_FILE",
    "HEADER_FILE",
    "OUTCOMES_FILE",
    "PARTS_FOLDER",
    "SERVERS_FOLDER",
    "SPANS_FILE",
    "WORKSPACE_FOLDER",
    "RunRecord",
    "not_collecting",
    "read_run",
]


@dataclass(frozen=True)
class RunRecord:
    """A run as read from its folder. `problems` says what could not be read and was left out."""

    folder: Path
    header: RunHeader
    outcomes: tuple[Outcome, ...]
    problems: tuple[str, ...]

    @cached_property
    def _spans(self) -> tuple[tuple[Span, ...], tuple[str, ...]]:
        from punie_trace.spans.codec import from_line

        path = self.folder / SPANS_FILE
        if path.is_file() and path.stat().st_size > MOST_SPAN_BYTES:
            return _some_spans(path)
        rows, problems = _read_lines(path, from_line)
        return tuple(row for line in rows for row in line), problems

    @property
    def spans(self) -> tuple[Span, ...]:
        """All spans, in the order they were written; read when first asked for. Raises `RunFolderError`.

        Of a file above `MOST_SPAN_BYTES` they are those of whole queries from parts spread evenly over it, so that a
        run of any length can be read; `span_problems` then says so.
        """
        return self._spans[0]

    @property
    def span_problems(self) -> tuple[str, ...]:
        """What of the spans could not be read and was left out."""
        return self._spans[1]

    @cached_property
    def samples(self) -> tuple[MachineSample, ...]:
        """What else the machine did while the run went on; empty where it was not watched or cannot be read."""
        try:
            return _read_lines(self.folder / CONDITIONS_FILE, decode_machine_sample)[0]
        except RunFolderError:
            return ()  # they bear on no figure

    @cached_property
    def energy(self) -> tuple[EnergySample, ...]:
        """The machine's energy counters while the run went on; empty where nothing told them."""
        try:
            return _read_lines(self.folder / ENERGY_FILE, decode_energy_sample)[0]
        except RunFolderError:
            return ()  # they bear on no other figure

    @cached_property
    def traces(self) -> dict[str, tuple[Span, ...]]:
        """The spans by trace id: one trace is one query."""
        found: dict[str, list[Span]] = {}
        for row in self.spans:
            found.setdefault(row.trace_id, []).append(row)
        return {trace_id: tuple(rows) for trace_id, rows in found.items()}


def read_run(folder: Path) -> RunRecord:
    """Read a run, finished or not. Raises `RunFolderError` for what is no run, or one of another version.

    Parts of several generators that a killed run left unmerged are merged now.
    """
    header = read_header(folder)
    more: tuple[str, ...] = ()
    if header.parts and not header.merged:
        more = complete(folder)
        header = read_header(folder)
    outcomes, problems = _read_lines(folder / OUTCOMES_FILE, decode_outcome)
    problems = (*problems, *more)
    return RunRecord(folder, header, outcomes, problems)


@contextmanager
def not_collecting() -> Generator[None]:
    """Without looking for cycles, of which records have none: looking takes longer the more of them there are."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _read_lines(path: Path, decode: Callable[[str], T]) -> tuple[tuple[T, ...], tuple[str, ...]]:
    """Decode each line; a last line that does not decode was cut off by the end of the run, and is left out."""
    read: list[T] = []
    failed: tuple[int, ValueError] | None = None
    with not_collecting():
        for number, line in enumerate(_lines(path), start=1):
            if failed is not None:
                raise RunFolderError(f"{path}:{failed[0]}: {failed[1]}. The file was changed since it was written")
            try:
                read.append(decode(line.decode("utf-8")))
            except ValueError as error:  # JSONDecodeError and UnicodeDecodeError are among them
                failed = number, error
    if failed is None:
        return tuple(read), ()
    return tuple(read), (f"{path.name}: line {failed[0]} was cut off when the run ended, and is left out",)


def _some_spans(path: Path) -> tuple[tuple[Span, ...], tuple[str, ...]]:
    """Spans of whole queries from evenly spread parts of a file that is too large to be held."""
    from punie_trace.spans import names
    from punie_trace.spans.codec import from_line

    size = path.stat().st_size
    length = MOST_SPAN_BYTES // _SPAN_PARTS
    kept: list[Span] = []
    try:
        with path.open("rb") as file:
            for part in range(_SPAN_PARTS):
                start = part * (size - length) // (_SPAN_PARTS - 1)
                file.seek(start)
                if start:
                    file.readline()  # the rest of a line
                rows: list[Span] = []
                while file.tell() < start + length and (line := file.readline()):
                    try:
                        rows += from_line(line)
                    except ValueError:
                        continue  # the last line, cut off by the end of the run
                kept += _whole_traces(rows, names.SENT_NS)
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be read ({error.strerror})") from error
    queries = len({row.trace_id for row in kept})
    return tuple(kept), (
        f"{path.name} holds {size / 2**20:.0f} MiB of spans: read were those of {queries} queries, spread evenly over "
        "the run; ledger, phases and times to first token are of these",
    )


def _whole_traces(rows: list[Span], sent: str) -> Iterator[Span]:
    """Spans are written as they end: what ended before the first of `rows` is missing, and so may be a part of a query
    that was due before that.
    """
    first = rows[0].end_ns if rows else 0
    whole = {row.trace_id for row in rows if sent in row.attributes and row.start_ns >= first}
    return (row for row in rows if row.trace_id in whole)


def _lines(path: Path) -> Iterator[bytes]:
    check_is_file(path)
    try:
        with path.open("rb") as file:
            yield from (line for line in file if not line.isspace())
    except FileNotFoundError:
        return  # killed before anything was written
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be read ({error.strerror})") from error
