"""The gates of an experiment, read and checked against what will be measured, before anything is started."""

from __future__ import annotations

from collections.abc import Sequence

from punie_trace.analysis.gates import Gate, check_names, parse_gates


def choose_gates(
    texts: Sequence[str], measured: Sequence[str], offered: Sequence[str]
) -> tuple[tuple[Gate, ...], tuple[str, ...]]:
    """The gates to check at the end, and a note for each that asks about a configuration which is not measured now.

    `measured` are the configurations that are measured, `offered` all that the experiment has. Raises
    `ConfigurationError` for a gate that cannot be read, or that names a configuration which is not there.
    """
    gates = parse_gates(texts)
    if not gates:
        return (), ()
    every = [*offered, *(name for name in measured if name not in offered)]
    # The same rule as the header's: 'baseline' if there is one, else the first.
    check_names(gates, every, "baseline" if "baseline" in measured else next(iter(measured), None))
    left_out = [gate for gate in gates if gate.configuration in every and gate.configuration not in measured]
    notes = tuple(f"gate '{gate}' was not checked: --only leaves {gate.configuration} out" for gate in left_out)
    return tuple(gate for gate in gates if gate not in left_out), notes
