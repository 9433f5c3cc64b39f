"""The header of a run, `run.json`: what was asked for, of whom, on what machine, and how it ended.

These are values only: `writer` writes and `reader` reads them. Nothing here touches a disk or looks at a machine.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Literal, TypeAlias

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
)

from punie_trace.records import Path as AskPath
from punie_trace.records import Query, ServerKind, ToolMode

SCHEMA_VERSION = 1
"""Raised when a field changes its meaning; fields that are only added do not raise it."""

RunStatus: TypeAlias = Literal["running", "done", "ended-early", "interrupted"]


Moment: TypeAlias = Annotated[
    AwareDatetime, Field(ge=datetime(1970, 1, 1, tzinfo=UTC), lt=datetime(2262, 1, 1, tzinfo=UTC))
]
"""A time that nanoseconds since 1970 can say in 64 bits."""
Nanoseconds: TypeAlias = Annotated[int, Field(ge=0, lt=2**63)]


class Record(BaseModel):
    """A frozen value. Keys of a later version that are not known here are left aside."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Machine(Record):
    """Where the run happened; `chip`, `gpu_cores` and `power` where the system tells. Memory in bytes."""

    model_config = ConfigDict(frozen=True, extra="allow")

    os: str
    arch: str
    cpu: str
    cores: PositiveInt
    memory_bytes: PositiveInt | None = None
    chip: str | None = None
    gpu_cores: PositiveInt | None = None
    power: str | None = None


class Clock(Record):
    """Both clocks read at one moment, in ns: a time is `anchor_wall_ns + monotonic - anchor_monotonic_ns`."""

    anchor_wall_ns: Nanoseconds
    anchor_monotonic_ns: int


class SuiteRecord(Record):
    """The suite as it was asked, so that a run can be judged again without the suite's file."""

    name: str
    digest: str
    queries: tuple[Query, ...]


class ServerRecord(Record):
    """One server group: who answered, and what it took. None is 'not known'."""

    identity: dict[str, JsonValue] = {}
    """What was verified before the first query: model, fingerprint, digests, argv, as the server's kind has them."""
    blas: str | None = None
    """Which BLAS the server's process got ('OpenBLAS', 'reference', 'Accelerate')."""
    batched: bool | None = None
    """Whether it takes several requests into one batch."""
    memory_peak_bytes: NonNegativeInt | None = None
    """The largest reading in the server's own process."""
    memory_kind: str | None = None
    """What was read: 'peak resident set', 'physical footprint', ..."""
    log: str | None = None
    """Its log, relative to the run folder."""


class ConfigurationRecord(Record):
    """One way of serving, as it was really used. `server` is its server group's name, None in process."""

    path: AskPath
    server: str | None
    kind: ServerKind | None
    model: str | None = None
    draft_model: str | None = None
    num_draft_tokens: int | None = None
    temperature: float | None = None
    request_options: dict[str, JsonValue] = {}
    agent: str | None = None
    """Whose agent asked: an object's name or a program; None is the built-in one."""
    tools: ToolMode = "calls"
    max_tokens: int | None = None
    """The most tokens of one generation that were asked for."""
    tool_output_chars: int | None = None
    """The longest result that a built-in tool gave the model. None of runs by versions that did not note these two."""


class SpreadRecord(Record):
    """How a duration spread over `n` readings, in ns."""

    n: NonNegativeInt
    median_ns: NonNegativeInt
    p99_ns: NonNegativeInt
    max_ns: NonNegativeInt


class ClientRecord(Record):
    """What the client itself did in one stage of the run: the part of the times that no server is to blame for.

    A stage is one load on `configurations`: all of them in turn, or a single one. Shares of CPU count one core as 1.
    """

    configurations: tuple[str, ...]
    load: Literal["closed", "open"]
    seconds: NonNegativeFloat
    sent: NonNegativeInt
    dropped: NonNegativeInt = 0
    """Arrivals that were due and never sent: they waited too long, or the stage was over."""
    held: NonNegativeInt = 0
    """Queries sent late because as many as may be were in flight: the queue before a server that does not keep up."""
    cut: NonNegativeInt = 0
    """Queries cut off because they still ran when the time to cool down was over."""
    most_in_flight: NonNegativeInt = 0
    lag: SpreadRecord
    """How late the event loop ran what was due, read all through the stage."""
    late: SpreadRecord
    """Sent minus due, of the queries that nothing but the client held back."""
    cpu_share: NonNegativeFloat
    """CPU time of the client's whole process over wall time."""
    loop_cpu_share: NonNegativeFloat
    """CPU time of the thread that sends and receives, over wall time: near 1, it can do no more."""
    ended: str
    """Why the stage ended."""
    generator: str | None = None
    """Which part of the run it is about; None where one client did everything."""


class OffsetRecord(Record):
    """The clock of a part's host minus the run's: a line over the run's time, as `spans.clock_offset` has it.

    Right within `uncertainty_ns` from `first_ns` to `last_ns`; no `readings` at all: it is the same clock.
    """

    at_ns: int
    offset_ns: int
    drift: float
    uncertainty_ns: NonNegativeInt
    first_ns: int
    last_ns: int
    readings: NonNegativeInt


