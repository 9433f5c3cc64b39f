"""Objects of the user's own code by name: `package.module:name`, or `path/file.py:name`.

What stands before the colon is imported as Python would from the current folder; nothing is run beyond that.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from pathlib import Path

from punie_trace.errors import PunieTraceError, nearest


def load_object(reference: str, what: str, error: type[PunieTraceError]) -> object:
    """The object that `reference` names. `what` is what it should be, for messages ('an evaluator').

    Raises `error` that says what is wrong: no colon, no such module or file, an import that raised, no such name.
    """
    source, colon, name = reference.partition(":")
    if reference[1:3] in (":\\", ":/"):  # a drive of Windows
        source, colon, name = reference.rpartition(":")
    if not (source and colon and name):
        raise error(f"{reference!r} names no {what}: write it as 'package.module:Name' or 'path/file.py:Name'")
    found = _import_file(source, what, error) if source.endswith(".py") else _import_module(source, what, error)
    for part in name.split("."):
        if not hasattr(found, part):
            known = [one for one in vars(found) if not one.startswith("_")] if hasattr(found, "__dict__") else []
            raise error(f"there is no {part!r} in {source} ({what} {reference!r}); {nearest(part, known)}")
        found = getattr(found, part)
    return found


def import_from(folders: Iterable[Path]) -> None:
    """Let modules be found in `folders`, before any others, as they are for a script that lies there."""
    for folder in reversed([str(folder.resolve()) for folder in folders]):
        if folder not in sys.path:
            sys.path.insert(0, folder)


def _import_file(source: str, what: str, error: type[PunieTraceError]) -> object:
    path = Path(source).expanduser()
    if not path.is_file():
        raise error(f"there is no file {source!r}, which should hold the {what}; check the path")
    import_from([path.parent])
    return _import_module(path.stem, what, error, source)


def _import_module(module: str, what: str, error: type[PunieTraceError], source: str | None = None) -> object:
    import_from([Path.cwd()])
    shown = source or module
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as problem:
        missing = problem.name or ""
        if missing == module or module.startswith(f"{missing}."):
            raise error(
                f"there is no module {module!r}, which should hold the {what}; check its name, and that it can be "
                "imported from the current folder"
            ) from problem
        raise error(f"{shown} cannot be imported: it needs {missing!r}, which is not installed") from problem
    except (Exception, SystemExit) as problem:
        raise error(f"{shown} cannot be imported: {type(problem).__name__}: {problem}") from problem
    came_from = Path(str(getattr(found, "__file__", ""))).resolve()
    if source is not None and came_from != Path(source).expanduser().resolve():
        raise error(f"{source} cannot be imported: another module is called {module!r} already; rename the file")
    return found
