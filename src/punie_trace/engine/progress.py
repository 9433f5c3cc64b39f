"""What a run tells while it goes on: frozen events, for whoever listens.

A listener is any callable that takes one event. It is called in the thread that measures, between queries, and should
return at once: what it takes, the measuring waits for. Nothing that it does decides what is measured: the first time it
raises, it is not called again, and the run notes why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias

from punie_trace.records import Ledger, Outcome
from punie_trace.runs.secrets import Secrets

Phase: TypeAlias = Literal["starting", "warm-up", "measuring"]


@dataclass(frozen=True, slots=True)
class RunPlanned:
    """The run is about to begin, in `folder`."""

    folder: Path
    groups: Mapping[str, str]
    """The server group of each configuration, in the order to show them."""
    queries_each: int
    """How many queries each configuration will be asked; 0 where that is not known before."""
    seconds: float | None = None
    """How long queries are sent in all, in s, where a duration ends them."""
    work: Mapping[str, float] = field(default_factory=dict)
    """How long each query is expected to take, by name, relative to the mean; 1 for those that are not in it."""
    at_most: bool = False
    """Whether the run may end before all of them were asked: once it is decided."""


@dataclass(frozen=True, slots=True)
class PhaseStarted:
    """What the run does now: 'warming up', 'measuring', ..."""

    text: str
    phase: Phase = "starting"
    queries: int = 0
    """How many queries it asks, where it asks some that do not count."""
    work: float = 0.0
    """The same in queries of mean length."""


@dataclass(frozen=True, slots=True)
class Noted:
    """Something that a person should know."""

    text: str


@dataclass(frozen=True, slots=True)
class ServerChanged:
    """What the server of a group does now: 'starting', 'ready', 'failed', ..."""

    group: str
    state: str


@dataclass(frozen=True, slots=True)
class ConfigurationFailed:
    """A configuration can no longer be asked; the others go on."""

    configuration: str
    reason: str


@dataclass(frozen=True, slots=True)
class QueryEnded:
    """One more counted query has ended."""

    outcome: Outcome
    ledger: Ledger
    tells: bool = True
    """Whether its time tells of speed: it was a first ask, or its server forgets. Else it tells of memory as well."""


Event: TypeAlias = RunPlanned | PhaseStarted | Noted | ServerChanged | ConfigurationFailed | QueryEnded
Listener: TypeAlias = Callable[[Event], None]


class Announcer:
    """Hands events on to a listener, without `secrets`, if there is one and as long as it takes them without raising.

    Who listens prints what it hears, and servers repeat the keys that they are given.
    """

    def __init__(self, listener: Listener | None, secrets: Secrets) -> None:
        self._listener = listener
        self._secrets = secrets
        self.problem: str | None = None
        """Why the listener is no longer called; None as long as it is."""

    def __call__(self, event: Event) -> None:
        """Hand one event on; never raises."""
        if self._listener is None:
            return
        try:
            self._listener(_without(self._secrets, event) if self._secrets else event)
        except Exception as error:
            self._listener = None
            self.problem = f"the progress callback raised {type(error).__name__} ({error}) and was not called again"


def _without(secrets: Secrets, event: Event) -> Event:
    match event:
        case Noted():
            return Noted(secrets.hide(event.text))
        case ServerChanged():
            return replace(event, state=secrets.hide(event.state))
        case ConfigurationFailed():
            return replace(event, reason=secrets.hide(event.reason))
        case QueryEnded():
            return replace(event, outcome=secrets.hide_in_outcome(event.outcome))
        case _:
            return event
