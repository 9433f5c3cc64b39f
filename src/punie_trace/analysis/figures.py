"""The figures of a run, as `summary.json` holds them and the reports print them: values, and no computation.

Times are in ms, memory in bytes. None is 'not observable' or 'too few to say', and a text beside it says why.
"""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from punie_trace.analysis.energy import EnergyFigures
from punie_trace.analysis.evaluations import EvaluationFigures
from punie_trace.analysis.figure_kinds import (
    AskedAgain,
    Bounded,
    ClientFigures,
    CodeFigures,
    Figures,
    Identity,
    LedgerFigures,
    Observed,
    Rounded,
    SlowestQuery,
    SpeculationFigures,
    TokenFigures,
    WallFigures,
    WorkDifference,
)
from punie_trace.analysis.statistics import SpeedVerdict
from punie_trace.analysis.turn_figures import TurnComparison, TurnFigures
from punie_trace.errors import ConfigurationError
from punie_trace.records import ToolMode
from punie_trace.runs.header import Machine, RunStatus

SUMMARY_SCHEMA_VERSION = 1


class CategoryFigures(Figures):
    """One category of the suite in one configuration."""

    queries: int
    correct: int
    wall_ms_median: Rounded | None
    output_tokens_per_query: Rounded | None


class Problem(Figures):
    """A query that was not right in every round, with how often what happened."""

    query: str
    category: str
    rounds: int
    verdicts: dict[str, int]
    error: str | None


class Goodput(Figures):
    """Queries that met every objective and are correct, of all that were sent; None with the reason where unseen."""

    value: Rounded | None
    good: int
    of: int
    objectives: dict[str, float] = Field(default_factory=dict)
    not_observable: str | None = None


class ConfigurationFigures(Figures):
    """All figures of one configuration."""

    path: str | None
    kind: str | None
    server: str | None
    model: str | None
    draft_model: str | None
    num_draft_tokens: int | None
    queries: int
    correct: int
    accuracy: Bounded | None
    outcomes: int
    verdicts: dict[str, int]
    wall_ms: WallFigures | None
    ledger_ms: LedgerFigures | None
    ledger_share: LedgerFigures | None
    ledger_queries: int
    generation_split_ms: dict[str, Observed]
    tokens: TokenFigures
    output_tokens_per_s: Rounded | None
    effective_output_tokens_per_s: Rounded | None
    ttft_ms: Observed
    """Median, of queries whose first turn answers: only turns of one kind can be compared between servers."""
    tpot_ms: Observed
    generations_per_query: Rounded | None
    tool_calls_per_query: Rounded | None
    memory_peak_bytes: int | None
    memory_kind: str | None
    memory_shared_with: tuple[str, ...]
    client: ClientFigures | None = None
    failure: str | None
    answers_identical_to_baseline: Identity | None
    by_category: dict[str, CategoryFigures]
    time_per_correct_ms: Rounded | None = None
    """All time that was spent, errors included, for each correct answer."""
    goodput: Goodput | None = None
    finish_reasons: dict[str, int] = Field(default_factory=dict)
    """Why generations ended, and how many did so."""
    ttft_call_ms: Observed | None = None
    """As `ttft_ms`, of queries whose first turn calls a tool: some servers hold a call back until it is whole."""
    phases_told_by: dict[str, int] = Field(default_factory=dict)
    """Whose word the phases of generations are (the stream's, the server's spans', its answers'), and of how many."""
    ttft_cold_ms: Observed | None = None
    """Of generations of whose input less than half came from the server's prompt cache."""
    ttft_warm_ms: Observed | None = None
    batched: bool | None = None
    """Whether the server takes several requests into one batch; None where that is not known."""
    problems: tuple[Problem, ...]
    not_judged: tuple[str, ...] = ()
    """Queries outside accuracy, wholly or in some rounds: nothing says what is right, or an evaluator failed."""
    evaluations: dict[str, EvaluationFigures] = Field(default_factory=dict)
    """What evaluators found, by the names that they give it."""
    speculation: SpeculationFigures | None = None
    first_asks_ms: Bounded | None = None
    """Median over queries of the answered asks that tell of speed, in ms: asked first, or of a server that forgets."""
    asked_again: AskedAgain | None = None
    """None where the server forgets, or nothing was asked both ways."""
    program: str | None = None
    """What served it, with its version where that is known: 'mlx_lm 0.32.2'; a command by its argv."""
    fingerprint: str | None = None
    tools_unseen: bool = False
    """Whether tools made no spans: `tool` and `framework` are then one line, what passes between generations."""
    left_processes: dict[str, int] = Field(default_factory=dict)
    """Processes that its program left running when it had ended, by name; they were ended after that."""
    requests_elsewhere: dict[str, int] = Field(default_factory=dict)
    """Requests for tokens to other servers than the one that is measured, by host: in no figure of generations."""
    uncounted_generations: int = 0
    """Generations that came to their end, and of which the server told no token counts."""
    tools: ToolMode = "calls"
    """How its model uses tools."""
    code: CodeFigures | None = None
    """None where no code ran."""
    turns: tuple[TurnFigures, ...] = ()
    """Of sessions, the figures of each turn."""
    energy: EnergyFigures | None = None
    """Of the whole machine while its queries ran; None where it is not observable (see `RunFacts.energy`)."""


