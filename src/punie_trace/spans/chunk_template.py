"""Tells a streamed chunk that differs from an earlier one only in its text, without parsing it.

A server writes hundreds of chunks that are the same to the byte but for the value of `content`. Where a line begins and
ends exactly as a line that was parsed, and what lies between is the inside of one plain JSON string, its value differs
in nothing but that string. Anything else (an escape, another key, a finish reason, a new second in `created`) is not
told apart here and must be parsed. Pure; it raises nothing.
"""

from __future__ import annotations

import re

from punie_trace.records import JsonValue

_KEY = re.compile(rb'"content"\s*:\s*"')
# Bytes that stand for themselves within a JSON string: no control, no quote, no backslash.
_PLAIN = re.compile(rb'[^\x00-\x1f"\\]+')


class ChunkTemplate:
    """The last chunk that was parsed and brought text, cut open around it."""

    __slots__ = ("_after", "_before")

    def __init__(self) -> None:
        self._before: bytes | None = None
        self._after = b""

    def learn(self, data: bytes, chunk: JsonValue) -> None:
        """Take `data`, whose value is `chunk`, for a template: one choice, whose delta brings text and no more.

        What is no such chunk leaves the template as it was.
        """
        content = _only_content(chunk)
        if content is None:
            return
        found = list(_KEY.finditer(data))
        if len(found) != 1:  # the text itself may hold the key; escapes keep that from matching, but be sure
            return
        start = found[0].end()
        plain = _PLAIN.match(data, start)
        if plain is None or data[plain.end() : plain.end() + 1] != b'"' or plain.group() != content.encode("utf-8"):
            return
        self._before, self._after = data[:start], data[plain.end() :]

    def text_of(self, data: bytes) -> str | None:
        """The text of a chunk that has the template's form; None where it has not, and must be parsed."""
        before, after = self._before, self._after
        if before is None or not data.startswith(before) or not data.endswith(after):
            return None
        content = data[len(before) : len(data) - len(after)]
        if _PLAIN.fullmatch(content) is None:
            return None
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError:
            return None


def _only_content(chunk: JsonValue) -> str | None:
    """The text of a chunk that says nothing else of its own: no other output, no end, no usage, no error."""
    if not isinstance(chunk, dict) or chunk.get("usage") or chunk.get("error"):
        return None
    choices = chunk.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        return None
    choice = choices[0]
    delta = choice.get("delta")
    if choice.get("finish_reason") or choice.get("index") not in (None, 0) or not isinstance(delta, dict):
        return None
    content = delta.get("content")
    rest = any(value for key, value in delta.items() if key not in ("content", "role"))
    return content if isinstance(content, str) and content and not rest else None
