"""The package's own columns about what served a configuration: energy, drafts, and which server it was.

As in `configuration_columns`, each is registered once, and nothing is computed or printed here.
"""

from __future__ import annotations

from functools import partial

from punie_trace.report.configuration_columns import column
from punie_trace.report.model import NONE, UNSEEN
from punie_trace.report.registry import ConfigurationRow
from punie_trace.report.units import memory, number, share

speculation = partial(column, "Speculation")
server = partial(column, "Server")
energy = partial(column, "Energy")


@energy("a right answer")
def _energy_of_a_right_answer(row: ConfigurationRow) -> str:
    one = row.figures.energy
    return NONE if one is None or one.per_right_answer is None else f"{number(one.per_right_answer, 1)} J"


@energy("1,000 output tokens")
def _energy_of_tokens(row: ConfigurationRow) -> str:
    one = row.figures.energy
    return NONE if one is None or one.per_1000_output_tokens is None else f"{number(one.per_1000_output_tokens, 1)} J"


@energy("power")
def _power(row: ConfigurationRow) -> str:
    one = row.figures.energy
    return NONE if one is None or one.watts is None else f"{number(one.watts, 1)} W"


@energy("GPU in use")
def _gpu(row: ConfigurationRow) -> str:
    one = row.figures.energy
    return NONE if one is None or one.gpu_utilization is None else share(one.gpu_utilization)


@energy("GPU memory")
def _gpu_memory(row: ConfigurationRow) -> str:
    one = row.figures.energy
    return NONE if one is None or one.gpu_memory_bytes is None else memory(one.gpu_memory_bytes)


@speculation("speed-up")
def _speed(row: ConfigurationRow) -> str:
    found = row.comparison.speed if row.comparison is not None else None
    return NONE if found is None else f"{found.estimate:.2f}x"


@speculation("acceptance")
def _acceptance(row: ConfigurationRow) -> str:
    one = row.figures.speculation
    if one is None:
        return UNSEEN if row.figures.num_draft_tokens is not None and row.figures.outcomes else NONE
    return NONE if one.acceptance is None else f"{one.acceptance:.1%}"


@speculation("length")
def _length(row: ConfigurationRow) -> str:
    one = row.figures.speculation
    return NONE if one is None or one.mean_length is None else number(one.mean_length, 2)


@speculation("K")
def _k(row: ConfigurationRow) -> str:
    one, fixed = row.figures.speculation, row.figures.num_draft_tokens
    if one is not None and one.mean_k is not None:
        return number(one.mean_k, 2)
    return NONE if fixed is None else str(fixed)


@speculation("drafter", numeric=False)
def _drafters(row: ConfigurationRow) -> str:
    one = row.figures.speculation
    return NONE if one is None or not one.drafters else ", ".join(one.drafters)


@speculation("fallback")
def _fallback(row: ConfigurationRow) -> str:
    one = row.figures.speculation
    return NONE if one is None else f"{sum(one.fallbacks.values())}/{one.generations}"


@server("kind", numeric=False)
def _kind(row: ConfigurationRow) -> str:
    return row.figures.kind or row.figures.path or NONE


@server("program", numeric=False)
def _program(row: ConfigurationRow) -> str:
    return row.figures.program or NONE


@server("fingerprint", numeric=False)
def _fingerprint(row: ConfigurationRow) -> str:
    return row.figures.fingerprint or NONE


@server("memory is", numeric=False)
def _memory_kind(row: ConfigurationRow) -> str:
    return row.figures.memory_kind or NONE


@server("batches", numeric=False)
def _batches(row: ConfigurationRow) -> str:
    return {True: "yes", False: "no", None: "not known"}[row.figures.batched]
