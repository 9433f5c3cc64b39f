"""One line of `conditions.jsonl` or `energy.jsonl`, read back: a sample of the machine, or of its energy counters.

A sample holds times and numbers that something can be computed from; any other line is an error, and whoever reads the
file does without. Nothing here writes or computes.
"""

from __future__ import annotations

import json
from typing import Final

from pydantic import TypeAdapter

from punie_trace.records import EnergySample, MachineSample
from punie_trace.runs.outcome_line import TIME_LIMIT

_LARGEST: Final = 1e18
"""No count of bytes, joules or watts that a machine tells is larger in size."""
_MACHINE: Final = TypeAdapter(MachineSample)
_MORE_ENERGY: Final = ("watts", "gpu_utilization", "gpu_memory_bytes")


def decode_machine_sample(line: str) -> MachineSample:
    """What else the machine did for a while. Raises `ValueError` that says what is wrong."""
    sample = _MACHINE.validate_json(line, strict=True)  # a ValidationError is a ValueError
    if not 0 <= sample.start_ns <= sample.end_ns < TIME_LIMIT:
        raise ValueError("'start_ns' and 'end_ns' are not times one after another")
    for name in ("other_cpu", "swapped_bytes", "memory_pressure"):
        value = getattr(sample, name)
        if value is not None and not _is_measured(value):
            raise ValueError(f"{name!r} is no number that can be measured")
    return sample


def decode_energy_sample(line: str) -> EnergySample:
    """The energy counters at one moment. Raises `ValueError`; of what may be left out, what is no number is."""
    try:
        values = json.loads(line)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(values, dict) or not _is_measured(joules := values.get("joules")):
        raise ValueError("no sample of energy: it needs a time and a counter")
    at_ns = values.get("at_ns")
    if type(at_ns) is not int or not 0 <= at_ns < TIME_LIMIT:
        raise ValueError("no sample of energy: 'at_ns' is no time")
    more = {name: values[name] for name in _MORE_ENERGY if _is_measured(values.get(name))}
    return EnergySample(at_ns, float(joules), **more)


def _is_measured(value: object) -> bool:
    """Whether a value is a number, finite and of a size that a computation bears."""
    return isinstance(value, int | float) and type(value) is not bool and abs(value) <= _LARGEST  # NaN is not
