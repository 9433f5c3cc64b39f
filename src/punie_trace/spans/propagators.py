"""Whether the propagators that the environment names are installed: OpenTelemetry refuses to be imported where not.

Which of them are used is nothing to a measurement: its transport writes `traceparent` itself. Nothing is set here.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from itertools import takewhile
from typing import Final

from punie_trace.errors import ConfigurationError

VARIABLE: Final = "OTEL_PROPAGATORS"
_GROUP: Final = "opentelemetry_propagator"
_OFF: Final = "none"


def check_propagators(environ: Mapping[str, str]) -> None:
    """That each name in `OTEL_PROPAGATORS` is installed.

    Raises `ConfigurationError` with the names that are not: PydanticAI imports what would fail on them, in the midst of
    a run. The names are separated by commas, as in OpenTelemetry's environment variable specification.
    """
    names = [name.strip() for name in environ[VARIABLE].split(",")] if environ.get(VARIABLE) else []
    read = list(takewhile(lambda name: name.lower() != _OFF, names))  # nothing behind it is looked at
    installed = {point.name for point in entry_points(group=_GROUP)}
    if missing := [name for name in read if name not in installed]:
        known = ",".join(name for name in read if name in installed) or "tracecontext,baggage"
        raise ConfigurationError(
            f"{VARIABLE} in the environment names {', '.join(map(repr, missing))}, which is not installed here, and "
            f"OpenTelemetry refuses to be imported then: set {VARIABLE}={known} for this command, or install "
            f"{' and '.join(f'opentelemetry-propagator-{name}' for name in missing)}"
        )
