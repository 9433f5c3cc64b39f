"""What is said between us and the process of the evaluators. Values only; they go through pickle, both ways."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from punie_trace.spans.span import Span
from punie_trace.suite.agent_output import SentOutput


@dataclass(frozen=True, slots=True)
class Setup:
    """What evaluators are made of. `references` names classes, `folders` is where the user's modules are looked for."""

    dataset: Mapping[str, object]
    references: tuple[str, ...]
    name: str
    folders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ready:
    """For each case, how long each of its evaluators may take by its own word, in seconds; None: it does not say."""

    limits: tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True, slots=True)
class Finished:
    """What evaluators are told of a query. `wall_s` is from due to done; `workspace` is the folder it worked in."""

    output: SentOutput
    wall_s: float
    spans: tuple[Span, ...]
    workspace: str


@dataclass(frozen=True, slots=True)
class Request:
    """Have the evaluator `number` of the case at `case` look at `finished`."""

    case: int
    number: int
    finished: Finished
