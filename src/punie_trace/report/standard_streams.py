"""Standard output and standard error that no command fails of: a full disk, a pipe that was closed, a terminal that is
gone.

What is measured, written into a run's folder, and returned as the exit code must not depend on whether somebody reads
what is printed. The first time that a stream cannot be written it goes silent, and the other one says so.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from typing import TextIO, cast


class ForgivingStream:
    """A text stream that keeps what went wrong as `problem`, and writes nothing more from then on.

    `stream` is None where the process was started without it.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self.problem: Exception | None = None
        self.encoding: str = getattr(stream, "encoding", None) or "utf-8"
        self.errors: str | None = getattr(stream, "errors", None)

    def write(self, text: str, /) -> int:
        """Writes `text`, or leaves it out; never raises for what the stream does."""
        if not isinstance(text, str):
            raise TypeError(f"this is a stream of text, and was given {type(text).__name__}")
        if self._stream is not None and self.problem is None:
            try:
                self._stream.write(text)
            except UnicodeEncodeError:
                self._stream.write(text.encode("ascii", "backslashreplace").decode("ascii"))
            except (OSError, ValueError) as error:  # ValueError: it was closed
                self.problem = error
        return len(text)

    def writelines(self, lines: Iterable[str], /) -> None:
        """Writes each, as `write` does."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Hands on what is buffered, if that can be."""
        if self._stream is not None and self.problem is None:
            try:
                self._stream.flush()
            except (OSError, ValueError) as error:
                self.problem = error

    def writable(self) -> bool:
        """It always is."""
        return True

    def isatty(self) -> bool:
        """Whether a person sees it."""
        return self._stream is not None and self.problem is None and self._stream.isatty()

    def fileno(self) -> int:
        """The stream's descriptor. Raises `OSError` where it has none."""
        if self._stream is None:
            raise io.UnsupportedOperation("there is no such stream")
        return self._stream.fileno()

    def abandon(self) -> None:
        """Let what is still buffered go nowhere, so that the interpreter does not fail of it at its end."""
        if self._stream is None or self.problem is None:
            return
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


@contextmanager
def forgiving_streams() -> Generator[None]:
    """Standard output and error are forgiving within; at the end, what could not be shown is said where it can be."""
    out, error = ForgivingStream(sys.stdout), ForgivingStream(sys.stderr)
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = cast("TextIO", out), cast("TextIO", error)
    try:
        yield
    finally:
        out.flush()
        error.flush()
        if isinstance(out.problem, OSError) and out.problem.errno != errno.EPIPE:
            error.write(f"error: not all could be written to standard output: {out.problem.strerror}\n")
            error.flush()
        out.abandon()
        error.abandon()
        sys.stdout, sys.stderr = before
