"""The options of `punie-trace run`: the type of each, and what its help says.

An option that is not given is None, and the TOML file and then `Experiment` choose; what they then take stands in
brackets in the help. Values are checked there too, but for what typer does itself. Those that only a load expert sets
are hidden from the help; docs/load.md has them, each with its TOML key. Nothing heavy is imported here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[Path | None, typer.Option(help="A TOML file with any of these settings and more.")]
Suite = Annotated[
    str | None, typer.Option(help="A shipped suite, fresh:60, or a file of pydantic-evals. [discrimination]")
]
Workspace = Annotated[Path | None, typer.Option(help="The code base that the tools read. [the shipped one]")]
Evaluators = Annotated[
    list[str] | None,
    typer.Option(
        help="An evaluator of your own that the suite names: module:Class or file.py:Class; may be repeated.",
        hidden=True,
    ),
]
Model = Annotated[str | None, typer.Option(help="An MLX model: a folder or a hub name. [the shipped one]")]
DraftModel = Annotated[str | None, typer.Option(help="A draft model; adds speculative-3 (by --only also -2 and -5).")]
ServerMemory = Annotated[
    str | None,
    typer.Option(
        help="What our server keeps of earlier queries: request, conversation or server. With server the default run "
        "asks its known questions twice, and says what that brings. [conversation]"
    ),
]
Url = Annotated[
    str | None,
    typer.Option(
        help="Measure a server that already runs, e.g. http://127.0.0.1:8080/v1 (--served-model, --api-key-env)."
    ),
]
ServedModel = Annotated[
    str | None, typer.Option(help="With --url: which of the models that it serves to ask.", hidden=True)
]
ApiKeyEnv = Annotated[
    str | None, typer.Option(help="With --url: the name of the variable that holds the key.", hidden=True)
]
Agent = Annotated[
    str | None, typer.Option(help="Your own agent, or what makes one: package.module:name or path/file.py:name.")
]
Only = Annotated[list[str] | None, typer.Option(help="Only this configuration; may be given more than once.")]
Quick = Annotated[
    bool | None,
    typer.Option("--quick", help="A first look: two configurations, 5 questions, 1 round; says what it cannot tell."),
]
Rounds = Annotated[
    int | None, typer.Option(min=1, help="Every query once in every configuration, so often. [3; 1 in the default run]")
]
Until = Annotated[
    str | None,
    typer.Option(help="decided: rounds until each comparison is decided (at most 5 % of runs err), or the budget."),
]
MaxRounds = Annotated[int | None, typer.Option(min=1, help="With --until: the budget of rounds. [30]", hidden=True)]
MaxMinutes = Annotated[float | None, typer.Option(help="With --until: a budget of minutes as well.", hidden=True)]
RepeatContaminated = Annotated[
    bool | None,
    typer.Option(
        "--repeat-contaminated", help="Ask a round again that other load, swapping or heat disturbed.", hidden=True
    ),
]
Concurrency = Annotated[int | None, typer.Option(min=1, help="Queries in flight at once. [1]")]
Rate = Annotated[
    str | None,
    typer.Option(
        metavar="R",
        help="Queries a second, sent when they are due even if the server falls behind (open loop), each "
        "configuration alone; latency counts from due. 1..8 ramps, 1,2,4 steps. [a closed loop]",
        hidden=True,
    ),
]
Arrivals = Annotated[
    str | None,
    typer.Option(
        help="How they come at a rate: poisson (independent users), constant (even), gamma (see --burstiness), "
        "ramp, steps, or replay. [poisson]",
        hidden=True,
    ),
]
Burstiness = Annotated[
    float | None,
    typer.Option(
        help="Shape of the gaps of gamma arrivals: 1 is Poisson, 0.25 comes in bursts, 4 is more even.", hidden=True
    ),
]
Replay = Annotated[
    Path | None,
    typer.Option(help="Repeat recorded arrivals: a run's folder, or a file with seconds, one a line.", hidden=True),
]
ThinkTime = Annotated[
    float | None,
    typer.Option(help="In a closed loop: seconds from an answer to that worker's next query. [0]", hidden=True),
]
Duration = Annotated[
    float | None,
    typer.Option(help="Send for so many seconds (each configuration, where there is a rate or a sweep).", hidden=True),
]
Queries = Annotated[int | None, typer.Option(min=1, help="Send at most so many queries, as --duration.", hidden=True)]
Sweep = Annotated[
    str | None,
    typer.Option(
        metavar="WHAT=LIST",
        help="One load after another, each a row of the report: concurrency=1,2,4 or rate=0.5,1,2.",
        hidden=True,
    ),
]
MaxInFlight = Annotated[
    int | None,
    typer.Option(
        min=1, help="The most that a rate may have in flight; others wait in the client queue. [512]", hidden=True
    ),
]
MaxErrorRatio = Annotated[
    float | None, typer.Option(help="End early where more than this share fails (of 20 or more). [never]", hidden=True)
]
CoolDown = Annotated[
    float | None,
    typer.Option(
        help="Seconds that queries in flight may take once the duration is over. [their timeout]", hidden=True
    ),
]
StopWhenSaturated = Annotated[
    bool | None,
    typer.Option(
        "--stop-when-saturated/--keep-on",
        help="At a steady rate, end where latency keeps growing: the server cannot hold it. [stop]",
        hidden=True,
    ),
]
Generators = Annotated[
    int | None,
    typer.Option(min=1, help="Ask from so many processes at once, each with its share of the load. [1]", hidden=True),
]
Ray = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Ask from the nodes of a Ray cluster, a generator on each: host:port, or auto (punie-trace[ray]).",
        hidden=True,
    ),
]
RequestPath = Annotated[
    str | None, typer.Option(help="agent, http or inprocess: what asks. [agent; imported with --agent]")
]
Seed = Annotated[int | None, typer.Option(min=0, help="Fixes the order of queries. [0]", hidden=True)]
Timeout = Annotated[
    float | None, typer.Option(help="The longest that one query may take, in seconds. [300]", hidden=True)
]
ReadyTimeout = Annotated[
    float | None, typer.Option(help="The longest that a server may take to get ready. [600]", hidden=True)
]
Together = Annotated[
    bool | None,
    typer.Option(
        "--together/--one-by-one",
        help="Keep all servers up at once, so that all configurations interleave. [where memory allows]",
        hidden=True,
    ),
]
Out = Annotated[Path | None, typer.Option(help="The run's folder; must not hold anything. [runs/<id>]")]
OtlpTraces = Annotated[str, typer.Option(help="Also send spans to a collector: auto (if one answers), off, or a URL.")]
OtlpMetrics = Annotated[
    str,
    typer.Option(
        help="Where metrics go: auto (with the spans, else Prometheus if it answers), off, or a URL.", hidden=True
    ),
]
Plain = Annotated[bool, typer.Option("--plain", help="Plain lines instead of the live display.")]
Full = Annotated[bool, typer.Option("--full", help="Print everything at the end, not only what fits on a screen.")]
