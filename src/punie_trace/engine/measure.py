"""From an experiment to a run folder: checked, planned, measured, and closed whatever happens.

What is wrong with the set-up is raised before anything is started. From then on the folder is there, what was measured
is in it, and its header says at the end how the run ended. Nothing is printed: who wants to see it listens to
`progress`. Nothing is summarized either, which is done from the folder.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial

import anyio

from punie_trace.agent.toolbox import Toolbox
from punie_trace.driver.precise_loop import new_event_loop
from punie_trace.engine.default_run import resolved
from punie_trace.engine.ending import Ending
from punie_trace.engine.experiment import Experiment
from punie_trace.engine.header import header_of, secrets_of
from punie_trace.engine.measured import Measured, Options, Prepared, new_folder, planned_event
from punie_trace.engine.measurement import Measurement
from punie_trace.engine.plan import Plan, make_plan
from punie_trace.engine.progress import Announcer, Listener, Noted
from punie_trace.engine.questions import OWN, questions_of
from punie_trace.engine.setup import check_configurations
from punie_trace.engine.tracing import Tracing
from punie_trace.engine.unexpected import first_error, in_words
from punie_trace.errors import PunieTraceError, RunFolderError
from punie_trace.runs.header import RunStatus
from punie_trace.runs.writer import RunWriter, new_run_id
from punie_trace.spans.clock import Clock
from punie_trace.spans.metric_endpoint import metric_endpoints
from punie_trace.spans.otlp_endpoint import endpoint_for
from punie_trace.spans.propagators import check_propagators
from punie_trace.suite.judging import EvaluatingJudge, Evaluators
from punie_trace.suite.load import Suite


def prepare(experiment: Experiment, options: Options) -> Prepared:
    """Plans the experiment and looks for all that it needs; raises `PunieTraceError` for what is not there.

    What is wrong with the servers, models and agents of several configurations is said of all of them at once.
    """
    secrets = secrets_of(experiment, (*options.argv, options.otlp, options.otlp_metrics))
    experiment = resolved(experiment)
    try:
        check_propagators(os.environ)  # first: what reads suites and agents imports what fails on them
        questions = questions_of(experiment)
        plan = make_plan(experiment)
        endpoint_for(options.otlp)  # what is neither a word nor a URL is said now
        metric_endpoints(options.otlp_metrics, options.otlp)
        check_configurations(plan, sessions=any(query.turns for query in questions.suite.queries))
    except PunieTraceError as error:
        error.reword(secrets.hide)
        raise
    return Prepared(plan, questions, secrets)


def measure(experiment: Experiment, options: Options, listener: Listener | None = None) -> Measured:
    """Measures in this thread, or in one of its own where an event loop runs in this one (as in a notebook).

    Ctrl-C, SIGTERM and SIGHUP end the run in order, with the status 'interrupted'. Raises `PunieTraceError` for what is
    wrong with the set-up.
    """
    return measure_prepared(prepare(experiment, options), options, listener)


def measure_prepared(prepared: Prepared, options: Options, listener: Listener | None = None) -> Measured:
    """As `measure`, of what was prepared before."""
    ending = Ending()
    if not _in_event_loop():
        return _way(prepared)(prepared, options, listener, ending)
    worker = _Worker(partial(_way(prepared), prepared, options, listener, ending))
    while not worker.finished.is_set():
        try:
            worker.finished.wait()
        except KeyboardInterrupt:
            ending.ask()
    return worker.result()


async def measure_async(experiment: Experiment, options: Options, listener: Listener | None = None) -> Measured:
    """As `measure`, in a thread of its own whose event loop nothing else delays. Cancelling ends the run in order."""
    prepared = prepare(experiment, options)
    ending = Ending()
    worker = _Worker(partial(_way(prepared), prepared, options, listener, ending))
    try:
        await anyio.to_thread.run_sync(worker.finished.wait, abandon_on_cancel=True)
    except BaseException:
        ending.ask()
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(worker.finished.wait)
        raise
    return worker.result()


def _way(prepared: Prepared) -> Callable[[Prepared, Options, Listener | None, Ending], Measured]:
    """Who asks: this process, or generators of their own."""
    if not prepared.plan.experiment.fleet.in_use:
        return _measure_here
    from punie_trace.engine.fleet.measure import measure_fleet

    return measure_fleet


class _Worker:
    """One call in a thread of its own."""

    def __init__(self, call: partial[Measured]) -> None:
        self.finished = threading.Event()
        self._call = call
        self._result: Measured | None = None
        self._error: BaseException | None = None
        threading.Thread(target=self._run, name="punie-trace-measure", daemon=True).start()

    def _run(self) -> None:
        try:
            self._result = self._call()
        except BaseException as error:
            self._error = error
        finally:
            self.finished.set()

    def result(self) -> Measured:
        """What the call returned; raises what it raised."""
        if self._result is None:
            raise self._error or RuntimeError("the measuring thread ended without a result")
        return self._result


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _measure_here(prepared: Prepared, options: Options, listener: Listener | None, ending: Ending) -> Measured:
    plan, suite, secrets = prepared.plan, prepared.questions.suite, prepared.secrets
    announce = Announcer(listener, secrets)
    with ExitStack() as stack:
        # Before there is a folder: an evaluator that cannot be run is wrong with the set-up.
        evaluators = stack.enter_context(_evaluators_of(plan, suite)) if suite.dataset else None
        clock = Clock.start()
        run_id = new_run_id()
        folder = new_folder(options, run_id)
        writer = stack.enter_context(
            RunWriter(folder, header_of(run_id, plan, prepared.questions, clock, options.argv), secrets)
        )
        status: RunStatus = "ended-early"
        error: PunieTraceError | None = None
        try:
            tracing = Tracing(options.otlp, clock, run_id, writer.spans_path, options.otlp_metrics, secrets)
        except BaseException:
            with suppress(RunFolderError):
                writer.finish(status)
            raise
        try:
            for note in (*plan.notes, *suite.notes, *tracing.notes):
                writer.add_note(note)
                announce(Noted(note))
            announce(planned_event(folder, plan, suite))
            workspaces = prepared.questions.workspaces_in(folder)
            most = plan.turn_limits.tool_output_chars
            toolboxes = {name: Toolbox(root, max_chars=most) for name, root in workspaces.items()}
            measurement = Measurement(plan, suite, toolboxes, writer, announce, tracing)
            if evaluators is not None:
                finished = tracing.provider.open_spans.finished
                measurement.judge = EvaluatingJudge(suite, evaluators, finished, workspaces[OWN].root)
            status, error = _run(measurement, tracing, ending)
        finally:
            error = _close(writer, tracing, announce, status) or error
    return Measured(folder, status, error, plan.gates, tracing.sent_to)


def _evaluators_of(plan: Plan, suite: Suite) -> Evaluators:
    experiment = plan.experiment
    return Evaluators(suite, experiment.evaluators, timeout_s=experiment.evaluator_timeout_s)


def _run(measurement: Measurement, tracing: Tracing, ending: Ending) -> tuple[RunStatus, PunieTraceError | None]:
    """Runs it, and says how it ended. Whatever is raised below ends here: what was measured is worth keeping."""
    interrupted = False
    error: PunieTraceError | None = None
    try:
        anyio.run(partial(_guarded, measurement, tracing, ending), backend_options={"loop_factory": new_event_loop})
    except* KeyboardInterrupt:
        interrupted = True
    except* Exception as group:
        error = in_words(first_error(group), measurement.writer.folder, measurement.writer.secrets)
    if interrupted or ending.asked:
        return "interrupted", None
    if error is not None:
        return "ended-early", error
    everything_failed = {c.name for c in measurement.plan.configurations} <= measurement.failures.reasons.keys()
    return ("ended-early" if measurement.ended_early or everything_failed else "done"), None


async def _guarded(measurement: Measurement, tracing: Tracing, ending: Ending) -> None:
    async def work() -> None:
        with tracing.run_span():
            await measurement.run()

    await ending.watch(work)
    tracing.check()


def _close(writer: RunWriter, tracing: Tracing, announce: Announcer, status: RunStatus) -> PunieTraceError | None:
    """The last words of the run folder; where even they cannot be written, what is there stays."""
    problem: PunieTraceError | None = None
    try:
        for line in tracing.close(writer.header):
            announce(Noted(line))
    except Exception as error:
        problem = in_words(error, writer.folder, writer.secrets)
    try:
        if announce.problem is not None:
            writer.add_note(announce.problem)
        writer.finish(status)
    except RunFolderError as error:
        return error
    return problem
