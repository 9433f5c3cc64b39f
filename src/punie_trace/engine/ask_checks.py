"""What `punie-trace doctor` finds out by asking: the suite, the agent, and one real query of the server.

The query goes the way of every measured one, into a run folder that is thrown away: what can be observed here can be
observed in a run. Nothing is compared, and a wrong answer is no fault of the set-up.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from punie_trace.analysis.figures import ConfigurationFigures
from punie_trace.analysis.summary import summarize
from punie_trace.engine.checks import Check
from punie_trace.engine.default_run import resolved
from punie_trace.engine.experiment import Experiment
from punie_trace.engine.measure import Measured, Options, Prepared, measure_prepared, prepare
from punie_trace.engine.questions import questions_of
from punie_trace.engine.settings import FleetSettings, LoadSettings
from punie_trace.errors import PunieTraceError
from punie_trace.outside_text import one_line
from punie_trace.records import Outcome, Query, Verdict
from punie_trace.report.units import duration
from punie_trace.runs.reader import RunRecord, read_run

QUERY_S: Final = 120.0
"""The longest that the one query may take, in s: a large model may have to be loaded for it."""
READY_S: Final = 60.0
_LONGEST: Final = 160
_NO_CALL: Final = (
    "measure all the same, or see that the server takes calls: vLLM wants --enable-auto-tool-choice and "
    "--tool-call-parser, llama.cpp --jinja; and that the model was trained for tools"
)


def suite_check(experiment: Experiment) -> Check:
    """Whether the suite can be read, and of how many of its questions it is known what is right."""
    try:
        suite = questions_of(resolved(experiment)).suite
    except PunieTraceError as error:
        return Check("suite", "bad", "cannot be used", str(error))
    judged = sum(query.has_facts or bool(query.evaluators) for query in suite.queries)
    found = f"{suite.name}: {_of(len(suite.queries), 'question')}, what is right is known of {judged}"
    if judged < len(suite.queries):
        do = "the others are timed and not judged; metadata or evaluators say what is right"
        return Check("suite", "note", found, do)
    return Check("suite", "ok", found)


def ask_checks(experiment: Experiment) -> Iterator[Check]:
    """One query to the first configuration, and what it showed. `experiment` is as for a run."""
    try:
        prepared = prepare(_of_one_query(experiment), Options(otlp="off", otlp_metrics="off"))
    except PunieTraceError as error:
        yield Check("agent", "bad", "cannot be used", str(error))
        return
    first = prepared.plan.configurations[0]
    yield Check("agent", "ok", f"{first.agent.shown or 'the built-in one'}, path {first.path}")
    with tempfile.TemporaryDirectory(prefix="punie-trace-doctor-") as folder:
        yield from _asked(_with_one_query(prepared), Path(folder) / "run")


def _of_one_query(experiment: Experiment) -> Experiment:
    """Without load, budget and gates, which are those of a run, and with shorter waits."""
    runs_already = experiment.server.get("kind") == "url"
    return experiment.model_copy(
        update={
            "quick": False,
            "rounds": 1,
            "warm_up": 0,
            "until": None,
            "repeat_contaminated": False,
            "load": LoadSettings(),
            "fleet": FleetSettings(),
            "gates": (),
            "agent": experiment.agent_settings.model_copy(update={"query_timeout_s": QUERY_S}),
            "ready_timeout_s": min(experiment.ready_timeout_s, READY_S) if runs_already else experiment.ready_timeout_s,
        }
    )


def _with_one_query(prepared: Prepared) -> Prepared:
    """The first configuration, and the first question that is to call a tool: it takes two generations and a call."""
    suite = prepared.questions.suite
    query = next((one for one in suite.queries if one.expected == "tool" or one.tools), suite.queries[0])
    questions = replace(prepared.questions, suite=replace(suite, queries=(query,)))
    first = prepared.plan.configurations[0]
    plan = replace(prepared.plan, configurations=(first,), batches=((first.group,),), gates=())
    return replace(prepared, plan=plan, questions=questions)


def _asked(prepared: Prepared, folder: Path) -> Iterator[Check]:
    measured = measure_prepared(prepared, Options(out=folder, otlp="off", otlp_metrics="off"))
    run = read_run(measured.folder)
    name = prepared.plan.configurations[0].name
    problem = _why_not(measured, run, name)
    if problem is not None:
        yield Check("server", "bad", "gave no answer", problem)
        return
    outcome = run.outcomes[0]
    figures = summarize(run).configurations[name]
    yield Check("server", "ok", f"{figures.model or 'a model'}, {figures.program or figures.kind}")
    if outcome.verdict in (Verdict.ERROR, Verdict.TIMEOUT):
        do = "the server answered a one-token request before, and not this one: its own log says why"
        yield Check("generation", "bad", one_line(outcome.error or "it failed", 2 * _LONGEST), do)
        return
    yield _generation(outcome, figures)
    yield _call(outcome, prepared.questions.suite.queries[0])
    yield from _seen(outcome, figures)


def _why_not(measured: Measured, run: RunRecord, name: str) -> str | None:
    if run.outcomes:
        return None
    if measured.status == "interrupted":
        return "it was interrupted"
    return run.header.failures.get(name) or (str(measured.error) if measured.error else "nothing was asked")


def _generation(outcome: Outcome, figures: ConfigurationFigures) -> Check:
    first = f", first output after {duration(outcome.ttft_ns / 1e6)}" if outcome.ttft_ns is not None else ""
    speed = f", {figures.output_tokens_per_s:.0f} tokens a second" if figures.output_tokens_per_s else ""
    many = _of(outcome.generations, "generation")
    return Check("generation", "ok", f"{many} in {duration(outcome.wall_ns / 1e6)}{first}{speed}")


def _call(outcome: Outcome, query: Query) -> Check:
    if outcome.tool_calls:
        call = outcome.tool_calls[0]
        written = one_line(", ".join(f"{key}={value!r}" for key, value in call.arguments.items()), _LONGEST)
        if call.refused is None:
            return Check("tool call", "ok", f"{call.name}({written})")
        why = one_line(call.refused, _LONGEST)
        return Check("tool call", "note", f"{call.name}({written}) was not run: {why}", _NO_CALL)
    if outcome.verdict is Verdict.UNPARSED_CALL:
        return Check("tool call", "note", "the model wrote a call that the server did not parse", _NO_CALL)
    if query.expected == "tool" or query.tools:
        return Check("tool call", "note", f"none; it answered {one_line(outcome.answer, _LONGEST)!r}", _NO_CALL)
    return Check("tool call", "note", "none: no question of the suite is known to want one")


def _seen(outcome: Outcome, figures: ConfigurationFigures) -> Iterator[Check]:
    """What the server tells of its work, and what stays 'not observable' in a report of it."""
    if outcome.input_tokens is None or outcome.output_tokens is None:
        yield Check("usage", "note", "not told: tokens and tokens a second are not observable")
    else:
        yield Check("usage", "ok", f"{outcome.input_tokens} tokens in, {outcome.output_tokens} out")
    if outcome.cached_tokens is None:
        yield Check("cached tokens", "note", "not told: what the prompt cache saves is not observable")
    else:
        yield Check("cached tokens", "ok", f"{outcome.cached_tokens} of those in")
    split = figures.generation_split_ms
    seen = [f"{phase.replace('_', ' ')} {duration(one.value)}" for phase, one in split.items() if one.value is not None]
    unseen = [phase.replace("_", " ") for phase, one in split.items() if one.value is None and one.of]
    source = f" (told by {' and '.join(figures.phases_told_by)})" if figures.phases_told_by else ""
    found = f"{', '.join(seen) or 'none'}{source}" + (f"; not observable: {', '.join(unseen)}" if unseen else "")
    yield Check("timings", "ok" if seen else "note", found)
    if figures.speculation is None:
        yield Check("acceptance", "note", "not told: of drafts, if it makes any, only the time is observable")
    else:
        drafted = figures.speculation
        yield Check("acceptance", "ok", f"{drafted.accepted} of {drafted.drafted} drafted tokens")


def _of(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"
