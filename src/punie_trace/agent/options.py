"""What each query is asked with, whatever the path: the limits of the agent and the options of its requests."""

from __future__ import annotations

from dataclasses import dataclass, field

from punie_trace.records import JsonValue, ToolMode


@dataclass(frozen=True, slots=True)
class AskOptions:
    """Options of one configuration's requests.

    `request` goes into the body of every request as it is (`num_draft_tokens`, `stop`, ...). `max_requests` bounds the
    generations of one query, so that a model which calls tools for ever ends as an error and not as a hang.
    """

    model: str
    max_tokens: int = 512
    max_requests: int = 8
    temperature: float = 0.0
    read_timeout_s: float = 600.0
    request: dict[str, JsonValue] = field(default_factory=dict)
    configured: frozenset[str] = frozenset()
    """Which of 'temperature' and 'max_tokens' the configuration sets: an imported agent keeps its own otherwise."""
    tools: ToolMode = "calls"
    """Whether the model calls tools one by one or writes code that does."""
    salted: bool = False
    """Whether each query's requests bring a cache salt of its own."""
