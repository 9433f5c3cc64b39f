"""What a runner and its broker on a Ray cluster say to each other. Messages of generators pass through as bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Connect:
    """Join the cluster at `address`; answered by `Connected` or `Refused`."""

    address: str
    run_id: str
    folder: str
    """Where the runner works: processes on nodes do so too, where it is there."""
    runtime_env: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Connected:
    """The cluster is reached; so many nodes live in it."""

    nodes: int


@dataclass(frozen=True, slots=True)
class Refused:
    """What was asked for cannot be, in words that can be shown."""

    problem: str


@dataclass(frozen=True, slots=True)
class Spread:
    """Start `many` processes of `module`, on as many nodes as there are; answered by `Placed` or `Refused` for all."""

    many: int
    module: str
    limit_s: float


@dataclass(frozen=True, slots=True)
class PlaceOn:
    """Start one on the node that has the resource or the label `node`; answered likewise."""

    node: str
    module: str
    limit_s: float


@dataclass(frozen=True, slots=True)
class Placement:
    """One process: its number from now on, where it is, and a folder of that host's disk for this run."""

    number: int
    where: str
    folder: str


@dataclass(frozen=True, slots=True)
class Placed:
    """They are up."""

    placements: tuple[Placement, ...]


@dataclass(frozen=True, slots=True)
class Deliver:
    """A message for a process."""

    number: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Delivered:
    """A message of a process, and when it came, in monotonic ns of the runner's machine."""

    number: int
    data: bytes
    at_ns: int


@dataclass(frozen=True, slots=True)
class Cut:
    """There will be no more from that process."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class BringHome:
    """Copy a folder of that process' disk into `part`; answered by `Answered`, empty where it went well."""

    number: int
    folder: str
    part: str


@dataclass(frozen=True, slots=True)
class EndProcess:
    """End it; answered by `Answered` with the end of what it printed."""

    number: int


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to the last `BringHome` or `EndProcess` of that process."""

    number: int
    text: str
