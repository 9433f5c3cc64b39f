"""A run's folder, written as the run goes on: made, its header replaced whole, its outcomes appended one by one.

Whatever ends the run, what was written before stays readable. It reads nothing back, which is `runfile`'s part, and
writes neither spans nor samples of the machine: it only says where they go.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from punie_trace.errors import RunFolderError
from punie_trace.records import Outcome
from punie_trace.runs.header import ClientRecord, ConfigurationRecord, RunHeader, RunStatus, ServerRecord
from punie_trace.runs.outcome_line import encode_outcome
from punie_trace.runs.secrets import Secrets
from punie_trace.runs.stored_header import (
    CONDITIONS_FILE,
    ENERGY_FILE,
    HEADER_FILE,
    OUTCOMES_FILE,
    PROGRAMS_FOLDER,
    SERVERS_FOLDER,
    SPANS_FILE,
    write_header_file,
)

# EFBIG is how a limit on a file's size shows itself: for the user it is the same as a full disk.
_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

_Record = TypeVar("_Record")


def new_run_id(now: datetime | None = None) -> str:
    """A folder name for a run that starts at `now` (aware): sorts by time (UTC), and two at once do not collide."""
    moment = (now or datetime.now(UTC)).astimezone(UTC)
    return f"{moment:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


class RunWriter:
    """Makes the folder of a run and writes into it. One writer for one folder; not for use by several threads at once.

    `folder` must not exist or be empty. Every method raises `RunFolderError`, which says what is kept, where the disk
    is full or the folder cannot be written; what was written before stays readable. `secrets` stand in none of it.
    """

    def __init__(self, folder: Path, header: RunHeader, secrets: Secrets | None = None) -> None:
        self.folder = folder
        self.secrets = secrets or Secrets()
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
    def programs_path(self) -> Path:
        """The folder for what measured programs print, a folder for each configuration."""
        return self.folder / PROGRAMS_FOLDER

    @property
    def spans_path(self) -> Path:
        """Where the spans go; it is for the spans' exporter to write."""
        return self.folder / SPANS_FILE

    @property
    def conditions_path(self) -> Path:
        """Where samples of the machine go; it is for whoever takes them to write."""
        return self.folder / CONDITIONS_FILE

    @property
    def energy_path(self) -> Path:
        """Where samples of the machine's energy go; it is for whoever takes them to write."""
        return self.folder / ENERGY_FILE

    def append_outcome(self, outcome: Outcome) -> None:
        """Add one line to `outcomes.jsonl`: whole and handed to the system when this returns, or not there at all."""
        line = encode_outcome(self.secrets.hide_in_outcome(outcome))
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
        try:
            write_header_file(self.folder, self.secrets.hide_in(header.model_dump(mode="json")))
        except OSError as error:
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

    def in_order(self, configurations: Sequence[str], servers: Sequence[str]) -> None:
        """Put what is recorded of them in this order, whoever was ready first; others stay before them."""
        self.update(
            configurations=_last(self.header.configurations, configurations),
            servers=_last(self.header.servers, servers),
        )

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

    def add_client(self, record: ClientRecord) -> None:
        """Record what the client did in a stage that has ended."""
        self.update(client=(*self.header.client, record))

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


def _last(known: Mapping[str, _Record], order: Sequence[str]) -> dict[str, _Record]:
    others = {name: one for name, one in known.items() if name not in order}
    return others | {name: known[name] for name in order if name in known}


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
