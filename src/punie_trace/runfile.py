"""A run on disk: `run.json`, `outcomes.jsonl`, `spans.jsonl` and `servers/`, written as it happens and read back.

A run that is killed at any point can be read up to that point: the header is replaced whole, outcomes are appended
one line at a time, and a line that was cut off at the end is left out and named. Nothing here computes anything.
"""

from __future__ import annotations

import errno
import gc
import json
import math
import os
import secrets
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar, get_args

from pydantic import JsonValue, ValidationError

from punie_trace.errors import RunFolderError
from punie_trace.header import SCHEMA_VERSION, ConfigurationRecord, RunHeader, RunStatus, ServerRecord
from punie_trace.records import MachineSample, Outcome, SpanRow, ToolCall, Verdict
from punie_trace.records import Path as AskPath

HEADER_FILE: Final = "run.json"
OUTCOMES_FILE: Final = "outcomes.jsonl"
SPANS_FILE: Final = "spans.jsonl"
CONDITIONS_FILE: Final = "conditions.jsonl"
SERVERS_FOLDER: Final = "servers"

MOST_SPAN_BYTES: Final = 96 * 2**20
"""A file of spans that is larger is read in part: a span takes about three times its line in memory."""
_SPAN_PARTS: Final = 24

# EFBIG is how a limit on a file's size shows itself: for the user it is the same as a full disk.
_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

_INTEGERS: Final = ("seq", "round", "due_ns", "sent_ns", "done_ns", "generations")
_TEXTS: Final = ("configuration", "query", "trace_id", "answer")
_NAMES: Final = ("configuration", "query", "served_model")
"""Texts of which a run has few, and its outcomes many: each is held once."""
_MAYBE_INTEGERS: Final = ("input_tokens", "output_tokens", "cached_tokens", "ttft_ns")
_MAYBE_TEXTS: Final = ("error", "served_model")

T = TypeVar("T")


def new_run_id(now: datetime | None = None) -> str:
    """A folder name for a run that starts at `now` (aware): sorts by time (UTC), and two at once do not collide."""
    moment = (now or datetime.now(UTC)).astimezone(UTC)
    return f"{moment:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


