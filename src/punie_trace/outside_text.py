"""Text from outside (servers' errors, model lists, logs, file names) made fit to be printed and written.

Everything that a terminal could take for a command goes: escape sequences with what they carry, control characters,
marks that turn the direction of writing round. All that is printed of others passes through here, and nothing else.
"""

from __future__ import annotations

import re
from typing import Final

_SEQUENCES: Final = re.compile(
    r"\x1b(?:"
    r"\[[0-?]*[ -/]*[@-~]?"  # CSI: colours, cursor, clearing
    r"|[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # OSC (titles, links, the clipboard), DCS, SOS, PM, APC
    r"|[ -/]*[0-~]?)"  # all others
    r"|\x9b[0-?]*[ -/]*[@-~]?|[\x90\x98\x9d\x9e\x9f][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # the same in one character
)
_TURNING: Final = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_LONGEST: Final = 1_000_000


def one_line(text: str, most: int = 300) -> str:
    """`text` as one line of at most `most` characters, without anything that a terminal would obey.

    What is cut off is marked by '...'.
    """
    line = " ".join(printable(text[: max(most, 1) * 20]).split())
    return line if len(line) <= most else f"{line[:most].rstrip()}..."


def printable(text: str) -> str:
    """`text` with its line ends and tabs, without anything else that a terminal would obey.

    A carriage return ends a line. What cannot be shown at all, as half of a surrogate pair, becomes U+FFFD.
    """
    text = _SEQUENCES.sub("", text[:_LONGEST].replace("\r\n", "\n").replace("\r", "\n"))
    if text.isprintable():
        return "".join(c for c in text if c not in _TURNING) if not text.isascii() else text
    return "".join(_shown(c) for c in text if c not in _TURNING)


def _shown(character: str) -> str:
    if character in "\n\t" or character.isprintable():
        return character
    if character.isspace() and character > "\x1f":
        return " "
    return "\ufffd" if "\ud800" <= character <= "\udfff" else ""
