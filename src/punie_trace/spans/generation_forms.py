"""Which requests ask a model for tokens, and who reads their answers: one reader for each form of the API.

OpenAI's chat completions (and the older completions), OpenAI's responses, Anthropic's messages. A request of any other
path is none. Pure.
"""

from __future__ import annotations

from typing import Final

from punie_trace.spans.completion import CompletionReader
from punie_trace.spans.messages_reader import MessagesReader
from punie_trace.spans.responses_reader import ResponsesReader

_READERS: Final[dict[str, type[CompletionReader]]] = {
    "completions": CompletionReader,
    "responses": ResponsesReader,
    "messages": MessagesReader,
}


def reader_of(method: str, path: str) -> type[CompletionReader] | None:
    """The reader for the answer to this request; None where it does not ask for tokens."""
    return _READERS.get(path.rstrip("/").rpartition("/")[2]) if method == "POST" else None
