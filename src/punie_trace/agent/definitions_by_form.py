"""Where classes, functions and methods are defined in other languages than Python, by the form of their lines.

No grammar is parsed: a line is a definition's where it looks like one (`class NAME`, `func (r T) NAME(`,
`NAME(...) {`), and it lasts as far as its braces, its `end`, or its indentation say. That finds what people name and
ask for; what a macro or a preprocessor makes of it is not seen. It runs and loads nothing, and its work has a limit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, Literal, TypeAlias

from punie_trace.agent.definition_search import Lines

BRACES: Final = frozenset(
    {".js", ".jsx", ".mjs", ".cjs", ".ts", ".tsx", ".go", ".rs", ".java", ".kt", ".kts", ".scala", ".swift", ".c", ".h",
     ".cc", ".cpp", ".cxx", ".hpp", ".cs", ".php", ".dart"}
)  # fmt: skip
ENDS: Final = frozenset({".rb", ".lua", ".ex", ".exs", ".jl"})
SUFFIXES: Final = BRACES | ENDS
_LONGEST_LINE: Final = 1000
"""Characters; a longer line is generated, and nobody's definition."""
_MOST_ON_A_LINE: Final = 4
"""Of a name on one line, the places that are looked at."""
_MOST_CHARACTERS: Final = 1_000_000
"""That all possible definitions in a file may have together: what comes after is not looked at."""
_TYPE: Final = re.compile(
    r"\b(?:class|interface|struct|enum|trait|union|record|object|protocol|extension|module|namespace|impl|type|mod|"
    r"defmodule)(?:<[^<>]*>)?[ \t]+(?:<[^<>]*>[ \t]*)?(?:[\w.:]+[.:])?$"
)
_IMPLEMENTED: Final = re.compile(r"[ \t]*impl\b.*\bfor[ \t]+$")
_FUNCTION: Final = re.compile(
    r"\b(?:func|fn|function|fun|def|defp|sub|macro|macro_rules!)\*?[ \t]*(?:\([^()]*\)[ \t]*|[ \t])(?:[\w.:]+[.:])?$"
)
_VARIABLE: Final = re.compile(r"\b(?:const|let|var|val|static)[ \t]+$")
_IS_FUNCTION: Final = re.compile(r"[^=]*=[ \t]*(?:async\b[ \t]*)?(?:function\b|class\b|\w+[ \t]*=>|\([^()]*\)[^=]*=>)")
_PROPERTY: Final = re.compile(r"[ \t]*[:=][ \t]*(?:async\b[ \t]*)?(?:function\b|\([^()]*\)[^=]*=>)")
_CALL: Final = re.compile(r"[ \t]*(?:<[^<>]*>[ \t]*)?\(")
_TYPE_BEFORE: Final = re.compile(r"[\w \t<>\[\],:*&?@~.()!\"'#\\-]*$")
"""What may stand before the name of a method: modifiers, annotations, and the type that it returns."""
_STATEMENT: Final = re.compile(
    r"[ \t]*(?:(?:return|if|else|while|for|switch|case|throw|await|yield|new|delete|assert|print|puts|import|from|"
    r"require|use|using|package|goto|do|try|catch|when|unless)\b|//|/\*|\*|#[ \t]|--)"
)
_CHARACTER: Final = re.compile(r"(?:\\[^']{1,8}|\\'|[^'\\])'")
"""What follows the quote of a character; a lifetime has none that ends it."""
_ENDED: Final = re.compile(r"\bend[ \t]*$")
_ABOVE: Final = re.compile(r"[ \t]*(?:@\w|#\[|\[[A-Z]\w*[\](])")
"""Annotations and attributes, each on a line of its own."""
_QUOTES: Final[dict[str, str]] = {
    **dict.fromkeys((".js", ".jsx", ".mjs", ".cjs", ".ts", ".tsx"), "\"'`"),
    **dict.fromkeys((".php", ".dart"), "\"'"),
    ".go": '"`',
}
"""What texts stand between; elsewhere a single quote is a character's, or a lifetime's."""


_Ending: TypeAlias = Literal["body", "line"]


def find_by_form(lines: Sequence[str], wanted: Sequence[str], suffix: str) -> list[Lines]:
    """The definitions of the dotted name `wanted` in a file that ends with `suffix`, in the order of the file."""
    text = "\n".join(lines)
    if not all(name in text for name in wanted):
        return []
    *outer, name = wanted
    found = list(_definitions(lines, name, suffix))
    if outer:
        around = find_by_form(lines, outer, suffix)
        found = [
            one
            for one in found
            if _names_owner(lines[one.start - 1 : one.end], outer[-1], name)
            or any(place.start <= one.start and one.end <= place.end and one != place for place in around)
        ]
    return found


