"""The evaluator `command`: a program that is run in the workspace once the query is over; exit code 0 is right.

'The tests pass now' is how a coding agent is judged. No shell is used. The program is bounded in time and in what it
may print, and whatever it started ends with it.
"""

from __future__ import annotations

import os
import select
import shlex
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from pydantic_evals.evaluators import EvaluationReason, Evaluator, EvaluatorContext

from punie_trace.bound_process import BoundProcess, start_bound

WORKSPACE = "punie.workspace"
"""Attribute of the evaluator's context: the folder that the query worked in."""
MOST_OUTPUT_BYTES = 16 * 2**20
_TAIL_BYTES = 2000
_NOT_FOUND = 127


@dataclass(repr=False)
class Command(Evaluator[object, object, object]):
    """Runs `run` (a list, or one text as a shell would split it) for at most `timeout_s` seconds."""

    run: list[str] | str
    timeout_s: float = 120.0
    evaluation_name: str | None = field(default=None)

    def __post_init__(self) -> None:
        try:
            words = shlex.split(self.run) if isinstance(self.run, str) else list(self.run)
        except ValueError as error:
            raise ValueError(f"the command {self.run!r} cannot be split: {error}") from None
        if not words or not all(isinstance(word, str) for word in words):
            raise ValueError("a command is a program and its arguments, all of them texts")
        if isinstance(self.timeout_s, bool) or not isinstance(self.timeout_s, int | float) or self.timeout_s <= 0:
            raise ValueError("timeout_s is a number of seconds above 0")
        self._words = words

    @classmethod
    def get_serialization_name(cls) -> str:
        """As datasets write it."""
        return "command"

    def get_default_evaluation_name(self) -> str:
        """`command`, or the name that the dataset gives it."""
        return self.evaluation_name or "command"

    def evaluate(self, ctx: EvaluatorContext[object, object, object]) -> EvaluationReason:
        """Right where the program ends with 0; else the reason says how it ended and what it printed last."""
        folder = Path(str(ctx.attributes[WORKSPACE]))
        reading, writing = os.pipe()
        try:
            process = start_bound(self._words, stdout=writing, stderr=subprocess.STDOUT, folder=folder)
        except OSError as error:
            os.close(reading)
            raise ValueError(f"cannot run {self._words[0]!r} in {folder}: {error.strerror}") from error
        finally:
            os.close(writing)
        try:
            tail, why = _read(reading, process, time.monotonic() + self.timeout_s)
            if why is None:
                code = process.popen.wait(_left(time.monotonic() + 10.0))
                why = None if code == 0 else _ending(self._words[0], code)
            elif why == "":
                why = f"still running after {self.timeout_s:g} s (timeout_s)"
        finally:
            process.end()
            os.close(reading)
        shown = tail.decode(errors="replace").strip()
        return EvaluationReason(why is None, None if why is None else f"{why}: {shown}" if shown else why)


def _read(reading: int, process: BoundProcess, deadline: float) -> tuple[bytes, str | None]:
    """The end of what is printed, until the program has ended; and why it was not waited for ('' for its time)."""
    tail, count = b"", 0
    while True:
        ready, _, _ = select.select([reading], [], [], min(_left(deadline), 0.1))
        if ready:
            data = os.read(reading, 65536)
            if not data:
                return tail, None
            count += len(data)
            tail = (tail + data)[-_TAIL_BYTES:]
            if count > MOST_OUTPUT_BYTES:
                return tail, f"printed more than {MOST_OUTPUT_BYTES // 2**20} MiB"
        elif process.popen.poll() is not None:
            return tail, None  # what it left behind may hold the pipe open
        elif time.monotonic() >= deadline:
            return tail, ""


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())


def _ending(program: str, code: int) -> str:
    if code == _NOT_FOUND:
        return f"{program!r} was not found"
    return f"ended by signal {-code}" if code < 0 else f"exit code {code}"
