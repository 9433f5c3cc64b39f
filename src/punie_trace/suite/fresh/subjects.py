"""What can be asked about a code base that was just made, and what is then right: read from its own text.

A subject is kept only where one short answer is right: a name that is defined once, a file or a definition that fits in
a tool's result whole. No tool is called here, so a tool that finds the wrong thing cannot agree with itself.
"""

from __future__ import annotations

import ast
import random
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

MOST_CHARS: Final = 420
"""A tool's result for the shipped model has 600 characters at most, paths and line numbers included."""
MOST_FILES: Final = 8
MOST_USES: Final = 6
LONGEST_LINE: Final = 100


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing to ask about: how it is called, and texts of which each must stand in the answer."""

    name: str
    answer_contains: tuple[str, ...]


def definitions(files: Mapping[str, str]) -> tuple[Subject, ...]:
    """Classes and functions at the top of a module; their answer names the file and holds the first line."""
    found: list[tuple[str, str, str]] = []
    every: Counter[str] = Counter()
    for path, text in sorted(files.items()):
        if not path.endswith(".py"):
            continue
        tree = ast.parse(text)
        every.update(node.name for node in ast.walk(tree) if isinstance(node, _DEFINITIONS))
        for node in tree.body:
            if isinstance(node, _DEFINITIONS):
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                lines = text.splitlines()[first - 1 : node.end_lineno]
                if sum(len(line) + 1 for line in lines) <= MOST_CHARS and len(lines[0]) <= LONGEST_LINE:
                    found.append((node.name, path, text.splitlines()[node.lineno - 1].strip()))
    return tuple(Subject(name, (path, line)) for name, path, line in found if every[name] == 1 and not _plain(name))


def uses(files: Mapping[str, str], rng: random.Random, most: int) -> tuple[Subject, ...]:
    """`most` names that stand in few lines, of two files at least; their answer names each of these files.

    Names are tried in the order that `rng` gives. A search finds a name within other words too, so those count.
    """
    lower = {path: text.lower() for path, text in sorted(files.items())}
    whole = "\n".join(lower.values())
    names = sorted({name for text in files.values() for name in re.findall(r"\b[A-Za-z]\w{5,}\b", text)})
    rng.shuffle(names)
    found: list[Subject] = []
    for name in names:
        if len(found) == most:
            break
        wanted = name.lower()
        if _plain(name) or not 2 <= whole.count(wanted) <= MOST_USES:
            continue
        paths = tuple(path for path, text in lower.items() if wanted in text)
        lines = [line for path in paths for line in lower[path].splitlines() if wanted in line]
        if len(paths) > 1 and all(len(line) <= LONGEST_LINE for line in lines):
            found.append(Subject(name, paths))
    return tuple(found)


def contents(files: Mapping[str, str]) -> tuple[Subject, ...]:
    """Files that fit whole; their answer holds the first and the last line that is not empty."""
    found = []
    for path, text in sorted(files.items()):
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if len(lines) >= 2 and len(text) <= MOST_CHARS and all(len(line) <= LONGEST_LINE for line in lines):
            found.append(Subject(path, tuple(dict.fromkeys((lines[0], lines[-1])))))
    return tuple(found)


def folders(files: Mapping[str, str]) -> tuple[Subject, ...]:
    """Folders of a few files; their answer holds the path of each file below them."""
    below: dict[str, list[str]] = {}
    for path in sorted(files):
        for folder in list(PurePosixPath(path).parents)[:-1]:
            below.setdefault(folder.as_posix(), []).append(path)
    return tuple(
        Subject(folder, tuple(paths)) for folder, paths in sorted(below.items()) if 2 <= len(paths) <= MOST_FILES
    )


_DEFINITIONS: Final = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def _plain(name: str) -> bool:
    """Whether the name could be an ordinary word, so that a question about it would not tell that it is a name."""
    return re.fullmatch(r"[a-z]+|[A-Z][a-z]*", name) is not None
