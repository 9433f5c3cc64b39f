"""The header of a run that is about to begin: what was asked for, resolved, on what machine. Secrets are left out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from punie_trace.engine.loads import describe_load, planned_each
from punie_trace.engine.machine import read_machine, read_versions
from punie_trace.engine.plan import Plan
from punie_trace.engine.secrets import redacted, without_secrets
from punie_trace.engine.settings import LoadSettings
from punie_trace.records import JsonValue
from punie_trace.runs.header import Clock as ClockRecord
from punie_trace.runs.header import RunHeader, SuiteRecord
from punie_trace.spans.clock import Clock
from punie_trace.suite.load import Suite


def header_of(run_id: str, plan: Plan, suite: Suite, clock: Clock, argv: Sequence[str]) -> RunHeader:
    """The header of the run `run_id`; `argv` is the command line that began it, empty where there was none."""
    experiment = plan.experiment
    return RunHeader(
        id=run_id,
        started=datetime.now(UTC).astimezone(),
        argv=tuple(map(without_secrets, argv)),
        configuration={name: redacted(value, name) for name, value in _resolved(plan).items()},
        suite=SuiteRecord(name=suite.name, digest=suite.digest, queries=suite.queries),
        versions=read_versions(),
        machine=read_machine(),
        seed=experiment.seed,
        rounds=experiment.rounds,
        concurrency=experiment.concurrency,
        load=describe_load(experiment),
        planned=None if experiment.load == LoadSettings() else planned_each(experiment, len(suite.queries)),
        order="interleaved" if len(plan.batches) < 2 else "one-by-one",
        clock=ClockRecord(anchor_wall_ns=clock.anchor_wall_ns, anchor_monotonic_ns=clock.anchor_monotonic_ns),
    )


def _resolved(plan: Plan) -> dict[str, JsonValue]:
    """The experiment with everything filled in that was left open."""
    servers: dict[str, JsonValue] = {
        c.name: c.server.model_dump(mode="json", exclude_unset=True) for c in plan.configurations
    }
    return {
        **plan.experiment.model_dump(mode="json"),
        "tool_output_chars": plan.tool_output_chars,
        "max_tokens": plan.max_tokens,
        "configurations": servers,
    }
