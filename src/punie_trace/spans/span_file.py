"""Writes every span that ends to `spans.jsonl`, one line of OTLP/JSON a span, whatever else may receive it.

It writes in the thread that ends the span, with one unbuffered system call: a run that is killed -9 loses only spans
that had not ended. A thread of its own would not save the encoding (the interpreter's lock is the same) and would take
that lock at any time, in the middle of what is being measured. Nothing is synced to the disk: a machine that loses
power may lose spans.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from punie_trace.errors import RunFolderError
from punie_trace.spans.codec import to_line
from punie_trace.spans.sink import SpanSink
from punie_trace.spans.span import Span


class SpanFile(SpanSink):
    """A sink that owns the file at `path`, which it creates or appends to.

    Raises RunFolderError where the file cannot be opened. A write that fails later is remembered: `check` raises it in
    the owner's own thread, because a span may end anywhere.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.written = 0
        """Spans written whole."""
        self.lost = 0
        """Spans that could not be written."""
        self._error: OSError | None = None
        self._torn = False
        self._lock = threading.Lock()
        try:
            self._file: int | None = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise RunFolderError(
                f"Cannot write spans to {path}: {error.strerror}. Choose a folder that can be written with --out."
            ) from error

    def write(self, span: Span) -> None:
        """Write one finished span."""
        data = to_line(span)
        with self._lock:
            if self._file is None:
                self.lost += 1
                return
            if self._torn:
                data = b"\n" + data  # so that a line which the disk cut short spoils no other
            try:
                while data:
                    data = data[os.write(self._file, data) :]
                    self._torn = True
            except OSError as error:
                self._error = error
                self.lost += 1
            else:
                self._torn = False
                self.written += 1

    def check(self) -> None:
        """Raise RunFolderError where spans could not be written; otherwise nothing."""
        if self._error is not None:
            raise RunFolderError(
                f"{self.lost} span(s) could not be written to {self.path}: {self._error.strerror}. "
                "Make room or choose another folder with --out; what was written before is whole."
            ) from self._error

    def close(self) -> None:
        """Close the file. Spans that end later are counted as lost."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None
