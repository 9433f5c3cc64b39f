"""What readers share whose events have a `type`, as those of OpenAI's responses and of Anthropic's messages do."""

from __future__ import annotations

from punie_trace.records import JsonValue
from punie_trace.spans.completion import CompletionReader, Form


class TypedEventReader(CompletionReader):
    """A reader of typed events. It has no form of its own to tidy answers into: they pass as they came."""

    def __init__(self, form: Form = "unknown", *, keep_events: bool = False) -> None:
        super().__init__(form, keep_events=keep_events)
        self._call_ids: list[str] = []

    def _output(self, now_ns: int) -> None:
        """An event that brings output came at `now_ns`."""
        self.chunks += 1
        self.first_chunk_ns = now_ns if self.first_chunk_ns is None else self.first_chunk_ns
        self.last_chunk_ns = now_ns


def text_of(value: JsonValue) -> str | None:
    """A text that says something; None for anything else."""
    return value if isinstance(value, str) and value else None
