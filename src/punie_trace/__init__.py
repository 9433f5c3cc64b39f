"""punie_trace: where an LLM agent's seconds go, and which server configuration is really faster.

    from punie_trace import Experiment, measure

    run = measure(Experiment())
    print(run.compare("adaptive").speedup)

All that may be relied on is listed in `__all__`. Importing this package loads none of it: each name is loaded when it
is first used, so that neither mlx, numpy, transformers nor pydantic-ai is loaded before it is needed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.2.0"

if TYPE_CHECKING:
    from punie_trace.analysis.contrast import Contrast
    from punie_trace.analysis.figures import Comparison, ConfigurationFigures, SpeedFigures, Summary
    from punie_trace.analysis.gates import GateResult
    from punie_trace.engine.experiment import Configuration, Experiment
    from punie_trace.engine.progress import (
        ConfigurationFailed,
        Event,
        Noted,
        PhaseStarted,
        QueryEnded,
        RunPlanned,
        ServerChanged,
    )
    from punie_trace.engine.settings import AgentSettings, LoadSettings, Objectives
    from punie_trace.errors import (
        ConfigurationError,
        ExportError,
        IdentityError,
        LedgerError,
        ModelError,
        PunieTraceError,
        RunFolderError,
        ServerError,
        SuiteError,
        UnexpectedError,
    )
    from punie_trace.library import Interrupted, Run, compare, measure, measure_async, read_run
    from punie_trace.records import Outcome, Verdict

__all__ = [
    "AgentSettings",
    "Comparison",
    "Configuration",
    "ConfigurationError",
    "ConfigurationFailed",
    "ConfigurationFigures",
    "Contrast",
    "Event",
    "Experiment",
    "ExportError",
    "GateResult",
    "IdentityError",
    "Interrupted",
    "LedgerError",
    "LoadSettings",
    "ModelError",
    "Noted",
    "Objectives",
    "Outcome",
    "PhaseStarted",
    "PunieTraceError",
    "QueryEnded",
    "Run",
    "RunFolderError",
    "RunPlanned",
    "ServerChanged",
    "ServerError",
    "SpeedFigures",
    "SuiteError",
    "Summary",
    "UnexpectedError",
    "Verdict",
    "__version__",
    "compare",
    "measure",
    "measure_async",
    "read_run",
]

_HOMES = {
    "analysis.contrast": ("Contrast",),
    "analysis.figures": ("Comparison", "ConfigurationFigures", "SpeedFigures", "Summary"),
    "analysis.gates": ("GateResult",),
    "engine.experiment": ("Configuration", "Experiment"),
    "engine.settings": ("AgentSettings", "LoadSettings", "Objectives"),
    "engine.progress": (
        "ConfigurationFailed",
        "Event",
        "Noted",
        "PhaseStarted",
        "QueryEnded",
        "RunPlanned",
        "ServerChanged",
    ),
    "errors": (
        "ConfigurationError",
        "ExportError",
        "IdentityError",
        "LedgerError",
        "ModelError",
        "PunieTraceError",
        "RunFolderError",
        "ServerError",
        "SuiteError",
        "UnexpectedError",
    ),
    "library": ("Interrupted", "Run", "compare", "measure", "measure_async", "read_run"),
    "records": ("Outcome", "Verdict"),
}
"""Which module each name is loaded from."""
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
