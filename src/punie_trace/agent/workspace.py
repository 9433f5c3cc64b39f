"""A folder of source files, read-only: what the agent's tools look at.

Every path is resolved and must stay inside the root; symbolic links are never followed. Nothing here writes, runs or
imports a file of the workspace. Output limits are the toolbox's concern, not this module's.
"""

from __future__ import annotations

import ast
import fnmatch
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from punie_trace.errors import ConfigurationError

SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules", "venv", "build", "dist"})
MAX_FILE_BYTES = 1_000_000
MAX_FILES = 20_000
MAX_PATTERN = 200


class WorkspaceError(Exception):
    """A tool asked for something that the workspace does not have or must not give. The text goes to the model."""


@dataclass(frozen=True, slots=True)
class Match:
    """One line that matched: its file (relative, with '/'), its number from 1, its text without the line end."""

    path: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Definition:
    """One class or function: its file, its first and last line (from 1, inclusive), its source text."""

    path: str
    start: int
    end: int
    source: str


class Workspace:
    """The files below `root`, read-only.

    Raises `ConfigurationError` if `root` is no folder.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise ConfigurationError(f"the workspace {str(root)!r} is not a folder; give one with --workspace")
        self.root = root.resolve()

    def resolve(self, path: str) -> Path:
        """The file or folder at `path` inside the root. Raises `WorkspaceError` if it is outside, linked or absent."""
        relative = path.strip().replace("\\", "/") or "."
        if "\0" in relative or Path(relative).is_absolute() or ".." in relative.split("/"):
            raise WorkspaceError(f"{path!r} is outside the workspace")
        current = self.root
        for part in Path(relative).parts:
            current = current / part
            if current.is_symlink():
                raise WorkspaceError(f"{path!r} is a link; links are not followed")
        if not current.exists():
            raise WorkspaceError(f"there is no {path!r} in the workspace")
        return current

    def files(self, path: str = ".", pattern: str = "*") -> list[str]:
        """Relative paths of the files below `path` whose path or name matches the glob `pattern`, sorted."""
        start = self.resolve(path)
        if start.is_file():
            return [start.relative_to(self.root).as_posix()]
        found = (p.relative_to(self.root).as_posix() for p in self._walk(start))
        return sorted(f for f in found if fnmatch.fnmatch(f, pattern) or fnmatch.fnmatch(f.rsplit("/", 1)[-1], pattern))

    def read(self, path: str) -> list[str]:
        """The lines of the file at `path`. Raises `WorkspaceError` for folders, binaries and files over 1 MB."""
        file = self.resolve(path)
        if not file.is_file():
            raise WorkspaceError(f"{path!r} is a folder; use list_files")
        if file.stat().st_size > MAX_FILE_BYTES:
            raise WorkspaceError(f"{path!r} is larger than {MAX_FILE_BYTES:,} bytes")
        data = file.read_bytes()
        if b"\0" in data[:8192]:
            raise WorkspaceError(f"{path!r} is not a text file")
        return data.decode("utf-8", errors="replace").splitlines()

    def search(self, pattern: str, path: str = ".") -> list[Match]:
        """Lines below `path` that match `pattern`, without regard to case.

        `pattern` is a regular expression; one that does not compile is searched for as plain text.
        """
        if not pattern.strip() or len(pattern) > MAX_PATTERN:
            raise WorkspaceError(f"the pattern must have 1 to {MAX_PATTERN} characters")
        try:
            expression = re.compile(pattern, re.IGNORECASE)
        except re.error:
            expression = re.compile(re.escape(pattern), re.IGNORECASE)
        return [
            Match(name, number, line)
            for name in self.files(path)
            for number, line in enumerate(self._lines_or_none(name), start=1)
            if expression.search(line[:2000])
        ]

    def definitions(self, name: str) -> list[Definition]:
        """Python classes, functions and methods called `name` (`Class.method` too), in path order."""
        wanted = name.strip().removesuffix("()").split(".")
        if not wanted[-1].isidentifier():
            raise WorkspaceError(f"{name!r} is not the name of a class or function")
        found: list[Definition] = []
        for path in self.files(pattern="*.py"):
            lines = self._lines_or_none(path)
            text = "\n".join(lines)
            if wanted[-1] not in text:
                continue
            try:
                tree = ast.parse(text)
            except (SyntaxError, ValueError, RecursionError):
                continue
            for node in _named(tree, wanted):
                first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
                last = node.end_lineno or node.lineno
                found.append(Definition(path, first, last, "\n".join(lines[first - 1 : last])))
        return found

    def _lines_or_none(self, path: str) -> list[str]:
        try:
            return self.read(path)
        except (WorkspaceError, OSError):
            return []

    def _walk(self, start: Path) -> Iterator[Path]:
        count = 0
        for folder, folders, names in os.walk(start, followlinks=False):
            folders[:] = sorted(f for f in folders if f not in SKIPPED_FOLDERS and not f.startswith("."))
            for name in names:
                file = Path(folder) / name
                if name.startswith(".") or file.is_symlink() or not file.is_file():
                    continue
                count += 1
                if count > MAX_FILES:
                    return
                yield file


def _named(tree: ast.AST, wanted: list[str]) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """Definitions in `tree` whose dotted name ends in `wanted`."""
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)

    def visit(node: ast.AST, outer: tuple[str, ...]) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, kinds):
                dotted = (*outer, child.name)
                if list(dotted[-len(wanted) :]) == wanted:
                    yield child
                yield from visit(child, dotted)
            else:
                yield from visit(child, outer)

    yield from visit(tree, ())
