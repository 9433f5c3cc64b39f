"""Configurations of one run against a baseline of the user's choice, or a run against an earlier one.

Across runs a configuration is paired with its namesake, or all with one `baseline` of the first run. Pairs are of the
same query; the rounds of two runs have nothing in common but their number, so that a pair of rounds is a pair of chance
draws, which is fair, and the interval is over queries as it always is. What it cannot hold is what changed between the
two runs besides what is compared: that is said, and is why one run that interleaves both is better evidence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from punie_trace.analysis.asks import forgets
from punie_trace.analysis.comparable import (
    Difference,
    another_server,
    configuration_differences,
    header_differences,
    shared_queries,
)
from punie_trace.analysis.compare import Pair, compare_pairs, identity
from punie_trace.analysis.figure_kinds import Figures
from punie_trace.analysis.figures import Summary
from punie_trace.analysis.gates import Gate, GateResult, check_gates
from punie_trace.analysis.observations import Observation, observe
from punie_trace.analysis.summary import summarize
from punie_trace.errors import ConfigurationError, nearest
from punie_trace.runs.header import unique
from punie_trace.runs.reader import RunRecord

OTHER_DAY = (
    "the two runs were made one after the other: heat, other load and whatever else differed between them is in the "
    "speed-up and not in its interval; one run with both configurations tells more"
)


class Contrast(Figures):
    """What `compare` finds. `reference` is the summary that holds the baselines: `summary` itself within one run."""

    reference: Summary
    summary: Summary
    """Its comparisons are with `reference`; its `baseline` is None where that is another run."""
    differences: tuple[Difference, ...] = ()
    remarks: tuple[str, ...] = ()
    gates: tuple[GateResult, ...] = ()
    across_runs: bool = False
    warning: str = ""
    """What must be known before the first figure: that a name means another server in the second run."""

    @property
    def gates_hold(self) -> bool:
        """Whether every gate holds; so too where there is none."""
        return all(gate.holds for gate in self.gates)


def contrast_within(run: RunRecord, baseline: str | None = None, gates: Sequence[Gate] = ()) -> Contrast:
    """The configurations of one run against `baseline`, the run's own if None.

    Raises `ConfigurationError` where there is no such configuration, or a gate names none that is there.
    """
    if baseline is not None:
        _known(run, baseline)
        run = replace(run, header=run.header.model_copy(update={"baseline": baseline}))
    summary = summarize(run)
    pairs = [(summary.baseline, one.other) for one in summary.comparisons if summary.baseline is not None]
    return Contrast(
        reference=summary,
        summary=summary,
        differences=configuration_differences(run.header, run.header, pairs),
        gates=check_gates(gates, summary),
    )


def contrast_across(
    first: RunRecord, second: RunRecord, baseline: str | None = None, gates: Sequence[Gate] = ()
) -> Contrast:
    """The second run's configurations against their namesakes in the first, or all against its `baseline`.

    Gates are about the second run; what they compare, they compare with the first. Raises `ConfigurationError` where
    the runs cannot be compared, or a name is not there.
    """
    queries = shared_queries(first.header, second.header)
    if baseline is not None:
        _known(first, baseline)
    before, after = _only(observe(first), queries), _only(observe(second), queries)
    partners = {name: baseline or name for name in after if (baseline or name) in before}
    for run, observed in ((first, before), (second, after)):
        if not observed:
            raise ConfigurationError(f"{run.folder}: no configuration was measured, so there is nothing to compare")
    if not partners:
        raise ConfigurationError(
            f"{first.header.id} and {second.header.id} have no configuration of the same name ({', '.join(before)} "
            f"and {', '.join(after)}): say with --baseline which one of the first to compare with"
        )
    reference, summary = summarize(first), summarize(second)
    comparisons = compare_pairs(
        [
            Pair(
                partner,
                before[partner],
                name,
                after[name],
                forgets(first.header, partner) and forgets(second.header, name),
            )
            for name, partner in partners.items()
            if before[partner]
        ]
    )
    configurations = {
        name: figures.model_copy(
            update={
                "answers_identical_to_baseline": identity(before[partners[name]], after[name])
                if name in partners
                else None
            }
        )
        for name, figures in summary.configurations.items()
    }
    changes = {"baseline": None, "comparisons": comparisons, "configurations": configurations}
    summary = summary.model_copy(update=changes)
    differences = header_differences(first.header, second.header, [(one, name) for name, one in partners.items()])
    return Contrast(
        reference=reference,
        summary=summary,
        differences=differences,
        warning="; ".join(filter(None, (another_server(differences, *pair) for pair in partners.items()))),
        remarks=_remarks(first, second, queries, partners),
        gates=check_gates(gates, summary),
        across_runs=True,
    )


def _remarks(
    first: RunRecord, second: RunRecord, queries: frozenset[str], partners: Mapping[str, str]
) -> tuple[str, ...]:
    remarks = [OTHER_DAY]
    remarks.extend(
        f"{run.header.id} stopped when its own comparisons were decided: that these intervals, of other comparisons, "
        "hold as often as they say is not certain"
        for run in (first, second)
        if run.header.stopping is not None
    )
    asked = unique(query.name for run in (first, second) for query in run.header.suite.queries)
    if len(queries) < len(asked):
        remarks.append(f"compared are the {len(queries)} queries that both runs asked, of {len(asked)} in all")
    alone = [name for name in first.header.names if name not in partners.values()]
    if alone:
        remarks.append(f"only in {first.header.id}, and not compared: {', '.join(alone)}")
    fresh = [name for name in second.header.names if name not in partners]
    if fresh:
        remarks.append(f"only in {second.header.id}, and not compared: {', '.join(fresh)}")
    return tuple(remarks)


def _only(observed: Mapping[str, Sequence[Observation]], queries: frozenset[str]) -> dict[str, list[Observation]]:
    return {name: [one for one in all_ if one.outcome.query in queries] for name, all_ in observed.items()}


def _known(run: RunRecord, name: str) -> None:
    if name not in run.header.names:
        known = nearest(name, run.header.names)
        raise ConfigurationError(f"--baseline: {run.header.id} has no configuration {name!r}; {known}")
