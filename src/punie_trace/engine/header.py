"""The header of a run that is about to begin: what was asked for, resolved, on what machine. Secrets are left out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from punie_trace.engine.experiment import Experiment
from punie_trace.engine.loads import describe_load, planned_each
from punie_trace.engine.machine import read_machine, read_versions
from punie_trace.engine.plan import Plan
from punie_trace.engine.questions import Questions
from punie_trace.engine.settings import LoadSettings
from punie_trace.records import JsonValue
from punie_trace.runs.header import Clock as ClockRecord
from punie_trace.runs.header import QuickRecord, RunHeader, SuiteRecord
from punie_trace.runs.secrets import Secrets, redacted, redacted_words, secrets_in_environment, secrets_in_words
from punie_trace.spans.clock import Clock


def header_of(run_id: str, plan: Plan, questions: Questions, clock: Clock, argv: Sequence[str]) -> RunHeader:
    """The header of the run `run_id`; `argv` is the command line that began it, empty where there was none."""
    experiment, suite = plan.experiment, questions.suite
    return RunHeader(
        id=run_id,
        started=datetime.now(UTC).astimezone(),
        argv=tuple(redacted_words(argv)),
        configuration={name: redacted(value, name) for name, value in _resolved(plan).items()},
        suite=SuiteRecord(name=suite.name, digest=suite.digest, queries=suite.queries),
        versions=read_versions(),
        machine=read_machine(),
        seed=experiment.seed,
        rounds=experiment.rounds,
        concurrency=experiment.concurrency,
        load=describe_load(experiment),
        planned=None if experiment.load == LoadSettings() else planned_each(experiment, suite.queries),
        order="interleaved" if len(plan.batches) < 2 else "one-by-one",
        quick=QuickRecord(of=questions.of, left_out=plan.left_out) if experiment.quick else None,
        clock=ClockRecord(anchor_wall_ns=clock.anchor_wall_ns, anchor_monotonic_ns=clock.anchor_monotonic_ns),
    )


def secrets_of(experiment: Experiment, words: Sequence[str], environ: Mapping[str, str] = os.environ) -> Secrets:
    """Every secret that a run is given: in the environment, its own and its servers', in `words`, and in commands.

    It reads the settings as they were written, right or wrong: what is wrong with them is printed, too.
    """
    found = secrets_in_environment(environ) | secrets_in_words(words)
    for settings in (experiment.server, *(one.server for one in experiment.named)):
        given, command = settings.get("environment"), settings.get("command")
        own = {str(key): str(value) for key, value in given.items()} if isinstance(given, Mapping) else {}
        listed = command if isinstance(command, Sequence) and not isinstance(command, str) else ()
        url = settings.get("url")
        found |= secrets_in_environment(own)
        found |= secrets_in_words([*map(str, listed), *([url] if isinstance(url, str) else ())])
        if isinstance(variable := settings.get("api_key_env"), str):
            found.add(own.get(variable) or environ.get(variable) or "")
    return Secrets(found)


def _resolved(plan: Plan) -> dict[str, JsonValue]:
    """The experiment with everything filled in that was left open."""
    servers: dict[str, JsonValue] = {
        c.name: c.server.model_dump(mode="json", exclude_unset=True) for c in plan.configurations
    }
    return {
        **plan.experiment.model_dump(mode="json"),
        "tool_output_chars": plan.turn_limits.tool_output_chars,
        "max_tokens": plan.turn_limits.max_tokens,
        "configurations": servers,
    }
