"""What a runner and its generators say to each other: values, sent in order, over whatever connects the two.

A generator says `Hello`. The runner answers with an `Assignment`, hears `Prepared`, says where to write with `Begin`.
Each stage then goes `StageOrder`, `StageReady`, `Go`, `StageBegan`, any number of `Beat`, `StageEnded`; at the end
`Finish` is answered by `Finished`. At any time there may be a `Ping`, `StopStage`, `ConfigurationLost`, and `Trouble`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from punie_trace.driver.schedule import Load, Shard
from punie_trace.engine.plan import Plan
from punie_trace.records import Ledger, Outcome
from punie_trace.runs.header import ConfigurationRecord, RunStatus, ServerRecord
from punie_trace.servers.config import ServerConfig
from punie_trace.servers.memory import MemoryReading
from punie_trace.servers.readiness import ServerTimeouts
from punie_trace.servers.server import Server
from punie_trace.spans.clock import Clock
from punie_trace.suite.load import Suite


@dataclass(frozen=True, slots=True)
class Hello:
    """A generator is up: where, with what. `clock_id` is the same for all processes that read one monotonic clock."""

    host: str
    pid: int
    clock_id: str
    clock: Clock
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Assignment:
    """What the run is, and which part of it is this generator's."""

    name: str
    shard: Shard
    run_id: str
    plan: Plan
    suite: Suite
    argv: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    """The code base to ask about, where it was made for this run."""
    others: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Files of further code bases, by the names that queries have for them."""
    clock: Clock | None = None
    """The run's, to be taken over where it counts from the same monotonic clock."""
    digests: bool = False
    """Whether to say what workspace and agents are there, because they may be others than the runner's."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """The assignment can be done, or what is wrong; digests by what they are of."""

    problem: str | None = None
    digests: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Begin:
    """Make the part in `folder`, absolute, on the generator's own disk; `watch` the machine where nobody else does."""

    folder: str
    watch: bool = False


@dataclass(frozen=True, slots=True)
class StageOrder:
    """One stage of the plan, whole: what of it is whose follows from the shard. Queries count from `first_seq`."""

    names: tuple[str, ...]
    load: Load
    first_seq: int
    servers: Mapping[str, Server]
    """By configuration: a ready server's facts, without its process."""
    server_clocks: Mapping[str, str] = field(default_factory=dict)
    """By configuration, the clock of its host: what a server tells of its own times is taken up there alone."""
    server_records: Mapping[str, ServerRecord] = field(default_factory=dict)
    configuration_records: Mapping[str, ConfigurationRecord] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StageReady:
    """Warmed up, and waiting for `Go`. `arrivals` are the queries that are this generator's, None without a number."""

    arrivals: int | None


@dataclass(frozen=True, slots=True)
class Go:
    """Begin at `at_ns` on your clock."""

    at_ns: int


@dataclass(frozen=True, slots=True)
class StageBegan:
    """The stage has begun, `late_ns` after the agreed time."""

    late_ns: int


@dataclass(frozen=True, slots=True)
class Beat:
    """A sign of life: what has ended since the last one, each an `Ended` as bytes, and the state of things."""

    ended: tuple[bytes, ...]
    in_flight: int
    sent: int
    untold: int = 0
    """Queries that ended and are not among those told here or later, because too many waited; their part has them."""


@dataclass(frozen=True, slots=True)
class Ended:
    """One query that ended, without what it answered: that is in the part."""

    outcome: Outcome
    ledger: Ledger


@dataclass(frozen=True, slots=True)
class ConfigurationLost:
    """A configuration can no longer be asked."""

    configuration: str
    reason: str


@dataclass(frozen=True, slots=True)
class StopStage:
    """End the stage now: nothing more is sent, what is in flight may cool down."""

    reason: str
    early: bool


@dataclass(frozen=True, slots=True)
class StageEnded:
    """The stage is over here. `last_seq` is the highest number of a query that was looked at, -1 without any."""

    reason: str
    early: bool
    last_seq: int
    sent: int
    dropped: int


@dataclass(frozen=True, slots=True)
class Finish:
    """Close the part as one that ended so, whatever is under way."""

    status: RunStatus


@dataclass(frozen=True, slots=True)
class Finished:
    """The part is closed and whole."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something ended this generator, in words that can be shown; its part holds what there was."""

    problem: str


@dataclass(frozen=True, slots=True)
class Ping:
    """What does your clock show?"""

    number: int


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer, read from the clock as late as can be."""

    number: int
    at_ns: int


@dataclass(frozen=True, slots=True)
class OpenServer:
    """To a keeper: start this server, with its log in `folder`, without `hidden`, and keep it until `CloseServer`."""

    config: ServerConfig
    folder: str
    name: str
    timeouts: ServerTimeouts
    hidden: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServerState:
    """What it does now: 'starting', 'ready', ..."""

    text: str


@dataclass(frozen=True, slots=True)
class ServerOpened:
    """It is ready: its facts, and the clock of its host."""

    server: Server
    clock_id: str


@dataclass(frozen=True, slots=True)
class ServerFailed:
    """It did not come up, or has died: how, and the end of what it printed."""

    problem: str
    log_tail: str
    exit_code: int = 3


@dataclass(frozen=True, slots=True)
class CloseServer:
    """End it."""


@dataclass(frozen=True, slots=True)
class ServerMemory:
    """The most that was read of its memory until now."""

    reading: MemoryReading


@dataclass(frozen=True, slots=True)
class ServerClosed:
    """It is gone."""
