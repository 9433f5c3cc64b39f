"""Tool calls as a model wrote them, put together from the pieces that servers send, whatever order they keep.

Pieces of one call share an `index` by OpenAI's rules. Servers send none, send 0 for all, repeat the id and the name
with every piece, cut the name, send an object for the arguments, or leave the id empty. What tells calls apart here:
the index, else the id, else a name; and a name that comes once the arguments are whole begins another call. Pure; it
raises nothing.
"""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass, field
from typing import Final

from pydantic_core import from_json

from punie_trace.records import JsonValue

DEEPEST_ARGUMENTS: Final = 64
LONGEST_ARGUMENTS: Final = 1024 * 1024
"""Characters."""
MOST_CALLS: Final = 512
_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class WrittenCall:
    """A call as the model wrote it: its id, the tool's name, the arguments as JSON text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class CallPiece:
    """What one chunk adds to the call at `place` (from 0): its id where it begins, parts of name and arguments."""

    place: int
    id: str | None
    name: str | None
    arguments: str
    as_sent: bool
    """Whether the server wrote just this, so that a strict client reads the same from its own words."""


@dataclass(slots=True)
class _Open:
    """A call as its pieces arrive."""

    id: str = ""
    name: str = ""
    sent_id: str = ""
    pieces: list[str] = field(default_factory=list)

    def whole(self) -> bool:
        """Whether the arguments are a JSON object as they stand: more of them would spoil it."""
        text = "".join(self.pieces).strip()
        return text.endswith("}") and isinstance(_parsed(text), dict)

    def new_of_name(self, name: str) -> str | None:
        """What a piece adds to the name: some come again with every piece, some in pieces, some longer each time."""
        if not name or name == self.name or (self.name and "".join(self.pieces).strip()):
            return None
        return name.removeprefix(self.name)


class CallAssembler:
    """The calls of one completion. `salt` tells its made-up ids from those of other completions."""

    def __init__(self) -> None:
        self._calls: list[_Open] = []
        self._by_index: dict[int, int] = {}
        self.salt = ""

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, call: dict[str, JsonValue]) -> CallPiece | None:
        """Take one entry of `tool_calls` (or a `function_call`). None where it says nothing."""
        function = call.get("function")
        described = function if isinstance(function, dict) else call
        name = _text(described.get("name"))
        arguments, is_text = _argument_text(described.get("arguments"))
        index = _index(call.get("index"))
        sent_id = _text(call.get("id"))
        place = self._place(index, sent_id, name, arguments)
        if place is None:
            return None
        begins = place == len(self._calls)
        if begins:
            self._calls.append(_Open(self._fresh_id(sent_id, place), "", sent_id))
        if index is not None:
            self._by_index[index] = place
        one = self._calls[place]
        new_name = one.new_of_name(name)
        one.name += new_name or ""
        if isinstance(described.get("arguments"), dict):
            one.pieces.clear()  # an object is all of them
        one.pieces.append(arguments)
        as_sent = (
            is_text
            and isinstance(function, dict)
            and call.get("index") == place
            and (name or None) == new_name
            and (sent_id == one.id if begins else sent_id in ("", one.id))
        )
        return CallPiece(place, one.id if begins else None, new_name, arguments, as_sent)

    def calls(self) -> tuple[WrittenCall, ...]:
        """The calls that have a name, in the order in which they began."""
        return tuple(WrittenCall(one.id, one.name, "".join(one.pieces)) for one in self._calls if one.name)

    def nameless(self) -> bool:
        """Whether there is a call of nothing: it cannot be used, and is not among `calls`."""
        return any(not one.name for one in self._calls)

    def _place(self, index: int | None, sent_id: str, name: str, arguments: str) -> int | None:
        """Which call a piece belongs to; the number of calls for a new one, None for no call."""
        last = len(self._calls) - 1
        if index is not None:
            found = self._by_index.get(index)
        elif sent_id:
            found = next((n for n, one in enumerate(self._calls) if one.sent_id == sent_id), None)
            if found is None and not name and last >= 0 and not self._calls[last].sent_id:
                found = last
        else:
            found = last if last >= 0 else None
        if found is not None:
            one = self._calls[found]
            other_id = bool(sent_id and one.sent_id and sent_id != one.sent_id)
            another = bool(name) and bool(one.name) and (
                (one.whole() and (other_id or bool(arguments.strip()) or name != one.name))
                or (other_id and name != one.name)
                or (index is None and not sent_id and name != one.name)
            )  # fmt: skip
            if not another:
                return found
        if not (name or sent_id or arguments.strip()) and index is None:
            return None
        return len(self._calls) if len(self._calls) < MOST_CALLS else None

    def _fresh_id(self, sent_id: str, place: int) -> str:
        """The server's id where it gave one that no other call has, else one of our own that is always the same."""
        if sent_id and all(one.id != sent_id for one in self._calls):
            return sent_id
        return f"call_{zlib.crc32(f'{self.salt} {sent_id}'.encode('utf-8', 'replace')):08x}_{place}"


def parse_arguments(text: str) -> tuple[dict[str, JsonValue] | None, str | None]:
    """(arguments, None), or (None, why they cannot be used). No text at all means no arguments."""
    if not text.strip():
        return {}, None
    if len(text) > LONGEST_ARGUMENTS:
        return None, f"its arguments are longer than {LONGEST_ARGUMENTS} characters"
    if deeper_than(text, DEEPEST_ARGUMENTS):
        return None, f"its arguments are nested deeper than {DEEPEST_ARGUMENTS} levels"
    try:
        value = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        return None, f"its arguments are not JSON: {error}"
    if not isinstance(value, dict):
        return None, f"its arguments are no JSON object but {json.dumps(value)[:40]}"
    return value, None


def deeper_than(text: str, most: int) -> bool:
    """Whether brackets and braces of a JSON text go deeper than `most` levels, without parsing it."""
    if text.count("{") + text.count("[") <= most:
        return False
    depth, in_string, escaped = 0, False, False
    for character in text:
        if in_string:
            in_string = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"':
            in_string = True
        elif character in "{[":
            depth += 1
            if depth > most:
                return True
        elif character in "}]":
            depth -= 1
    return False


def _parsed(text: str) -> JsonValue:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _argument_text(value: JsonValue) -> tuple[str, bool]:
    """The arguments as text, and whether they came as text or not at all."""
    if value is None or isinstance(value, str):
        text = value or ""
        return (text, True) if _SURROGATES.search(text) is None else (_SURROGATES.sub("\ufffd", text), False)
    try:
        return json.dumps(value), False
    except (ValueError, RecursionError):
        return "", False


def _index(value: JsonValue) -> int | None:
    if isinstance(value, str) and value.isdecimal() and len(value) < 6:
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else str(value) if isinstance(value, int) else ""
