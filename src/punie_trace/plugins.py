"""What other packages add: modules that register drafters, columns and formats, found by their entry points.

    [project.entry-points."punie_trace.plugins"]
    echo = "my_package.punie_plugin"

The command line imports each such module before it does anything, in servers of its own as well. Who uses the library
imports what it wants. Registering itself is `speculative.registry`'s and `report.registry`'s.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Final

GROUP: Final = "punie_trace.plugins"
_SHOWN = 200  # characters of another package's error


def load_plugins() -> tuple[str, ...]:
    """Imports the plug-ins of all installed packages; returns a line for each that could not be imported, and why.

    One that fails is left out, whatever it raises: a package that is merely installed must not end another's run.
    """
    failed = []
    for plugin in sorted(entry_points(group=GROUP), key=lambda one: one.name):
        try:
            plugin.load()
        except Exception as error:
            failed.append(
                f"the plug-in {plugin.name!r} of {_package(plugin)} is left out: importing {plugin.value} failed "
                f"({type(error).__name__}: {str(error)[:_SHOWN]})"
            )
    return tuple(failed)


def _package(plugin: EntryPoint) -> str:
    return f"the package {plugin.dist.name}" if plugin.dist is not None else "an unnamed package"
