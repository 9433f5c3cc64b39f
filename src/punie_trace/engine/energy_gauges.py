"""What a run's answers cost in energy, as values for the metrics of its configurations.

They are figures of a whole run, which no single query's spans can tell: counters are the machine's, and are read
between a configuration's first query and its last. So they are known when the run is over, from its folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from punie_trace.analysis.energy import EnergyFigures, energy_by_configuration
from punie_trace.errors import RunFolderError
from punie_trace.runs.reader import ENERGY_FILE, RunRecord, read_run
from punie_trace.spans import names
from punie_trace.spans.metrics import GaugeValue


def energy_gauges(run: RunRecord) -> tuple[GaugeValue, ...]:
    """Joules and the GPU's use by configuration; empty where nothing told them, or they cannot be told apart."""
    if not run.energy:
        return ()
    found = energy_by_configuration(run.outcomes, run.energy)
    return () if isinstance(found, str) else tuple(_values(run, found))


def energy_gauges_of(folder: Path) -> Sequence[GaugeValue]:
    """The same of a run that has just ended; a folder without readings is not read, which costs a large run seconds."""
    if not (folder / ENERGY_FILE).exists():
        return ()
    try:
        return energy_gauges(read_run(folder))
    except RunFolderError:  # whoever reports on the run says so; metrics are no reason to end it otherwise
        return ()


def _values(run: RunRecord, found: dict[str, EnergyFigures]) -> Iterator[GaugeValue]:
    for name, figures in found.items():
        record = run.header.configurations.get(name)
        path = record.path if record is not None else ""
        known = {
            names.METRIC_ENERGY_PER_RIGHT: figures.per_right_answer,
            names.METRIC_ENERGY_PER_TOKENS: figures.per_1000_output_tokens,
            names.METRIC_GPU_UTILIZATION: figures.gpu_utilization,
        }
        for metric, value in known.items():
            if value is not None:
                yield GaugeValue(metric, name, path, value)
