"""Parts of a run into one run: its outcomes, spans and samples in order, on one clock, and what became of each part.

`runs/<id>/parts/<host>-<n>/` are folders in a run's own form. Their lines are merged as a stream: memory does not grow
with their number. Files are replaced whole, so that merging again, or being killed at it, does no harm. Nothing is
judged: a part that ends in the middle of a line is read up to there, and what is missing is counted.
"""

from __future__ import annotations

import fcntl
import heapq
import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Final

from punie_trace.errors import RunFolderError
from punie_trace.runs.header import ClientRecord, OffsetRecord, PartRecord, RunHeader
from punie_trace.runs.part_lines import MovedLines, ShiftAt, moved_outcomes, moved_samples, moved_spans
from punie_trace.runs.stored_header import (
    CONDITIONS_FILE,
    OUTCOMES_FILE,
    PARTS_FOLDER,
    SPANS_FILE,
    read_header,
    write_header_file,
)
from punie_trace.spans.clock_offset import ClockOffset

LOCK_FILE: Final = ".running"
NS_PER_MS: Final = 1e6


@contextmanager
def running(folder: Path) -> Generator[None]:
    """Says of a run in `folder` that it goes on, for as long as this process lives and no longer."""
    path = folder / PARTS_FOLDER / LOCK_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def goes_on(folder: Path) -> bool:
    """Whether a process is at work on the run in `folder`."""
    try:
        with (folder / PARTS_FOLDER / LOCK_FILE).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def merge_parts(folder: Path, header: RunHeader) -> RunHeader:
    """Merges the parts of the run in `folder`, and returns its header with what they did; it is not written here.

    Raises `RunFolderError` where a file cannot be read or written; the run's own files are then as they were.
    """
    counts = dict.fromkeys((part.name for part in header.parts), 0)
    shifts = {part.name: shift_of(part) for part in header.parts}
    try:
        with ExitStack() as stack:
            _merge(
                folder / OUTCOMES_FILE,
                [
                    _counted(
                        moved_outcomes(_lines(stack, folder, part, OUTCOMES_FILE), shifts[part.name]), part, counts
                    )
                    for part in header.parts
                ],
            )
            _merge(
                folder / SPANS_FILE,
                [
                    moved_spans(_lines(stack, folder, part, SPANS_FILE), shifts[part.name], _uncertainty(part))
                    for part in header.parts
                ],
            )
            # Those of the runner's own machine lie beside the parts.
            watched = [
                (folder / PARTS_FOLDER, _as_it_is),
                *((_folder(folder, p), shifts[p.name]) for p in header.parts),
            ]
            _merge(
                folder / CONDITIONS_FILE,
                [moved_samples(_open(stack, where / CONDITIONS_FILE), shift) for where, shift in watched],
            )
    except OSError as error:
        raise RunFolderError(f"{folder}: its parts cannot be merged ({error.strerror or error})") from error
    return _with_parts(folder, header, counts)


def shift_of(part: PartRecord) -> ShiftAt:
    """What to add to a time of the part's clock for the run's. Of a clock that was not compared, nothing."""
    if part.offset is None or not part.offset.readings:
        return _as_it_is
    return partial(_shift, clock_of(part.offset))


def clock_of(record: OffsetRecord) -> ClockOffset:
    """The offset that a header holds."""
    return ClockOffset(**record.model_dump())


def _shift(clock: ClockOffset, theirs_ns: int) -> int:
    return -clock.offset_of(theirs_ns)


def _as_it_is(_: int) -> int:
    return 0


def _uncertainty(part: PartRecord) -> int | None:
    return part.offset.uncertainty_ns if part.offset is not None and part.offset.readings else None


def _folder(run: Path, part: PartRecord) -> Path:
    return run / PARTS_FOLDER / part.name


def _lines(stack: ExitStack, run: Path, part: PartRecord, name: str) -> Iterable[bytes]:
    return _open(stack, _folder(run, part) / name)


def _open(stack: ExitStack, path: Path) -> Iterable[bytes]:
    try:
        return stack.enter_context(path.open("rb"))
    except FileNotFoundError:
        return ()


def _counted(moved: Iterator[MovedLines], part: PartRecord, counts: dict[str, int]) -> Iterator[MovedLines]:
    for one in moved:
        counts[part.name] += 1
        yield one


def _merge(target: Path, sources: Sequence[Iterable[MovedLines]]) -> None:
    """Write the lines of all sources, in order of time, in place of `target`."""
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with unfinished.open("wb", buffering=1 << 20) as file:
            for moved in heapq.merge(*sources, key=attrgetter("at_ns")):
                file.writelines(moved.lines)
        unfinished.replace(target)
    finally:
        with suppress(OSError):
            unfinished.unlink()


def _with_parts(folder: Path, header: RunHeader, counts: dict[str, int]) -> RunHeader:
    """The header with what each part says of itself: its client's record, its failures, its number of outcomes."""
    clients: list[ClientRecord] = []
    failures = dict(header.failures)
    parts: list[PartRecord] = []
    for part in header.parts:
        changes: dict[str, object] = {"outcomes": counts[part.name]}
        with suppress(RunFolderError):  # one that never began has none
            own = read_header(_folder(folder, part))
            clients += [one.model_copy(update={"generator": part.name}) for one in own.client]
            failures = {**own.failures, **failures}
            changes["dropped"] = sum(one.dropped for one in own.client)
            changes["sent"] = sum(one.sent for one in own.client)
        parts.append(part.model_copy(update=changes))
    changed = header.model_copy(
        update={"parts": tuple(parts), "client": tuple(clients), "failures": failures, "merged": True}
    )
    return changed.model_copy(update={"findings": tuple(dict.fromkeys((*changed.findings, *_findings(changed))))})


def _findings(header: RunHeader) -> Iterator[str]:
    """What a reader should know of the parts before trusting figures over all of them."""
    for part in header.parts:
        if part.status in ("lost", "running"):
            why = part.problem or "the run was killed before it had ended"
            left = part.unaccounted
            missing = (
                "how many of its queries are missing is not known"
                if left is None
                else f"{left} of its {part.arrivals} queries have no outcome: they were never sent, or not answered yet"
            )
            yield f"generator {part.name} was lost ({why}); {missing}"
        elif part.dropped:
            yield f"generator {part.name} never sent {part.dropped} queries that were due"
        if part.offset is None:
            yield (
                f"the clock of generator {part.name} could not be compared with the run's: its own times are right, "
                "their place among those of others is not known"
            )
    unsure = max((part.offset.uncertainty_ns for part in header.parts if part.offset is not None), default=0)
    if unsure:
        yield (
            f"times of different hosts compare within {unsure / NS_PER_MS:.2f} ms: the order of arrivals and the rate "
            "over all generators are no surer than that; the ledger of a query is of one clock, and exact"
        )


def complete(folder: Path) -> tuple[str, ...]:
    """Merges what a runner that was killed left unmerged, and returns what could not be: the run goes on, or the disk.

    Raises `RunFolderError` for what is no run.
    """
    if goes_on(folder):
        return ("the run goes on: what its generators measured is put together at its end",)
    try:
        with running(folder):
            header = merge_parts(folder, read_header(folder))
            write_header_file(folder, header.model_dump(mode="json"))
    except (OSError, RunFolderError) as error:
        return (f"the parts of the run could not be put together: {error}",)
    return ()
