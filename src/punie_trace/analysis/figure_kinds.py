"""The kinds of figures that others are made of: an estimate with its interval, a value that is not always seen, wall
times, a ledger, tokens, speculation, the client's own part, the first place where answers differ.

They are values, and nothing is computed here but the rounding that makes platforms agree. Times are in ms.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field

# Six decimals keep a nanosecond of a time in ms, and drop the digits in which platforms differ.
Rounded = Annotated[float, AfterValidator(lambda value: round(value, 6))]


class Figures(BaseModel):
    """A frozen group of figures."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Bounded(Figures):
    """An estimate with its interval, which reaches `confidence`; no bounds where there are too few values."""

    value: Rounded
    low: Rounded | None
    high: Rounded | None
    confidence: Rounded
    n: int


class Observed(Figures):
    """A value seen in `n` of `of` cases; None with the reason where it was seen in none."""

    value: Rounded | None
    n: int
    of: int
    not_observable: str | None = None


class WallFigures(Figures):
    """Wall time from due to done, in ms, of the answered queries."""

    median: Rounded
    """Median over queries of each query's median over rounds; so are its bounds."""
    low: Rounded | None
    high: Rounded | None
    confidence: Rounded
    p95: Rounded
    """Nearest rank over all answered; so are its bounds, of the suite's queries, with what they reach."""
    mean: Rounded
    answered: int
    p95_low: Rounded | None = None
    p95_high: Rounded | None = None
    p95_confidence: Rounded | None = None


class LedgerFigures(Figures):
    """Means over queries in ms, which add up to `wall`; as shares they add up to 1. Beside them stand `tool_work`,
    `sandbox` (of `tool`, what code that the model wrote took by itself), and `hidden`: tools at work while a generation
    was open, which is generation's time.
    """

    wall: Rounded
    client_queue: Rounded
    generation: Rounded
    tool: Rounded
    framework: Rounded
    tool_work: Rounded
    sandbox: Rounded = 0.0
    hidden: Rounded = 0.0


class TokenFigures(Figures):
    """Totals over the answered queries, and means for each; None where the server reported none for some of them."""

    input: int | None
    output: int | None
    cached: int | None
    input_per_query: Rounded | None
    output_per_query: Rounded | None
    cached_per_query: Rounded | None


class AskedAgain(Figures):
    """What a configuration's server does with questions that it was asked before; times in ms, medians over queries.

    `gain` is how many times as fast a question is answered then, by query and paired; `p_value` is two-sided, for 'no
    difference', after Holm's correction over the configurations. Both are None where too few were asked both ways.
    """

    queries: int
    """Asked first, and again, with an answer both times."""
    first_ms: Rounded
    again_ms: Rounded
    gain: Bounded | None
    p_value: Rounded | None


class CodeFigures(Figures):
    """Code mode over the answered queries, of which `queries` of `of` ran code; rates are over all of them.

    `problems` counts the runs that were refused or stopped, by kind: code that does not parse, an unknown name, wrong
    types, over a limit, not allowed, an error that it raised.
    """

    queries: int
    of: int
    runs_per_query: Rounded
    calls_per_query: Rounded
    problems: dict[str, int]


class GenerationParts(Figures):
    """Of what a difference in generation time is made, in ms a query; the parts add up to it."""

    generations_ms: Rounded
    tokens_ms: Rounded
    token_time_ms: Rounded


class WorkDifference(Figures):
    """This one minus the baseline: means over queries of the differences in pairs, in ms and counts a query.

    `client_queue_ms`, `generation_ms`, `tools_ms`, `sandbox_ms` and `framework_ms` add up to `wall_ms`. Tokens are None
    where a server did not tell them.
    """

    queries: int
    pairs: int
    wall_ms: Rounded
    client_queue_ms: Rounded
    generation_ms: Rounded
    tools_ms: Rounded
    sandbox_ms: Rounded
    framework_ms: Rounded
    generations: Rounded
    input_tokens: Rounded | None
    output_tokens: Rounded | None
    generation_parts: GenerationParts | None


class FirstDivergence(Figures):
    """The first place where an answer and the baseline's differ. The texts are a model's: escape them."""

    query: str
    round: int
    where: str
    """'answer', or which tool call (its name and arguments)."""
    at: int
    """How many characters they have in common."""
    common: str
    """The end of what they have in common."""
    baseline: str
    other: str


class Identity(Figures):
    """How many queries have, in every shared round, the baseline's tool calls and answer to the letter."""

    identical: int
    of: int
    different: tuple[str, ...]
    divergences: tuple[FirstDivergence, ...] = Field((), validation_alias=AliasChoices("divergences", "partings"))
    """The first place for each of the first few that differ."""


class PathPart(Figures):
    """What a query waited for, in ms, and the most that could be saved if it took no time."""

    name: str
    segment: str
    on_path: Rounded
    saves: Rounded
    spans: int


class SlowestQuery(Figures):
    """The query that took longest, and its critical path; the parts add up to `wall`. Times in ms."""

    configuration: str
    query: str
    round: int
    wall: Rounded
    parts: tuple[PathPart, ...]


class ClientFigures(Figures):
    """What the client itself did while a configuration was measured (all that were measured with it included).

    `late` is sent minus due where nothing else held a query; `held` counts those that waited because as many as may be
    were in flight. Shares of CPU count one core as 1. `affected` names figures that may show the client and not the
    server, `bottleneck` says why; the rule stands in `analysis.client`.
    """

    lag_ms_median: Rounded
    lag_ms_p99: Rounded
    late_ms_median: Rounded
    late_ms_p99: Rounded
    cpu_share: Rounded
    loop_cpu_share: Rounded
    dropped: int
    held: int
    cut: int
    most_in_flight: int
    sent_per_s: Rounded
    ended: tuple[str, ...]
    bottleneck: str | None
    affected: tuple[str, ...]


class SpeculationFigures(Figures):
    """Speculative decoding over the generations whose server tells of it; rates are None where nothing was drafted.

    `acceptance` is accepted / drafted, `mean_length` 1 + accepted / rounds, `mean_k` drafted / rounds.
    """

    generations: int
    rounds: int
    drafted: int
    accepted: int
    acceptance: Rounded | None
    mean_length: Rounded | None
    mean_k: Rounded | None
    drafters: tuple[str, ...]
    fallbacks: dict[str, int]
    """Why generations drafted nothing, or no more, and how many did."""
    acceptance_interval: Bounded | None = None
    """By query; None where nothing was drafted, without bounds where too few queries drafted."""
    mean_length_interval: Bounded | None = None
