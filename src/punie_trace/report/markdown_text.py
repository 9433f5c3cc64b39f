"""Markdown that says what it was given: cells, names and texts in which nothing acts, whoever wrote them.

GitHub's dialect: besides markup, what links by itself (addresses, @names, #numbers) is broken up as well.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_MARKUP: Final = re.compile(r"([\\`*_{}\[\]<>|~$&!])")
_LEADING: Final = re.compile(r"^(\s*(?:[0-9]+(?=[.)]))?)([-+=#.)])")
_LINKING: Final = re.compile(r"([@#])(?=\w)")
_ADDRESS: Final = re.compile(r"(?i)(:)(//)|(www)(\.)")
_NOTHING: Final = "\u200b"
"""A space of no width: what follows is no longer part of a name or an address."""


def text(value: str) -> str:
    """On one line, as it is, where a line may begin: no markup, no HTML, no link, no mention, no list."""
    return _LEADING.sub(r"\1\\\2", inline(value))


def inline(value: str) -> str:
    """The same within a line or a cell, where nothing makes it a list."""
    line = _LINKING.sub(rf"\1{_NOTHING}", one_line(value))
    line = _MARKUP.sub(r"\\\1", line)
    return _ADDRESS.sub(lambda found: _NOTHING.join(part for part in found.groups() if part), line)


def code(value: str) -> str:
    """As code, in a fence longer than any within; a bar is escaped, since tables split cells at bars even in code."""
    line = one_line(value).strip() or " "
    fence = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}".replace("|", "\\|")


def block(value: str) -> str:
    """Lines of code, as they are."""
    fence = "`" * max(3, max((len(run) for run in re.findall("`+", value)), default=0) + 1)
    return f"{fence}\n{value}\n{fence}"


def table(titles: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """A table of cells that are markdown already; `right` says which columns are aligned right."""
    lines = [list(titles), ["---:" if one else "---" for one in right], *map(list, rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def items(texts: Sequence[str]) -> str:
    """A list of texts that are markdown already."""
    return "\n".join(f"- {one}" for one in texts)


def one_line(value: str) -> str:
    """Without line ends or anything else that is not printable."""
    return "".join(char if char.isprintable() else " " for char in value)