class RunWriter:
    """Makes the folder of a run and writes into it. One writer for one folder; not for use by several threads at once.

    `folder` must not exist or be empty. Every method raises `RunFolderError`, which says what is kept, where the disk
    is full or the folder cannot be written; what was written before stays readable.
    """

    def __init__(self, folder: Path, header: RunHeader) -> None:
        self.folder = folder
        self.header = header
        self.outcomes_written = 0
        _make_folder(folder)
        try:
            self.servers_path.mkdir()
            self._outcomes = os.open(folder / OUTCOMES_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        except OSError as error:
            raise self._cannot_write(error, "making its files") from error
        try:
            self.write_header(header)
        except BaseException:
            os.close(self._outcomes)
            raise

    @property
    def servers_path(self) -> Path:
        """The folder for what servers print, one `.log` for each."""
        return self.folder / SERVERS_FOLDER

    @property
    def spans_path(self) -> Path:
        """Where the spans go; it is for the spans' exporter to write."""
        return self.folder / SPANS_FILE

    @property
    def conditions_path(self) -> Path:
        """Where samples of the machine go; it is for whoever takes them to write."""
        return self.folder / CONDITIONS_FILE

    def append_outcome(self, outcome: Outcome) -> None:
        """Add one line to `outcomes.jsonl`: whole and handed to the system when this returns, or not there at all."""
        line = encode_outcome(outcome)
        before = os.fstat(self._outcomes).st_size
        left = memoryview(line)
        try:
            while left:
                left = left[os.write(self._outcomes, left) :]
        except OSError as error:
            os.ftruncate(self._outcomes, before)
            raise self._cannot_write(error, f"writing outcome {outcome.seq}") from error
        self.outcomes_written += 1

    def write_header(self, header: RunHeader) -> None:
        """Replace `run.json`; a reader sees the old one or the new one, never a half."""
        text = json.dumps(header.model_dump(mode="json"), indent=2) + "\n"
        unfinished = self.folder / f".{HEADER_FILE}.tmp"
        try:
            unfinished.write_text(text, encoding="utf-8")
            unfinished.replace(self.folder / HEADER_FILE)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise self._cannot_write(error, f"writing {HEADER_FILE}") from error
        self.header = header

    def update(self, **changes: object) -> None:
        """`write_header` with the named fields of the header changed; a value that does not fit is a `ValueError`."""
        self.write_header(RunHeader.model_validate({**dict(self.header), **changes}))

    def server_ready(self, name: str, server: ServerRecord) -> None:
        """Record who answers for the server group `name`."""
        self.update(servers={**self.header.servers, name: server})

    def configuration_ready(self, name: str, configuration: ConfigurationRecord) -> None:
        """Record how the configuration `name` is really served."""
        self.update(configurations={**self.header.configurations, name: configuration})

    def configuration_failed(self, name: str, reason: str) -> None:
        """Record that `name` could not be measured, or not to the end; `reason` is shown to the user."""
        self.update(failures={**self.header.failures, name: reason})

    def write_memory(self, server: str, peak_bytes: int, kind: str | None = None) -> None:
        """Record a reading of the server group's memory; only the largest is kept (and only that rewrites the file)."""
        known = self.header.servers.get(server, ServerRecord())
        if known.memory_peak_bytes is None or peak_bytes > known.memory_peak_bytes:
            changes = {"memory_peak_bytes": peak_bytes, "memory_kind": kind or known.memory_kind}
            self.server_ready(server, known.model_copy(update=changes))

    def add_note(self, text: str) -> None:
        """Record a fact about how the run was made; the same text is kept once."""
        if text not in self.header.notes:
            self.update(notes=(*self.header.notes, text))

    def add_finding(self, text: str) -> None:
        """Record something that bears on the result; the same text is kept once."""
        if text not in self.header.findings:
            self.update(findings=(*self.header.findings, text))

    def finish(self, status: RunStatus) -> None:
        """Record how the run ended and when."""
        self.update(status=status, ended=datetime.now(UTC))

    def close(self) -> None:
        """Close the file of outcomes; may be called twice."""
        if self._outcomes >= 0:
            os.close(self._outcomes)
            self._outcomes = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _cannot_write(self, error: OSError, doing: str) -> RunFolderError:
        kept = (
            f"The {self.outcomes_written} outcomes before it are kept: 'punie-trace report {self.folder}' reads them."
        )
        if error.errno in _FULL:
            return RunFolderError(
                f"{self.folder}: the disk is full ({error.strerror}) while {doing}. {kept} Free some space, or give a "
                "folder on another disk with --out, and run again."
            )
        return RunFolderError(f"{self.folder}: {error.strerror or error} while {doing}. {kept}")


@dataclass(frozen=True)
class Run:
    """A run as read from its folder. `problems` says what could not be read and was left out."""

    folder: Path
    header: RunHeader
    outcomes: tuple[Outcome, ...]
    problems: tuple[str, ...]

    @cached_property
    def _spans(self) -> tuple[tuple[SpanRow, ...], tuple[str, ...]]:
        from punie_trace.otlp_json import span_rows

        path = self.folder / SPANS_FILE
        if path.is_file() and path.stat().st_size > MOST_SPAN_BYTES:
            return _some_spans(path)
        rows, problems = _read_lines(path, span_rows)
        return tuple(row for line in rows for row in line), problems

    @property
    def spans(self) -> tuple[SpanRow, ...]:
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
            return _read_lines(self.folder / CONDITIONS_FILE, _sample)[0]
        except RunFolderError:
            return ()  # they bear on no figure

    @cached_property
    def traces(self) -> dict[str, tuple[SpanRow, ...]]:
        """The spans by trace id: one trace is one query."""
        found: dict[str, list[SpanRow]] = {}
        for row in self.spans:
            found.setdefault(row.trace_id, []).append(row)
        return {trace_id: tuple(rows) for trace_id, rows in found.items()}


def read_run(folder: Path) -> Run:
    """Read a run, finished or not. Raises `RunFolderError` for what is no run, or one of another version."""
    header = _read_header(folder)
    outcomes, problems = _read_lines(folder / OUTCOMES_FILE, decode_outcome)
    return Run(folder, header, outcomes, problems)


def encode_outcome(outcome: Outcome) -> bytes:
    """One line of `outcomes.jsonl`, newline included, in ASCII: no text of a model can break the line."""
    values = asdict(outcome)
    try:
        text = json.dumps(values, allow_nan=False, separators=(",", ":"))
    except ValueError:  # a model may write NaN among a tool's arguments, and JSON has none
        text = json.dumps(_finite(values), allow_nan=False, separators=(",", ":"))
    return text.encode("ascii") + b"\n"


def decode_outcome(line: str) -> Outcome:
    """The outcome of one line. Raises `ValueError` that names what is missing or of the wrong kind."""
    values = json.loads(line)
    if not isinstance(values, dict):
        raise ValueError("not a JSON object")
    fields: dict[str, Any] = {}
    for names, kinds in (
        (_INTEGERS, (int,)),
        (_TEXTS, (str,)),
        (_MAYBE_INTEGERS, (int, type(None))),
        (_MAYBE_TEXTS, (str, type(None))),
    ):
        for name in names:
            if name not in values:
                raise ValueError(f"{name!r} is missing")
            if not isinstance(values[name], kinds) or isinstance(values[name], bool):
                raise ValueError(f"{name!r} is {values[name]!r}")
            value = values[name]
            fields[name] = sys.intern(value) if isinstance(value, str) and name in _NAMES else value
    path = values.get("path")
    if path not in get_args(AskPath):
        raise ValueError(f"'path' is {path!r}")
    fields["answer"] = _held_once(fields["answer"])
    return Outcome(
        path=sys.intern(path),
        verdict=Verdict(values.get("verdict")),
        tool_calls=_tool_calls(values.get("tool_calls")),
        **fields,
    )


def _sample(line: str) -> MachineSample:
    values = json.loads(line)
    try:
        return MachineSample(**{name: values[name] for name in MachineSample.__slots__ if name in values})
    except TypeError as error:
        raise ValueError(f"no sample: {error}") from error


@lru_cache(maxsize=4096)
def _held_once(text: str) -> str:
    """The same object for equal texts: the answers to a query are mostly equal, and only differ where that matters."""
    return text


def _tool_calls(values: object) -> tuple[ToolCall, ...]:
    if not isinstance(values, list):
        raise ValueError("'tool_calls' is not a list")
    return _calls_held_once(json.dumps(values)) if values else ()


@lru_cache(maxsize=4096)
def _calls_held_once(text: str) -> tuple[ToolCall, ...]:
    values = json.loads(text)
    try:
        return tuple(ToolCall(str(call["name"]), dict(call["arguments"]), bool(call["ok"])) for call in values)
    except (KeyError, TypeError) as error:
        raise ValueError(f"'tool_calls' does not hold name, arguments and ok: {error}") from error


def _finite(value: JsonValue) -> JsonValue:
    match value:
        case float() if not math.isfinite(value):
            return str(value)
        case dict():
            return {key: _finite(item) for key, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
        case _:
            return value


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        taken = any(folder.iterdir())
    except FileExistsError as error:
        raise RunFolderError(f"{folder} is a file: give another folder with --out") from error
    except OSError as error:
        raise RunFolderError(
            f"{folder}: cannot make the run folder ({error.strerror}): give one that you may write with --out"
        ) from error
    if taken:
        raise RunFolderError(f"{folder} exists and is not empty: a run is never overwritten. Give another with --out")


def _read_header(folder: Path) -> RunHeader:
    path = folder / HEADER_FILE
    if not folder.exists():
        raise RunFolderError(f"{folder}: there is no such folder. Give the folder of a run, such as runs/<id>")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RunFolderError(
            f"{folder} is not a run: it has no {HEADER_FILE}. Give the folder that 'punie-trace run' named at its end"
        ) from error
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise RunFolderError(
            f"{path} is not JSON ({error}): it is not from punie-trace, or was changed since"
        ) from error
    version = values.get("schema_version") if isinstance(values, dict) else None
    if version != SCHEMA_VERSION:
        raise RunFolderError(
            f"{path} has schema version {version!r}, and this punie-trace reads {SCHEMA_VERSION}: "
            "read it with the version that wrote it (see 'versions' in the file)"
        )
    try:
        return RunHeader.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RunFolderError(f"{path}: {where}: {first['msg']}. The file was changed or is not whole") from error


@contextmanager
def _not_collecting() -> Generator[None]:
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
    with _not_collecting():
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


def _some_spans(path: Path) -> tuple[tuple[SpanRow, ...], tuple[str, ...]]:
    """Spans of whole queries from evenly spread parts of a file that is too large to be held."""
    from punie_trace.otlp_json import span_rows
    from punie_trace.telemetry import names

    size = path.stat().st_size
    length = MOST_SPAN_BYTES // _SPAN_PARTS
    kept: list[SpanRow] = []
    try:
        with path.open("rb") as file:
            for part in range(_SPAN_PARTS):
                start = part * (size - length) // (_SPAN_PARTS - 1)
                file.seek(start)
                if start:
                    file.readline()  # the rest of a line
                rows: list[SpanRow] = []
                while file.tell() < start + length and (line := file.readline()):
                    try:
                        rows += span_rows(line)
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


def _whole_traces(rows: list[SpanRow], sent: str) -> Iterator[SpanRow]:
    """Spans are written as they end: what ended before the first of `rows` is missing, and so may be a part of a query
    that was due before that.
    """
    first = rows[0].end_ns if rows else 0
    whole = {row.trace_id for row in rows if sent in row.attributes and row.start_ns >= first}
    return (row for row in rows if row.trace_id in whole)


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from (line for line in file if line.strip())
    except FileNotFoundError:
        return  # killed before anything was written
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be read ({error.strerror})") from error