class SpeedFigures(Figures):
    """How many times as fast as the baseline; see `statistics.paired_ratio`."""

    estimate: Rounded
    low: Rounded | None
    high: Rounded | None
    p_value: Rounded | None
    verdict: SpeedVerdict
    pairs: int
    queries: int
    more_rounds: int | None
    note: str
    more_queries: int | None = None
    """About how many more questions would tell, where more rounds would not."""


class AccuracyDifference(Figures):
    """Right answers against the baseline's over the queries that both were asked; p-value of the exact sign test."""

    value: Rounded
    gained: tuple[str, ...]
    lost: tuple[str, ...]
    p_value: Rounded


class GenerationFactors(Figures):
    """Generation time relative to the baseline's, as the product of what it is made of (below 1: less)."""

    generations: Rounded
    tokens_per_generation: Rounded
    time_per_token: Rounded
    generation_time: Rounded


class Comparison(Figures):
    """One configuration against the baseline, in first asks (or all, of servers that forget).

    `speed` is None where no query was so answered in both.
    """

    baseline: str
    other: str
    speed: SpeedFigures | None
    speed_again: Bounded | None = None
    """How many times as fast where both had been asked the question before: speed and memory together."""
    speed_by_category: dict[str, Bounded]
    accuracy: AccuracyDifference | None
    generation_factors: GenerationFactors | None
    difference: WorkDifference | None = None
    """In time and work; None where no pair tells of it."""
    by_turn: tuple[TurnComparison, ...] = ()
    """Of sessions, each turn against the baseline's; headlines stay those of whole queries."""

    @property
    def speedup(self) -> SpeedFigures:
        """`speed`; raises `ConfigurationError` where no query was answered in both, so that there is none."""
        if self.speed is None:
            raise ConfigurationError(f"no query was answered both in {self.other!r} and in {self.baseline!r}")
        return self.speed


class Constants(Figures):
    """What the two constant answers would score: 'always a tool' and 'never a tool', over the queries that expect one
    of the two.
    """

    always_tool: int
    never_tool: int
    queries: int


class Advice(Figures):
    """What would help, and by how much at most: `bound` is a factor on speed, None where the advice has none."""

    about: str
    text: str
    bound: Rounded | None


class RunFacts(Figures):
    """What the header of the run says, as far as a report shows it."""

    id: str
    started: datetime
    status: RunStatus
    suite: str
    suite_digest: str
    queries: int
    rounds: int
    concurrency: int
    load: str | None = None
    """The load in a few words, where it is not rounds in a closed loop."""
    seed: int
    machine: Machine
    versions: dict[str, str]
    models: tuple[str, ...]
    draft_models: tuple[str, ...]
    blas: tuple[str, ...]
    paths: tuple[str, ...]
    argv: tuple[str, ...]
    order: str = ""
    """In what order the configurations were asked."""
    stopping: str = ""
    """By what rule the run stopped and why; '' where the number of rounds was fixed."""
    thermal: str = ""
    """What the system told of heat while the run went on; '' where it told nothing."""
    energy: str = ""
    """Why no energy is shown; '' where it is."""
    asked_once: int = 0
    """How many of `queries` are asked in one round only."""

    @property
    def asked(self) -> str:
        """What was asked how, in a few words."""
        how = self.load or f"{self.rounds} round{'s' * (self.rounds > 1)}, concurrency {self.concurrency}"
        once = f" ({self.asked_once} of them in one round only)" if self.asked_once and self.rounds > 1 else ""
        return f"{self.queries} queries{once}{',' if self.load else ' x'} {how}"


class Summary(Figures):
    """All figures of a run. `configurations` is in the order to show them."""

    schema_version: int = SUMMARY_SCHEMA_VERSION
    run: RunFacts
    baseline: str | None
    configurations: dict[str, ConfigurationFigures]
    comparisons: tuple[Comparison, ...]
    constants: Constants
    findings: tuple[str, ...]
    ledger_errors: tuple[str, ...]
    """Queries whose ledger does not close: left out of the ledger figures, and a defect."""
    advice: tuple[Advice, ...]
    disturbed_rounds: dict[int, tuple[str, ...]] = Field(default_factory=dict)
    """Rounds that something else disturbed, and by what."""
    slowest: SlowestQuery | None = None
    notes: tuple[str, ...]
    definitions: dict[str, str]