PartStatus: TypeAlias = Literal["running", "done", "ended-early", "interrupted", "lost"]


class PartRecord(Record):
    """What one generator of a run did: a folder below `parts/` in a run's own form, on its own host's clock."""

    name: str
    """'<host>-<number>', the name of its folder."""
    host: str
    generator: NonNegativeInt
    """Its number, from 0: which of the plan's queries are its own follows from it."""
    clock: Clock
    offset: OffsetRecord | None = None
    """None where the clocks could not be compared."""
    status: PartStatus = "running"
    problem: str | None = None
    """Why it was lost."""
    late_ns: NonNegativeInt | None = None
    """How much later than agreed it began at worst; None where it never did."""
    arrivals: NonNegativeInt | None = None
    """Queries that were its own, as far as their number was fixed; None where it was not."""
    sent: NonNegativeInt | None = None
    outcomes: NonNegativeInt | None = None
    """Queries that its part has outcomes of; None where parts were not merged yet."""
    dropped: NonNegativeInt = 0
    """Arrivals that it counted itself as due and never sent."""

    @property
    def unaccounted(self) -> int | None:
        """Queries of a lost generator without an outcome: never sent, or sent and not answered when it was lost."""
        if self.arrivals is None or self.outcomes is None or self.status not in ("lost", "running"):
            return None
        return max(self.arrivals - self.outcomes - self.dropped, 0)


class Look(Record):
    """One look at the verdicts while a run went on: after how much, in the order in which rounds are numbered."""

    last_round: PositiveInt
    """The number of the last round that it took in."""
    rounds: PositiveInt
    """How many rounds counted by then, those that were left out not among them."""
    spent: float
    """The share of the budget (of rounds or of minutes, whichever is further) that was gone, 0 to 1."""


class QuickRecord(Record):
    """What a quick look left out."""

    of: NonNegativeInt
    """How many questions its suite has."""
    left_out: tuple[str, ...] = ()
    """Configurations that would have been measured otherwise."""


class StoppingRecord(Record):
    """A run that goes on until it knows: the plan, each look as it was made, and why it stopped."""

    until: Literal["decided"] = "decided"
    alpha: float
    """Chance of any wrong verdict, all looks and comparisons taken together."""
    least_rounds: PositiveInt
    most_rounds: PositiveInt
    most_minutes: float | None = None
    looks: tuple[Look, ...] = ()
    reason: str | None = None
    """None as long as it goes on, or where it was ended from outside."""


class RunHeader(Record):
    """All of a run that is not an outcome or a span. The order of `configurations` is the order they are shown in."""

    schema_version: int = SCHEMA_VERSION
    id: str
    started: Moment
    argv: tuple[str, ...] = ()
    configuration: dict[str, JsonValue] = {}
    """The resolved configuration, secrets left out by whoever makes it."""
    suite: SuiteRecord
    versions: dict[str, str] = {}
    machine: Machine
    seed: int
    rounds: PositiveInt
    concurrency: PositiveInt = 1
    clock: Clock
    baseline: str | None = None
    """What the others are compared with; None: 'baseline' if there is one, else the first configuration."""
    servers: dict[str, ServerRecord] = {}
    configurations: dict[str, ConfigurationRecord] = {}
    load: str | None = None
    """The load in a few words; None: the rounds, in a closed loop of `concurrency`."""
    planned: NonNegativeInt | None = None
    """Queries planned for each configuration where that is not all of the suite in every round; 0 is 'no number'."""
    client: tuple[ClientRecord, ...] = ()
    """The client's own part in each stage that has ended, in the order of their ends."""
    failures: dict[str, str] = {}
    """Configurations that could not be measured or not to the end: what to tell the user, by configuration."""
    status: RunStatus = "running"
    ended: Moment | None = None
    order: Literal["interleaved", "one-by-one"] | None = None
    """Whether configurations took turns within each round, or were measured one server after another."""
    stopping: StoppingRecord | None = None
    """None where the number of rounds was fixed beforehand."""
    quick: QuickRecord | None = None
    """None where it was no quick look."""
    parts: tuple[PartRecord, ...] = ()
    """What each of several generators did; none where one client did everything."""
    merged: bool = False
    """Whether the parts are in the run's own files."""
    left_out_rounds: tuple[int, ...] = ()
    """Rounds that something else disturbed and that were asked again: their outcomes are kept and count in nothing."""
    notes: tuple[str, ...] = ()
    """Facts about how this run was made that a reader should know."""
    findings: tuple[str, ...] = ()
    """What was noticed while measuring and bears on the result; the summary adds what the figures show."""

    @property
    def baseline_name(self) -> str | None:
        """The configuration that the others are compared with; None where there is no configuration at all."""
        if self.baseline is not None:
            return self.baseline
        return "baseline" if "baseline" in self.configurations else next(iter(self.names), None)

    @property
    def names(self) -> tuple[str, ...]:
        """All configurations in the order to show them; those that failed before they were ready come last."""
        return unique([*self.configurations, *self.failures])


def unique(names: Iterable[str]) -> tuple[str, ...]:
    """The names without repeats, in the order of their first occurrence."""
    return tuple(dict.fromkeys(names))
