"""Searching text for a pattern that a model wrote: any pattern, within bounds of time and of size.

Python's own `re` cannot be stopped and holds the interpreter while it runs, so that one pattern such as `(a+)+$` would
hang everything. Here `regex` searches, with a time-out where a pattern could take long. What it cannot compile, or what
asks for absurdly many repetitions, is searched for as plain text. Reads no file.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

import regex

SEARCH_LIMIT_S: Final = 10.0
"""The longest that one search may take."""
MOST_MATCHES: Final = 1000
"""Lines that are kept; all are counted."""
LONGEST_LINE: Final = 2000
"""Characters of a line that are looked at."""
_MOST_REPETITIONS: Final = 10_000
"""The product of all counts in braces: the compiled pattern grows with it."""
_COUNTS = re.compile(r"\{\s*(\d*)\s*,?\s*(\d*)\s*\}")
_RECURSION = re.compile(r"\(\?(R|\d|&|P>)")
_GROUP_REPEATED = re.compile(r"\)\s*[*+{?]")
_UNBOUNDED = re.compile(r"[*+]|\{\s*\d*\s*,\s*\}")
_MOST_UNBOUNDED: Final = 2
"""Unbounded repetitions, none of a group, up to which a line of 2,000 characters takes milliseconds at worst."""


@dataclass(frozen=True, slots=True)
class Match:
    """One line that matched: its file (relative, with '/'), its number from 1, its text without the line end."""

    path: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The first matches, in the order of the files, and how many there were. Its length is that number."""

    matches: tuple[Match, ...] = ()
    total: int = 0
    files: int = 0
    """In how many files."""
    stopped: bool = False
    """Whether the time was over before all files had been looked at."""
    cut: bool = False
    """Whether there may be more files than are ever looked at."""

    def __len__(self) -> int:
        return self.total

    def __iter__(self) -> Iterator[Match]:
        return iter(self.matches)


def search_lines(pattern: str, files: Iterable[tuple[str, Iterable[str]]]) -> SearchResult:
    """The lines of `files` (path, lines) that match `pattern`, without regard to case, within `SEARCH_LIMIT_S`."""
    matches_line = line_matcher(pattern)
    end_s = time.monotonic() + SEARCH_LIMIT_S
    found: list[Match] = []
    total = in_files = 0
    for path, lines in files:
        before = total
        try:
            for number, line in enumerate(lines, start=1):
                if matches_line(line[:LONGEST_LINE], end_s):
                    total += 1
                    if len(found) < MOST_MATCHES:
                        found.append(Match(path, number, line))
        except TimeoutError:
            return SearchResult(tuple(found), total, in_files + (total > before), stopped=True)
        in_files += total > before
    return SearchResult(tuple(found), total, in_files)


_Search: TypeAlias = Callable[..., object]
"""`search` of a compiled pattern: takes `timeout` and `concurrent`, gives None for no match."""


@lru_cache(maxsize=64)
def line_matcher(pattern: str) -> Callable[[str, float], bool]:
    """(line, when to give up by `time.monotonic`) -> whether it matches; it raises `TimeoutError` when time is over."""
    search = _compiled(pattern)
    if _is_quick(pattern):

        def quick(line: str, end_s: float) -> bool:
            if time.monotonic() > end_s:
                raise TimeoutError
            return search(line) is not None

        return quick

    def bounded(line: str, end_s: float) -> bool:
        left_s = end_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        return search(line, timeout=left_s, concurrent=True) is not None

    return bounded


def _compiled(pattern: str) -> _Search:
    if _repetitions(pattern) <= _MOST_REPETITIONS and _RECURSION.search(pattern) is None:
        # What is no regular expression is searched for as plain text: models write all sorts of things.
        with suppress(regex.error, ValueError, OverflowError, RecursionError, MemoryError, KeyError, TypeError):
            return regex.compile(pattern, regex.IGNORECASE).search
    return regex.compile(regex.escape(pattern), regex.IGNORECASE).search


def _repetitions(pattern: str) -> int:
    product = 1
    for counts in _COUNTS.finditer(pattern):
        most = max((int(count[:12]) for count in counts.groups() if count), default=1)
        product *= max(most, 1)
    return product


def _is_quick(pattern: str) -> bool:
    """Whether no line can take long: no group is repeated, little else is, and nothing looks around or back."""
    if _GROUP_REPEATED.search(pattern) is not None or "(?" in pattern or re.search(r"\\[1-9]", pattern) is not None:
        return False
    return len(_UNBOUNDED.findall(pattern)) <= _MOST_UNBOUNDED and _repetitions(pattern) <= LONGEST_LINE
