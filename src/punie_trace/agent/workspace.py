"""A folder of source files, read-only: what the agent's tools look at.

Every path is resolved and must stay inside the root; symbolic links are never followed. Nothing here writes, runs or
imports a file of the workspace. Output limits are the toolbox's concern, not this module's.
"""

from __future__ import annotations

import fnmatch
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from punie_trace.agent.definition_search import find_definitions
from punie_trace.agent.definitions_by_form import SUFFIXES, find_by_form
from punie_trace.agent.secret_files import holds_private_key, is_secret_path
from punie_trace.errors import ConfigurationError

if TYPE_CHECKING:
    from punie_trace.agent.search import SearchResult

SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules", "venv", "build", "dist"})
MAX_FILE_BYTES = 1_000_000
MAX_FILES = 20_000
MAX_PATTERN = 200
_LINE_END = re.compile(r"\r\n|\r|\n")
_JOINED = re.compile(r"\.|::|#")
"""What stands between a class and its method, in one language or another."""
_SHOWN_BYTE = re.compile(r"\\x([89a-f][0-9a-f])")


class WorkspaceError(Exception):
    """A tool asked for something that the workspace does not have or must not give. The text goes to the model."""


@dataclass(frozen=True, slots=True)
class Definition:
    """One class or function: its file, its first and last line (from 1, inclusive), its source text."""

    path: str
    start: int
    end: int
    source: str


class Workspace:
    """The files below `root`, read-only; those that hold secrets only with `allow_secrets`.

    Raises `ConfigurationError` if `root` is no folder. Bytes of a name that are not UTF-8 are shown as `\\xe9`, and a
    file may be asked for by that.
    """

    def __init__(self, root: Path, *, allow_secrets: bool = False) -> None:
        if not root.is_dir():
            raise ConfigurationError(f"the workspace {str(root)!r} is not a folder; give one with --workspace")
        self.root = root.resolve()
        self._allow_secrets = allow_secrets

    def resolve(self, path: str) -> Path:
        """The file or folder at `path` inside the root. Raises `WorkspaceError` if it is outside, linked or absent."""
        relative = _real(path.strip()).replace("\\", "/") or "."
        if "\0" in relative or Path(relative).is_absolute() or ".." in relative.split("/"):
            raise WorkspaceError(f"{path!r} is outside the workspace")
        current = self.root
        for part in Path(relative).parts:
            current = current / part
            if current.is_symlink():
                raise WorkspaceError(f"{path!r} is a link; links are not followed")
        try:
            there = current.exists()
        except (OSError, ValueError):  # longer than the system allows, or not of its encoding
            there = False
        if not there:
            raise WorkspaceError(f"there is no {path!r} in the workspace")
        if not self._allow_secrets and is_secret_path(current.relative_to(self.root).as_posix()):
            raise WorkspaceError(f"{path!r} may hold secrets and is not read")
        return current

    def files(self, path: str = ".", pattern: str = "*") -> list[str]:
        """Relative paths of the files below `path` whose path or name matches the glob `pattern`, sorted."""
        start = self.resolve(path)
        if start.is_file():
            return [_shown(start.relative_to(self.root))]
        found = (_shown(p.relative_to(self.root)) for p in self._walk(start))
        return sorted(f for f in found if fnmatch.fnmatch(f, pattern) or fnmatch.fnmatch(f.rsplit("/", 1)[-1], pattern))

    def read(self, path: str) -> list[str]:
        """The lines of the file at `path`. Raises `WorkspaceError` for folders, binaries, secrets and files over 1 MB.

        Lines end with LF, CR or both, as editors and Python count them.
        """
        data = self._bytes(path)
        if b"\0" in data[:8192]:
            raise WorkspaceError(f"{path!r} is not a text file")
        if not self._allow_secrets and holds_private_key(data):
            raise WorkspaceError(f"{path!r} holds a private key and is not read")
        lines = _LINE_END.split(data.decode("utf-8-sig", errors="replace"))
        return lines[:-1] if lines and not lines[-1] else lines

    def _bytes(self, path: str) -> bytes:
        file = self.resolve(path)
        if file.is_dir():
            raise WorkspaceError(f"{path!r} is a folder; use list_files")
        # Without waiting for a writer: a pipe is no file either.
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as opened:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise WorkspaceError(f"{path!r} is not a regular file")
            data = opened.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise WorkspaceError(f"{path!r} is larger than {MAX_FILE_BYTES:,} bytes")
        return data

    def search(self, pattern: str, path: str = ".") -> SearchResult:
        """Lines below `path` that match `pattern`, without regard to case, within bounds of time and number.

        `pattern` is a regular expression; one that does not compile is searched for as plain text.
        """
        from punie_trace.agent.search import search_lines  # it loads `regex`, which only a search needs

        if not pattern.strip() or len(pattern) > MAX_PATTERN:
            raise WorkspaceError(f"the pattern must have 1 to {MAX_PATTERN} characters")
        names = self.files(path)
        found = search_lines(pattern, ((name, self._lines_or_none(name)) for name in names))
        return replace(found, cut=True) if len(names) >= MAX_FILES else found

    def definitions(self, name: str) -> list[Definition]:
        """Classes, functions and methods called `name` (`Class.method` too), in path order.

        Those of Python by its syntax, those of other languages by the form of their lines.
        """
        wanted = _JOINED.split(name.strip().removesuffix("()"))
        if not all(one.isidentifier() for one in wanted):
            raise WorkspaceError(f"{name!r} is not the name of a class or function")
        found: list[Definition] = []
        for path in self.files():
            suffix = PurePosixPath(path).suffix.lower()
            if suffix != ".py" and suffix not in SUFFIXES:
                continue
            lines = self._lines_or_none(path)
            places = find_definitions(lines, wanted) if suffix == ".py" else find_by_form(lines, wanted, suffix)
            found += [Definition(path, one.start, one.end, "\n".join(lines[one.start - 1 : one.end])) for one in places]
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


def _shown(path: Path) -> str:
    """A path as a text that can be sent: with '/', and with what is not UTF-8 as `\\xe9`."""
    return os.fsencode(path.as_posix()).decode("utf-8", errors="backslashreplace")


def _real(shown: str) -> str:
    """The path that `_shown` gave."""
    return _SHOWN_BYTE.sub(lambda byte: chr(0xDC00 + int(byte[1], 16)), shown)
