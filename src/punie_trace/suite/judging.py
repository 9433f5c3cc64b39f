"""Judge queries by the facts of their cases and by evaluators, which run in a process of their own.

Evaluators are other people's code. In a process of their own they can neither hold our interpreter's lock while others
are measured, nor stay for ever: it has a lower priority than what is measured, looks at one query at a time, and is
replaced where an evaluator does not come back. With one query at a time nothing is measured while it works.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import anyio
from anyio import to_thread

import punie_trace
from punie_trace.bound_process import BoundProcess, start_bound
from punie_trace.errors import SuiteError
from punie_trace.records import EndedQuery, Evaluation, Judgement, Verdict
from punie_trace.spans.span import Span
from punie_trace.suite.agent_output import send
from punie_trace.suite.check import judge_ended, settle
from punie_trace.suite.evaluator_messages import Finished, Ready, Request, Setup
from punie_trace.suite.load import Suite

EVALUATOR_TIMEOUT_S: Final = 120.0
"""The longest that an evaluator may take which says nothing of it itself, in seconds."""
START_TIMEOUT_S: Final = 120.0
_GRACE_S: Final = 15.0
_WITHOUT_ANSWER: Final = (Verdict.TIMEOUT, Verdict.ERROR, Verdict.UNPARSED_CALL)

SpansOf = Callable[[str], Sequence[Span]]
"""(trace id in hex) -> the spans of that trace that have ended."""


class Evaluators:
    """The evaluators of one suite, and the process in which they run. Use it as a context, which ends the process.

    Making it starts the process and raises `SuiteError` for whatever cannot be run: unknown evaluators, classes that
    cannot be imported, judges whose model is not named.
    """

    def __init__(self, suite: Suite, references: Sequence[str], *, timeout_s: float = EVALUATOR_TIMEOUT_S) -> None:
        folders = [str(Path.cwd()), *([str(suite.source.resolve().parent)] if suite.source is not None else [])]
        self._setup = Setup(suite.dataset, tuple(references), str(suite.source or suite.name), tuple(folders))
        self._timeout_s = timeout_s
        self._names = tuple(query.evaluators for query in suite.queries)
        self._lock = threading.Lock()
        self._closed = False
        self._process: BoundProcess | None = None
        self._connection: Connection | None = None
        self._limits: tuple[tuple[float | None, ...], ...] = ()
        self._start()

    def evaluate(self, case: int, finished: Finished) -> tuple[Evaluation, ...]:
        """What every evaluator of the case finds. It blocks, for a bounded time, and raises nothing."""
        with self._lock:
            numbers = range(len(self._names[case]))
            return tuple(found for number in numbers for found in self._one(case, number, finished))

    def _one(self, case: int, number: int, finished: Finished) -> tuple[Evaluation, ...]:
        name = self._names[case][number]
        try:
            if self._connection is None:
                self._start()
            return self._exchange(Request(case, number, finished), self._limits[case][number])
        except _NoAnswer as why:
            self._end()
            return (Evaluation(name, None, str(why), name),)
        except (EOFError, OSError, SuiteError) as error:
            why = f"its process ended: {error}" if isinstance(error, SuiteError) else "its process ended"
            self._end()
            return (Evaluation(name, None, why, name),)

    def _exchange(self, request: Request, own_limit_s: float | None) -> tuple[Evaluation, ...]:
        connection = self._connection
        if connection is None:
            raise EOFError
        limit_s = self._timeout_s if own_limit_s is None else own_limit_s + _GRACE_S
        connection.send(request)
        if not connection.poll(limit_s):
            raise _NoAnswer(f"it did not return within {limit_s:g} s")
        return connection.recv()

    def _start(self) -> None:
        if self._closed:
            raise EOFError
        ours, theirs = Pipe()
        package = str(Path(punie_trace.__file__).parents[1])
        path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))
        argv = [sys.executable, "-m", "punie_trace.suite.evaluator_process", str(theirs.fileno())]
        with theirs:
            self._process = start_bound(
                argv, environment={**os.environ, "PYTHONPATH": path}, pass_fds=(theirs.fileno(),)
            )
        self._connection = ours
        try:
            ours.send(self._setup)
            answer = ours.recv() if ours.poll(START_TIMEOUT_S) else f"no answer within {START_TIMEOUT_S:g} s"
        except (EOFError, OSError):
            answer = f"{self._setup.name}: the process of its evaluators ended before it was ready"
        if not isinstance(answer, Ready):
            self._end()
            raise SuiteError(str(answer))
        self._limits = answer.limits

    def _end(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._process is not None:
            self._process.end()
            self._process = None

    def close(self) -> None:
        """End the process and all that it started; an evaluation that goes on ends with it."""
        self._closed = True
        if self._process is not None:
            self._process.end()  # whoever waits for it in another thread then sees its end
        with self._lock:
            self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _NoAnswer(Exception):  # noqa: N818  # no error of ours: it becomes the evaluation
    """An evaluator did not come back in time."""


class EvaluatingJudge:
    """A driver's judge: by facts, and by evaluators where a case has some. `workspace` is where queries work."""

    def __init__(self, suite: Suite, evaluators: Evaluators, spans_of: SpansOf, workspace: Path) -> None:
        self._evaluators = evaluators
        self._spans_of = spans_of
        self._workspace = str(workspace.resolve())
        self._places = {query.name: place for place, query in enumerate(suite.queries)}
        self._turn = anyio.Semaphore(1)

    async def __call__(self, ended: EndedQuery) -> Judgement:
        """The judgement; evaluators are not asked where there is no answer, or where it counts in nothing."""
        judgement = judge_ended(ended)
        answer = ended.answer
        if ended.warm_up or answer is None or judgement.verdict in _WITHOUT_ANSWER or not ended.query.evaluators:
            return judgement
        finished = Finished(
            output=send(answer.text, answer.output),
            wall_s=ended.wall_ns / 1e9,
            spans=tuple(self._spans_of(ended.trace_id)),
            workspace=answer.workspace or self._workspace,
        )
        case = self._places[ended.query.name]
        async with self._turn:
            found = await to_thread.run_sync(self._evaluators.evaluate, case, finished, abandon_on_cancel=True)
        return settle(judgement, found)
