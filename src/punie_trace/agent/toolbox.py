"""The four tools, as the model sees them: plain text in, plain text out, never more than a set number of characters.

The first line of each result is a summary, so that a model which reads only the start still knows how much there was.
An error is returned as text that begins with 'error:', because the model can act on it; nothing is raised at the agent.
The shipped model was trained on these names, descriptions and formats.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Callable
from pathlib import PurePosixPath

from punie_trace.agent.workspace import MAX_FILES, Workspace, WorkspaceError
from punie_trace.spans.activity import ERROR_PREFIX

MAX_LINE = 120
_CUT = f"; of the files, no more than {MAX_FILES} were looked at"


class Toolbox:
    """Tools over one workspace, their results cut at `max_chars` characters and `max_lines` lines."""

    def __init__(self, workspace: Workspace, *, max_chars: int = 8000, max_lines: int = 100) -> None:
        self.workspace = workspace
        self.max_chars = max_chars
        self.max_lines = max_lines

    def search_code(self, pattern: str, path: str = ".") -> str:
        """Search all files for a text or regular expression.

        Args:
            pattern: What to look for, without regard to case.
            path: The folder or file to search.
        """

        def result() -> str:
            found = self.workspace.search(pattern, path)
            stopped = "; the search was stopped: it took too long" if found.stopped else ""
            stopped += _CUT if found.cut else ""
            if not found.total:
                return f"no match for {pattern!r}{stopped}"
            lines: list[str] = []
            for path_found, in_file in itertools.groupby(found.matches, key=lambda match: match.path):
                lines += [path_found, *(f"{m.line}: {m.text.strip()[:MAX_LINE]}" for m in in_file)]
            unseen = found.total - len(found.matches)
            summary = f"{_count(found.total, 'match', 'matches')} in {_count(found.files, 'file')}{stopped}"
            return self._limited(summary, lines, unseen)

        return self._answer(result)

    def read_file(self, path: str) -> str:
        """Read one file.

        Args:
            path: The file to read.
        """

        def result() -> str:
            lines = self.workspace.read(path)
            return self._limited(f"{path}, {_count(len(lines), 'line')}", lines)

        return self._answer(result, near=path)

    def list_files(self, path: str = ".") -> str:
        """List the files in a folder and below it.

        Args:
            path: The folder to list.
        """

        def result() -> str:
            found = self.workspace.files(path)
            more = " or more" if len(found) >= MAX_FILES else ""
            return self._limited(f"{_count(len(found), 'file')}{more} in {path}", found)

        return self._answer(result, near=path)

    def find_definition(self, name: str) -> str:
        """Show the source of a class or function.

        Args:
            name: The name of the class or function.
        """

        def result() -> str:
            found = self.workspace.definitions(name)
            if not found:
                return f"no definition of {name!r}{_CUT if len(self.workspace.files()) >= MAX_FILES else ''}"
            first = found[0]
            more = f" ({len(found) - 1} more)" if len(found) > 1 else ""
            return self._limited(f"{first.path}:{first.start}-{first.end}{more}", first.source.splitlines())

        return self._answer(result)

    def functions(self) -> dict[str, Callable[..., str]]:
        """Each tool's name and the function behind it, in the order in which the model is told of them."""
        return {
            "search_code": self.search_code,
            "read_file": self.read_file,
            "list_files": self.list_files,
            "find_definition": self.find_definition,
        }

    def _answer(self, result: Callable[[], str], near: str = "") -> str:
        try:
            return result()
        except WorkspaceError as error:
            hint = self._nearest(near) if near else ""
            return f"{ERROR_PREFIX}{error}{hint}"
        except OSError as error:
            return f"{ERROR_PREFIX}cannot read it: {error.strerror or error}"
        except (MemoryError, RecursionError):
            return f"{ERROR_PREFIX}this is more than the tool can work through"

    def _nearest(self, path: str) -> str:
        known = self.workspace.files()
        wanted = PurePosixPath(path).name
        same_name = [k for k in known if PurePosixPath(k).name == wanted]
        close = same_name or difflib.get_close_matches(path, known, n=1, cutoff=0.5)
        return f"; the nearest is {close[0]!r}" if close else ""

    def _limited(self, summary: str, lines: list[str], unseen: int = 0) -> str:
        kept: list[str] = []
        used = len(summary)
        for line in lines:
            used += len(line) + 1
            if len(kept) == self.max_lines or used > self.max_chars:
                return "\n".join([summary, *kept, f"({_count(len(lines) - len(kept) + unseen, 'more line')})"])
            kept.append(line)
        return "\n".join([summary, *kept])


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
