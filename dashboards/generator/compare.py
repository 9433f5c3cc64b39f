"""'Compare configurations': one run or two, every configuration beside the others."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from dashboards.generator.panels import (
    FULL,
    THIRD,
    bars,
    gauges,
    label_variable,
    new_dashboard,
    rows,
    run_variable,
)
from dashboards.generator.queries import (
    ANSWERED,
    ARM,
    ASK,
    CATEGORY,
    CONFIGURATION,
    ERROR,
    FAILED,
    LINE,
    LINES,
    OUTPUT,
    TOKEN_TYPE,
    TURN,
    VERDICT,
    WALL,
    by_arm,
    columns,
    equals,
    last,
    mean,
    quantile,
)
from punie_trace.spans import names

UID = "punie-compare"
_QUERY = names.METRIC_QUERY_DURATION
_OUTCOMES = names.METRIC_QUERY_OUTCOMES
_CHOSEN = f'{CATEGORY}=~"$category"'
_VERDICTS = ("correct", "wrong-answer", "wrong-tool", "bad-arguments", "unparsed-call", "error", "timeout")
_NO_ENERGY = (
    "Nothing told this machine's energy: install the extra 'energy' (NVIDIA, Apple), or let Linux' powercap be read. "
    "Where queries of several configurations overlap, the machine's counters cannot be told apart."
)
_NO_SPECULATION = "No server of this run tells what it drafted: stock mlx_lm does not, kind 'punie' does."


def compare_dashboard() -> dashboard.Dashboard:
    """The dashboard, ready to be built."""
    board = new_dashboard(
        "punie-trace: compare configurations",
        UID,
        "Where an agent's seconds go under each configuration of one run, or of two. Exact paired differences with "
        "intervals are in the run's report: 'punie-trace report RUN'.",
    ).refresh("10s")
    for variable in (
        run_variable(several=True),
        label_variable("configuration", CONFIGURATION),
        label_variable("category", CATEGORY),
    ):
        board = board.with_variable(variable)
    for panel in (*_speed(), *_memory_and_turns(), *_right(), *_work(), *_energy(), *_speculation(), _failures()):
        board = board.with_panel(panel)
    return board


def _speed() -> list[Builder[Panel]]:
    answered = (WALL, ANSWERED, _CHOSEN)
    wall = columns(
        p10=quantile(0.1, _QUERY, *answered),
        median=quantile(0.5, _QUERY, *answered),
        mean=mean(_QUERY, *answered),
        p90=quantile(0.9, _QUERY, *answered),
        p95=quantile(0.95, _QUERY, *answered),
    )
    chosen = (ANSWERED, _CHOSEN)
    lines = f'{LINE}=~"{"|".join(LINES)}"'
    ledger = (
        f"{by_arm(last(_QUERY, 'sum', lines, *chosen), LINE)} / on ({ARM}) group_left () "
        f"{by_arm(last(_QUERY, 'count', WALL, *chosen))}"
    )
    text = equals(OUTPUT, "text")
    first = columns(
        median=quantile(0.5, names.METRIC_TIME_TO_FIRST_CHUNK, text),
        p95=quantile(0.95, names.METRIC_TIME_TO_FIRST_CHUNK, text),
    )
    return [
        bars(
            "How long does a query take, and how much does that vary?",
            "From due to done, of queries that ended with an answer, right or wrong. Quantiles are read from buckets a "
            "factor of 1.19 apart; the mean is exact.",
            "s",
            wall,
            ("p10", "median", "mean", "p90", "p95"),
        ),
        bars(
            "Where do the seconds of a query go?",
            "Mean time in each line of the ledger; the lines add up to the mean query. client_queue: due, not yet "
            "sent. generation: a request to the model is open. tool: one runs and no request is open. framework: the "
            "rest.",
            "s",
            ledger,
            LINES,
            column=LINE,
            stacked=True,
        ),
        bars(
            "How soon does an answer begin?",
            "First chunk with output minus request sent, of generations that write text. Turns that call a tool are "
            "left out: mlx_lm holds a call back until it is whole.",
            "s",
            first,
            ("median", "p95"),
            width=THIRD,
        ),
        bars(
            "Is it faster in every category?",
            "Median time of a query by category of the suite: an average over all can hide a gain here and a loss "
            "there.",
            "s",
            quantile(0.5, _QUERY, *answered, labels=(CATEGORY,)),
            column=CATEGORY,
            width=THIRD * 2,
        ),
    ]


def _memory_and_turns() -> list[Builder[Panel]]:
    answered = (WALL, ANSWERED, _CHOSEN)
    return [
        bars(
            "What was asked for the first time, and what again?",
            "Median time of queries whose question the server had not been asked before, and of those that it had. "
            "The difference is what it remembers, and no speed: verdicts are of first asks.",
            "s",
            quantile(0.5, _QUERY, *answered, labels=(ASK,)),
            ("first", "again"),
            column=ASK,
        ),
        bars(
            "How long does each turn of a session take?",
            "Median time from due to done of the first, second, third turn; the context grows from turn to turn.",
            "s",
            quantile(0.5, names.METRIC_TURN_DURATION, ANSWERED, labels=(TURN,)),
            column=TURN,
            empty="This run asked no sessions.",
        ),
    ]


def _energy() -> list[Builder[Panel]]:
    whole = "Of the whole machine while its queries ran, what else ran on it included; known when the run is over."
    return [
        gauges(
            "How much energy does a right answer take?",
            whole,
            "joule",
            by_arm(last(names.METRIC_ENERGY_PER_RIGHT), how="max"),
            empty=_NO_ENERGY,
        ),
        gauges(
            "How much energy do 1,000 output tokens take?",
            whole,
            "joule",
            by_arm(last(names.METRIC_ENERGY_PER_TOKENS), how="max"),
            empty=_NO_ENERGY,
        ),
        gauges(
            "How busy is the GPU?",
            "Mean use while its queries ran. What is far below 90 % is waiting for something else.",
            "percentunit",
            by_arm(last(names.METRIC_GPU_UTILIZATION), how="max"),
            most=1,
            empty="Nothing told a GPU's use: NVIDIA's library does (extra 'energy'), a Mac's does not.",
        ),
    ]


def _right() -> list[Builder[Panel]]:
    correct = last(_OUTCOMES, None, equals(VERDICT, "correct"), _CHOSEN)
    every = last(_OUTCOMES, None, _CHOSEN)
    shares = f"{by_arm(every, VERDICT)} / on ({ARM}) group_left () {by_arm(every)}"
    # Where none is right there is no such series, and 0 must not look like 'unknown'.
    accuracy = f"({by_arm(correct)} or 0 * {by_arm(every)}) / {by_arm(every)}"
    return [
        gauges(
            "How many answers are right?",
            "Correct answers / all queries sent, errors and timeouts included. Repeats count one by one here; the "
            "report counts queries, with intervals.",
            "percentunit",
            accuracy,
            most=1,
        ),
        bars(
            "What becomes of the queries?",
            "Share of each verdict.",
            "percentunit",
            shares,
            _VERDICTS,
            column=VERDICT,
            stacked=True,
            width=THIRD * 2,
        ),
    ]


def _work() -> list[Builder[Panel]]:
    usage = names.METRIC_TOKEN_USAGE
    given = by_arm(last(usage, "sum", equals(TOKEN_TYPE, "input")))
    output = by_arm(last(usage, "sum", equals(TOKEN_TYPE, "output")))
    generating = by_arm(last(_QUERY, "sum", equals(LINE, "generation")))
    queries = by_arm(last(_OUTCOMES))
    speed = columns(
        while_generating=f"{output} / {generating}",
        over_the_whole_query=f"{output} / {by_arm(last(_QUERY, 'sum', WALL))}",
    )
    tokens = columns(
        input=f"{given} / {queries}",
        of_it_cached=f"{by_arm(last(names.METRIC_CACHED_TOKENS))} / {queries}",
        output=f"{output} / {queries}",
    )
    return [
        bars(
            "How many tokens a second?",
            "Output tokens by the time that a generation was open, and by all the time of the queries. Needs a server "
            "that reports usage.",
            "none",
            speed,
            ("while generating", "over the whole query"),
            width=THIRD,
        ),
        bars(
            "How many tokens does a query take?",
            "Mean over all queries. A configuration that writes less is faster for another reason than speed.",
            "none",
            tokens,
            ("input", "of it cached", "output"),
            width=THIRD,
        ),
        gauges(
            "How much memory does the server need?",
            "The largest reading in the server's own process; known when its run is over.",
            "bytes",
            by_arm(last(names.METRIC_MEMORY_PEAK), how="max"),
        ),
    ]


def _speculation() -> list[Builder[Panel]]:
    accepted, drafted = by_arm(last(names.METRIC_ACCEPTED)), by_arm(last(names.METRIC_DRAFTED))
    rounds = by_arm(last(names.METRIC_ROUNDS))
    lengths = columns(
        K_asked_for=by_arm(last(names.METRIC_DRAFT_TOKENS), how="max"),
        drafted_a_round=f"{drafted} / {rounds}",
        written_a_round=f"1 + {accepted} / {rounds}",
    )
    return [
        gauges(
            "How much of what is drafted is accepted?",
            "Accepted tokens / drafted tokens.",
            "percentunit",
            f"{accepted} / {drafted}",
            most=1,
            empty=_NO_SPECULATION,
        ),
        bars(
            "How long are the drafts, and how much does a round yield?",
            "K as it was asked for; tokens drafted a round; tokens written a round: the accepted ones and one of the "
            "model's own.",
            "none",
            lengths,
            ("K asked for", "drafted a round", "written a round"),
            width=THIRD * 2,
            empty="No configuration of this run has a draft model.",
        ),
    ]


def _failures() -> Builder[Panel]:
    sources = {
        "generation": last(names.METRIC_OPERATION_DURATION, "count", FAILED),
        "tool": last(names.METRIC_TOOL_DURATION, "count", FAILED),
        "query": last(_QUERY, "count", FAILED, WALL),
    }
    counted = {where: by_arm(expression, ERROR) for where, expression in sources.items()}
    return rows(
        "What went wrong?",
        "Generations and tools that failed, and queries that ended without an answer.",
        columns(**counted),
        {ARM: "configuration · run", "stat": "where", ERROR: "error", "Value": "how often"},
        width=FULL,
        empty="No errors (or no data: see the panels above).",
    )
