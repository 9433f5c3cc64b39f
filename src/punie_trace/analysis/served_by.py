"""Who answered in each configuration, as the header has it: settings, program and version, and whether mlx ran.

Pure: headers only. What differs between two of them is said in `comparable`.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Final

from pydantic import JsonValue

from punie_trace.runs.header import RunHeader, ServerRecord

MLX_KINDS: Final = ("mlx_lm", "punie")
_MLX_PACKAGES: Final = ("mlx", "mlx-lm", "transformers")


def settings_of(header: RunHeader, configuration: str) -> Mapping[str, JsonValue]:
    """The configuration as it was resolved, by its keys; empty where the header does not hold it."""
    resolved = header.configuration.get("configurations")
    settings = resolved.get(configuration) if isinstance(resolved, dict) else None
    return settings if isinstance(settings, dict) else {}


def server_of(header: RunHeader, configuration: str) -> ServerRecord:
    """What is known of the server of a configuration; an empty record where there is none."""
    record = header.configurations.get(configuration)
    return header.servers.get(record.server or "", ServerRecord()) if record is not None else ServerRecord()


def program(header: RunHeader, configuration: str) -> str | None:
    """A command's argv, the address of a server that ran already, else the kind; with its version where it is known."""
    record = header.configurations.get(configuration)
    if record is None:
        return None
    settings = settings_of(header, configuration)
    what = settings.get("command") or settings.get("url") or record.kind or record.path
    named = shlex.join(map(str, what)) if isinstance(what, list) else str(what)
    version = server_of(header, configuration).identity.get("version")
    return f"{named} {version}" if isinstance(version, str) and version else named


def fingerprint(header: RunHeader, configuration: str) -> str | None:
    """What the server calls itself in its answers."""
    found = server_of(header, configuration).identity.get("fingerprint")
    return found if isinstance(found, str) and found else None


def versions_that_ran(header: RunHeader) -> dict[str, str]:
    """The versions of what took part: mlx's only where a configuration ran on it."""
    kinds = {record.kind for record in header.configurations.values()}
    paths = {record.path for record in header.configurations.values()}
    mlx = bool(kinds.intersection(MLX_KINDS)) or "inprocess" in paths or not header.configurations
    return {name: version for name, version in header.versions.items() if mlx or name not in _MLX_PACKAGES}
