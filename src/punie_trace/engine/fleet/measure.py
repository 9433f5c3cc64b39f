"""From a prepared experiment to a run folder, by several generators: the counterpart of `engine.measure`.

Parts are merged when all generators have ended, and only then are spans and metrics sent anywhere.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path

import anyio

from punie_trace.driver.precise_loop import new_event_loop
from punie_trace.engine.ending import Ending
from punie_trace.engine.fleet.fleet import Fleet
from punie_trace.engine.fleet.post import Here, Places
from punie_trace.engine.fleet.shares import check_shares
from punie_trace.engine.header import header_of
from punie_trace.engine.measured import Measured, Options, Prepared, new_folder, planned_event
from punie_trace.engine.plan import Plan
from punie_trace.engine.progress import Announcer, Listener, Noted, PhaseStarted
from punie_trace.engine.sending import send_run
from punie_trace.engine.unexpected import first_error, in_words
from punie_trace.errors import ConfigurationError, ExportError, PunieTraceError, RunFolderError
from punie_trace.records import SentTo
from punie_trace.runs.header import RunStatus
from punie_trace.runs.merge import merge_parts, running
from punie_trace.runs.reader import read_run
from punie_trace.runs.secrets import Secrets
from punie_trace.runs.writer import RunWriter, new_run_id
from punie_trace.spans.clock import Clock
from punie_trace.spans.metric_endpoint import first_that_answers, metric_endpoints
from punie_trace.spans.otlp_endpoint import endpoint_for
from punie_trace.spans.otlp_sender import probe


def measure_fleet(prepared: Prepared, options: Options, listener: Listener | None, ending: Ending) -> Measured:
    """Measures in this thread. Raises `PunieTraceError` for what is wrong before anything was measured."""
    plan, suite, secrets = prepared.plan, prepared.questions.suite, prepared.secrets
    announce, clock, run_id = Announcer(listener, secrets), Clock.start(), new_run_id()
    folder = new_folder(options, run_id)
    with ExitStack() as stack:

        def open_writer() -> RunWriter:
            header = header_of(run_id, plan, prepared.questions, clock, options.argv)
            writer = stack.enter_context(RunWriter(folder, header, secrets))
            stack.enter_context(running(folder))
            for note in (*plan.notes, *suite.notes):
                writer.add_note(note)
                announce(Noted(note))
            announce(planned_event(folder, plan, suite))
            return writer

        fleet = Fleet(
            plan, prepared.questions, run_id, options.argv, clock, announce, places_of(plan, run_id), open_writer
        )
        status, error = _run(fleet, ending, folder, secrets)
        writer = fleet.writer
        if writer is None:
            raise error or KeyboardInterrupt
        sent_to = SentTo()
        try:
            announce(PhaseStarted("putting the parts together"))
            writer.write_header(merge_parts(folder, writer.header))
            sent_to = _send(folder, options, announce)
            if announce.problem is not None:
                writer.add_note(announce.problem)
            writer.finish(status)
        except RunFolderError as problem:
            error = error or problem
    return Measured(folder, status, error, plan.gates, sent_to)


def places_of(plan: Plan, run_id: str) -> Places:
    """Where the generators are started: here, or on a cluster."""
    settings = plan.experiment.fleet
    many = settings.generators or 1
    check_shares(plan, many)  # again, where their number is known from the cluster alone
    if settings.ray is None:
        return Here(many)
    from punie_trace.engine.fleet.ray_posts import RayCluster

    return RayCluster(settings, run_id)


def _run(fleet: Fleet, ending: Ending, folder: Path, secrets: Secrets) -> tuple[RunStatus, PunieTraceError | None]:
    """Runs it, and says how it ended."""
    interrupted = False
    error: PunieTraceError | None = None
    try:
        work = partial(ending.watch, fleet.run)
        anyio.run(work, backend_options={"loop_factory": new_event_loop})
    except* KeyboardInterrupt:
        interrupted = True
    except* Exception as group:
        error = in_words(first_error(group), folder, secrets)
    if interrupted or ending.asked:
        return "interrupted", None
    if error is not None:
        return "ended-early", error
    everything_failed = {c.name for c in fleet.plan.configurations} <= fleet.failures.reasons.keys()
    return ("ended-early" if fleet.ended_early or everything_failed else "done"), None


def _send(folder: Path, options: Options, announce: Announcer) -> SentTo:
    """What was merged to the collectors that answer; a collector that was named and does not is said."""
    spans, metrics = "off", "off"
    endpoint = endpoint_for(options.otlp)
    if endpoint is not None and (options.otlp != "auto" or probe(endpoint, timeout_s=0.3)):
        spans = options.otlp
    if first_that_answers(metric_endpoints(options.otlp_metrics, options.otlp), asked_for=False) is not None:
        metrics = options.otlp_metrics
    if spans == metrics == "off":
        return SentTo()
    announce(PhaseStarted("sending spans and metrics"))
    try:
        sent = send_run(read_run(folder), spans, metrics)
    except (ConfigurationError, ExportError) as error:
        announce(Noted(str(error)))
        return SentTo()
    for line in (*sent.notes, *sent.problems):
        announce(Noted(line))
    return sent.sent_to
