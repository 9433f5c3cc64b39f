"""What makes an answer shorter without another model: rules that can be read, each a function from text to text.

A cut is kept only where what is left is still judged right, which is for whoever asks for it to say. Nothing here knows
of models or runs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

_OPENING_WORDS: Final = (
    "sure|certainly|of course|absolutely|great question|okay|ok|let me|i (?:have )?(?:looked|searched|found)|"
    "here (?:is|are)|based on|according to|found in|to answer|as you asked|happy to"
)
_CLOSING_WORDS: Final = (
    "let me know|i hope|hope this|feel free|if you (?:want|need|have|would)|please (?:let|tell)|is there anything|"
    "which one suits"
)
_OPENINGS: Final = re.compile(rf"^(?:{_OPENING_WORDS})\b[^\n]*?(?:[.!:,](?=\s)|\n|[.!:]$)\s*", re.IGNORECASE)
_CLOSINGS: Final = re.compile(rf"(?:^|(?<=[.!?\n])\s*)(?:{_CLOSING_WORDS})\b[^\n]*$", re.IGNORECASE)
_PATH: Final = re.compile(r"\S+/\S*|\S+\.\w{1,5}")
_WORD: Final = re.compile(r"[A-Za-z_]{4,}")


@dataclass(frozen=True, slots=True)
class Context:
    """What an answer was given to: the question, what tools returned, and the words that it must hold to be right."""

    question: str = ""
    results: tuple[str, ...] = ()
    wanted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cut:
    """One rule: its name for the reader, and what it leaves of a text."""

    name: str
    apply: Callable[[str, Context], str]


def _without_opening(text: str, _context: Context) -> str:
    return _OPENINGS.sub("", text, count=1)


def _without_closing(text: str, _context: Context) -> str:
    return _CLOSINGS.sub("", text).rstrip()


def _without_repeated_lines(text: str, _context: Context) -> str:
    kept: list[str] = []
    seen: set[str] = set()
    for line in text.splitlines():
        words = " ".join(line.split()).casefold()
        if words not in seen or not words:
            kept.append(line)
        seen.add(words)
    return "\n".join(kept)


def _without_what_tools_returned(text: str, context: Context) -> str:
    """Lines go that only repeat what a tool returned, but for those with a word of the question or a wanted one.

    Indented lines stay, as they belong to a text that is quoted whole, such as a definition; so do lines that are a
    path, as they say where the ones below them stand.
    """
    returned = {line.strip() for result in context.results for line in result.splitlines()}
    words = {word.casefold().rstrip("s") for word in _WORD.findall(context.question)}
    words |= {word.casefold() for word in context.wanted}

    def stays(line: str) -> bool:
        quoted = line.strip() in returned and not line.startswith((" ", "\t"))
        path = _PATH.fullmatch(line.strip())
        return not quoted or path is not None or any(word in line.casefold() for word in words)

    return "\n".join(line for line in text.splitlines() if stays(line))


CUTS: Final = (
    Cut("opening", _without_opening),
    Cut("closing", _without_closing),
    Cut("repeated lines", _without_repeated_lines),
    Cut("repeated results", _without_what_tools_returned),
)


def concise(
    text: str, context: Context, is_right: Callable[[str], bool], cuts: Sequence[Cut] = CUTS
) -> tuple[str, tuple[str, ...]]:
    """The text after each cut that leaves it right and not empty, and the names of those that changed it."""
    used: list[str] = []
    for cut in cuts:
        shorter = cut.apply(text, context).strip()
        if len(shorter) < len(text.strip()) and shorter and is_right(shorter):
            text = shorter
            used.append(cut.name)
    return text.strip(), tuple(used)