def _names_owner(body: Sequence[str], owner: str, name: str) -> bool:
    """Whether a method that stands outside of its type names it: `func (r *Owner) name(`, `Owner::name(`."""
    head = next((line for line in body if name in line), "")[:_LONGEST_LINE]
    receiver = re.match(r"func[ \t]*\(([^()]*)\)", head)
    if receiver is not None and re.search(rf"\b{owner}\b", receiver[1]) is not None:
        return True
    before = head[: head.find(name)] if name in head else ""
    return re.search(rf"\b{owner}(?:<[^<>]*>)?(?:::|\.)~?$", before) is not None


def _definitions(lines: Sequence[str], name: str, suffix: str) -> Iterator[Lines]:
    word = re.compile(rf"(?<![\w$]){re.escape(name)}(?![\w$])")
    room = _MOST_CHARACTERS
    for number, line in enumerate(lines):
        if room <= 0:
            return
        if name not in line or len(line) > _LONGEST_LINE or _STATEMENT.match(line) is not None:
            continue
        for found in islice(word.finditer(line), _MOST_ON_A_LINE):
            form = _form(line[: found.start()], line[found.end() :])
            if form is None:
                continue
            reached, ends = _to_end(lines, number) if suffix in ENDS else _to_brace(lines, number, suffix, room)
            room -= sum(map(len, lines[number : reached + 1]))
            if ends == "body" or not form.needs_body:
                yield Lines(_first(lines, number) + 1, reached + 1)
                break


@dataclass(frozen=True, slots=True)
class _Form:
    """What a head looks like; without a body one that `needs_body` is a call, or a mere announcement."""

    needs_body: bool


def _form(before: str, after: str) -> _Form | None:
    """The form of a line in which a name stands between these two; None for what is no head."""
    if any(pattern.search(before) is not None for pattern in (_TYPE, _FUNCTION)) or _IMPLEMENTED.match(before):
        return _Form(needs_body=False)
    if _VARIABLE.search(before) is not None:
        return _Form(needs_body=False) if _IS_FUNCTION.match(after) is not None else None
    if not before.strip() and _PROPERTY.match(after) is not None:
        return _Form(needs_body=False)
    if _CALL.match(after) is None or _TYPE_BEFORE.match(before) is None or before.count("(") != before.count(")"):
        return None
    joined = not before or before[-1] in " \t*&~" or before.endswith("::")
    return _Form(needs_body=True) if joined else None


def _first(lines: Sequence[str], head: int) -> int:
    while head > 0 and _ABOVE.match(lines[head - 1]) is not None:
        head -= 1
    return head


def _to_brace(lines: Sequence[str], head: int, suffix: str, room: int) -> tuple[int, _Ending]:
    """The last line (from 0) of what begins on line `head`, and whether a body in braces ended there.

    After `room` characters it ends wherever it has come to.
    """
    quotes = _QUOTES.get(suffix, '"')
    braces = rounds = 0
    quoted = comment = ""
    for number in range(head, len(lines)):
        line = lines[number]
        room -= len(line)
        if room < 0:
            return max(number - 1, head), "line"
        if number > head and braces == rounds == 0 and not (quoted or comment) and not _goes_on(line):
            return number - 1, "line"
        place = 0
        while place < len(line):
            one, two = line[place], line[place : place + 2]
            place += 1
            if comment:
                if two == "*/":
                    comment, place = "", place + 1
            elif quoted:
                if one == "\\":
                    place += 1
                elif one == quoted:
                    quoted = ""
            elif two == "//":
                break
            elif two == "/*":
                comment, place = two, place + 1
            elif one in quotes:
                quoted = one
            elif one == "'" and (found := _CHARACTER.match(line, place)) is not None:
                place = found.end()
            elif one in "([":
                rounds += 1
            elif one in ")]":
                rounds -= 1
            elif one == "{":
                braces += 1
            elif one == "}":
                braces -= 1
                if braces == 0 and rounds == 0:
                    return number, "body"
            elif one == ";" and braces == rounds == 0:
                return number, "line"
            if braces < 0 or rounds < 0:
                return number, "line"
        if quoted in ('"', "'"):  # neither goes beyond its line
            quoted = ""
    return len(lines) - 1, "line"


def _goes_on(line: str) -> bool:
    """Whether a head, or an expression in place of a body, goes on with `line`."""
    return bool(line.strip()) and (line[0] in " \t" or line[0] in "{)]=>")


def _to_end(lines: Sequence[str], head: int) -> tuple[int, _Ending]:
    """By its `end`, which stands as far in as the head does. A mere call has no body that could be told."""
    indent = _indent(lines[head])
    if _ENDED.search(lines[head]) is not None:
        return head, "line"
    for number in range(head + 1, len(lines)):
        line = lines[number]
        if line.strip() and _indent(line) <= indent:
            return number if line.lstrip().startswith("end") else number - 1, "line"
    return len(lines) - 1, "line"


def _indent(line: str) -> int:
    expanded = line.expandtabs()
    return len(expanded) - len(expanded.lstrip())
