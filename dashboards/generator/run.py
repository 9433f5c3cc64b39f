"""'One run': what happened as it went on, with a dot for each query that opens its trace in Jaeger."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from dashboards.generator.panels import (
    HALF,
    THIRD,
    gauges,
    label_variable,
    new_dashboard,
    over_time,
    run_variable,
)
from dashboards.generator.queries import (
    CONFIGURATION,
    ERROR,
    FAILED,
    LINE,
    LINES,
    OUTPUT,
    TOKEN_TYPE,
    TOOL,
    VERDICT,
    WALL,
    by_arm,
    equals,
    last,
    matching,
    so_far,
)
from punie_trace.spans import names

UID = "punie-run"
_QUERY = names.METRIC_QUERY_DURATION
_BY = (CONFIGURATION,)
_LEGEND = f"{{{{{CONFIGURATION}}}}}"
_DOTS = "Each dot is one of them: hover over it and open its trace in Jaeger."
_SO_FAR = "Line: the median of all that ended up to then. " + _DOTS

_NO_AGENT = "No query went through the agent (path 'http' or 'inprocess')."


def run_dashboard() -> dashboard.Dashboard:
    """The dashboard, ready to be built."""
    board = new_dashboard(
        "punie-trace: one run",
        UID,
        "One run as it goes on. Values are cumulative from the run's start, so that the end of each line is the whole "
        "run.",
    ).refresh("5s")
    for variable in (run_variable(several=False), label_variable("configuration", CONFIGURATION)):
        board = board.with_variable(variable)
    for panel in (*_queries(), *_parts(), *_sums()):
        board = board.with_panel(panel)
    return board


def _queries() -> list[Builder[Panel]]:
    verdicts = f"sum by ({VERDICT}) ({matching(names.METRIC_QUERY_OUTCOMES)})"
    lines = f'{LINE}=~"{"|".join(LINES)}"'
    ledger = f"sum by ({LINE}) ({matching(_QUERY, 'sum', lines)})"
    return [
        over_time(
            "How long do queries take, and which are the slow ones?",
            _SO_FAR,
            "s",
            so_far(0.5, _QUERY, WALL, labels=_BY),
            _LEGEND,
            exemplars=True,
            width=HALF * 2,
        ),
        over_time(
            "How far is the run, and what became of its queries?",
            "Queries that ended, by verdict.",
            "none",
            verdicts,
            f"{{{{{VERDICT}}}}}",
            stacked=True,
        ),
        over_time(
            "Where did the seconds go?",
            "Seconds of all queries in each line of the ledger, added up.",
            "s",
            ledger,
            f"{{{{{LINE}}}}}",
            stacked=True,
        ),
    ]


def _parts() -> list[Builder[Panel]]:
    operation, first = names.METRIC_OPERATION_DURATION, names.METRIC_TIME_TO_FIRST_CHUNK
    return [
        over_time(
            "How long does one generation take?",
            _SO_FAR,
            "s",
            so_far(0.5, operation, labels=_BY),
            _LEGEND,
            exemplars=True,
        ),
        over_time(
            "How soon does an answer begin?",
            "First chunk minus request sent, of generations that write text. " + _SO_FAR,
            "s",
            so_far(0.5, first, equals(OUTPUT, "text"), labels=_BY),
            _LEGEND,
            exemplars=True,
        ),
        over_time(
            "How long do the tools take?",
            _SO_FAR,
            "s",
            so_far(0.5, names.METRIC_TOOL_DURATION, labels=(TOOL,)),
            f"{{{{{TOOL}}}}}",
            exemplars=True,
            empty="No tool has run.",
        ),
        over_time(
            "How long does the agent take?",
            "The whole of one agent run, without our own work around it. " + _SO_FAR,
            "s",
            so_far(0.5, names.METRIC_AGENT_DURATION, labels=_BY),
            _LEGEND,
            exemplars=True,
            empty=_NO_AGENT,
        ),
        over_time(
            "How far apart do the chunks of an answer come?",
            "The mean time between two chunks of one generation; a tool call may come in a single one. " + _SO_FAR,
            "s",
            so_far(0.5, names.METRIC_TIME_PER_OUTPUT_CHUNK, labels=_BY),
            _LEGEND,
            exemplars=True,
            width=THIRD,
        ),
        over_time(
            "How many generations does the agent need?",
            "In one agent run. " + _SO_FAR,
            "none",
            so_far(0.5, names.METRIC_AGENT_INFERENCE_CALLS, labels=_BY),
            _LEGEND,
            width=THIRD,
            empty=_NO_AGENT,
        ),
        over_time(
            "How many tools does the agent call?",
            "In one agent run. " + _SO_FAR,
            "none",
            so_far(0.5, names.METRIC_AGENT_TOOL_CALLS, labels=_BY),
            _LEGEND,
            width=THIRD,
            empty=_NO_AGENT,
        ),
    ]


def _sums() -> list[Builder[Panel]]:
    tokens = f"sum by ({CONFIGURATION}, {TOKEN_TYPE}) ({matching(names.METRIC_TOKEN_USAGE, 'sum')})"
    errors = f"sum by ({ERROR}) ({matching(names.METRIC_OPERATION_DURATION, 'count', FAILED)})"
    return [
        over_time(
            "How many tokens went in and out?",
            "Added up over the run.",
            "none",
            tokens,
            f"{_LEGEND} {{{{{TOKEN_TYPE}}}}}",
            width=THIRD,
        ),
        over_time(
            "Which generations failed?",
            "Added up over the run, by kind of error.",
            "none",
            errors,
            f"{{{{{ERROR}}}}}",
            width=THIRD,
            empty="No generation failed (or no data: see the panels above).",
        ),
        gauges(
            "How much memory did the servers need?",
            "The largest reading in each server's own process; known when the run is over.",
            "bytes",
            by_arm(last(names.METRIC_MEMORY_PEAK), how="max"),
        ),
    ]
