"""Where Python classes and functions are defined in a source text. It parses and runs nothing else.

What Python of this version can parse is read from its syntax tree; what it cannot (other versions, half-written files,
syntax that is too deep) from its lines. Lines count as editors count them.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

_FILE_NAME: Final = "<workspace>"
_HEAD = re.compile(r"(?P<indent>[ \t]*)(?:async[ \t]+def|def|class)[ \t]+(?P<name>\w+)")
_DECORATOR = re.compile(r"[ \t]*@")
_Node: TypeAlias = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Lines:
    """First and last line of a definition, from 1, decorators included."""

    start: int
    end: int


def find_definitions(lines: Sequence[str], wanted: Sequence[str]) -> list[Lines]:
    """The definitions whose dotted name ends in `wanted`, in the order of the file."""
    text = "\n".join(lines)
    if wanted[-1] not in text:
        return []
    # Files that are only read are nobody's to warn about. By name: filters are the whole process's.
    warnings.filterwarnings("ignore", module=re.escape(_FILE_NAME))
    try:
        tree = ast.parse(text, _FILE_NAME)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return list(_by_lines(lines, list(wanted)))
    return [
        Lines(min([node.lineno, *(d.lineno for d in node.decorator_list)]), node.end_lineno or node.lineno)
        for node in _named(tree, list(wanted))
    ]


def _named(tree: ast.Module, wanted: list[str]) -> Iterator[_Node]:
    """Without recursion: generated sources are deeper than Python's stack."""
    pending: list[tuple[ast.AST, tuple[str, ...]]] = [(tree, ())]
    while pending:
        node, outer = pending.pop()
        if isinstance(node, _Node):
            outer = (*outer, node.name)
            if list(outer[-len(wanted) :]) == wanted:
                yield node
        pending.extend((child, outer) for child in reversed(list(ast.iter_child_nodes(node))))


def _by_lines(lines: Sequence[str], wanted: list[str]) -> Iterator[Lines]:
    """By their heads, each as far as the lines below are indented deeper."""
    outer: list[tuple[int, str]] = []
    for number, line in enumerate(lines):
        head = _HEAD.match(line)
        if head is None:
            continue
        indent = len(head["indent"].expandtabs())
        outer = [*((depth, name) for depth, name in outer if depth < indent), (indent, head["name"])]
        if [name for _, name in outer][-len(wanted) :] == wanted:
            yield Lines(_first(lines, number) + 1, _last(lines, number, indent) + 1)


def _first(lines: Sequence[str], head: int) -> int:
    while head > 0 and _DECORATOR.match(lines[head - 1]) is not None:
        head -= 1
    return head


def _last(lines: Sequence[str], head: int, indent: int) -> int:
    last = head
    for number in range(head + 1, len(lines)):
        line = lines[number]
        if not line.strip():
            continue
        if len(line.expandtabs()) - len(line.expandtabs().lstrip()) <= indent and line.strip()[0] not in ")]}":
            break
        last = number
    return last
