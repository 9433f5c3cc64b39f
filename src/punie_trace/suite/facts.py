"""Read from a case's metadata what is right: of a question, and of each turn of a session.

Metadata belongs to the user. What is not in the form that it has here is left aside and noted, never refused, but for
what contradicts itself and for a list of turns that cannot be told to which turns it belongs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from punie_trace.errors import SuiteError, nearest
from punie_trace.records import Expectation, Turn
from punie_trace.suite.dataset_file import form_of

_EXPECTATIONS: Final[dict[str, Expectation]] = {"tool": "tool", "direct": "direct"}
_MOST_NAMES: Final = 3


@dataclass(slots=True)
class FactsReader:
    """Reads the metadata of the cases of one file. `foreign` is what is wrong with a key, and the cases in which."""

    foreign: dict[str, list[str]] = field(default_factory=dict)

    def turn(self, text: str, metadata: Mapping[object, object], name: str, where: str) -> Turn:
        """What `metadata` says of the answer to `text`. Raises `SuiteError` where it contradicts itself.

        `name` is the case's, for notes; `where` begins an error.
        """
        turn = Turn(
            text=text,
            expected=self._expected(metadata, name),
            tools=self._texts(metadata, "tools", name),
            arguments_contain=self._texts(metadata, "arguments_contain", name),
            answer_contains=self._texts(metadata, "answer_contains", name),
        )
        if turn.expected == "direct" and (turn.tools or turn.arguments_contain):
            raise SuiteError(
                f"{where} expects a direct answer, and yet says which tools or arguments are right; "
                "remove 'tools' and 'arguments_contain', or set 'expected: tool'"
            )
        return turn

    def turns(self, texts: Sequence[str], metadata: Mapping[object, object], name: str, where: str) -> tuple[Turn, ...]:
        """The turns of a session, with what `metadata['turns']` says of each; nothing where there is no such list.

        An entry that is empty judges nothing. Raises `SuiteError` where the list has another length than `texts`.
        """
        entries = metadata.get("turns")
        if entries is not None and not isinstance(entries, list):
            self.leave("turns", f"{form_of(entries)} and not a list with an entry for each turn", name)
            entries = None
        if entries is not None and len(entries) != len(texts):
            raise SuiteError(
                f"{where}: 'turns' in its metadata has {_count(len(entries), 'entry', 'entries')}, and 'inputs' has "
                f"{_count(len(texts), 'turn', 'turns')}; give one for each turn, and null for a turn that is not judged"
            )
        turns = []
        for number, (text, entry) in enumerate(zip(texts, entries or [None] * len(texts), strict=True), start=1):
            if entry is not None and not isinstance(entry, dict):
                self.leave("turns", f"a list that holds {form_of(entry)} where it says what is right in a turn", name)
                entry = None
            turns.append(self.turn(text, entry or {}, name, f"{where}: turn {number}"))
        return tuple(turns)

    def text(self, metadata: Mapping[object, object], key: str, name: str) -> str | None:
        """The text under `key`; None where there is none."""
        value = metadata.get(key)
        if value is None or isinstance(value, str):
            return value
        self.leave(key, f"{form_of(value)} and not a text", name)
        return None

    def leave(self, key: str, what: str, name: str) -> None:
        """Note that the value of `key` is left aside in the case `name`, being `what`."""
        names = self.foreign.setdefault(f"{key!r} is {what}", [])
        if name not in names:
            names.append(name)

    def notes(self) -> list[str]:
        """One note for each kind of thing that was left aside."""
        notes = []
        for what, names in self.foreign.items():
            more = len(names) - _MOST_NAMES
            some = ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
            notes.append(f"metadata of {some}: {what}: it is taken for your own, and judges nothing")
        return notes

    def _expected(self, metadata: Mapping[object, object], name: str) -> Expectation | None:
        value = metadata.get("expected")
        if value is None:
            return None
        if isinstance(value, str) and value in _EXPECTATIONS:
            return _EXPECTATIONS[value]
        close = nearest(value, _EXPECTATIONS) if isinstance(value, str) else ""
        hint = f" ({close})" if close.startswith("did") else ""
        self.leave("expected", f"{form_of(value)} and neither 'tool' nor 'direct'{hint}", name)
        return None

    def _texts(self, metadata: Mapping[object, object], key: str, name: str) -> tuple[str, ...]:
        value = metadata.get(key)
        if value is None:
            return ()
        if not isinstance(value, list):
            self.leave(key, f"{form_of(value)} and not a list of texts ({key}: [...])", name)
            return ()
        for item in value:
            if not isinstance(item, str) or not item.strip():
                self.leave(key, f"a list that holds {form_of(item)}", name)
                return ()
        return tuple(value)


def _count(number: int, one: str, more: str) -> str:
    return f"{number} {one if number == 1 else more}"
