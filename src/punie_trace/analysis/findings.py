"""What a reader must know before trusting the figures: differences in answers, warm caches, failures, a slow machine.

Each finding is one text that names the configuration, the count, and where known the cause. Nothing is hidden by being
left out of here, and nothing here changes a figure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from punie_trace.analysis.agent_findings import agent_findings
from punie_trace.analysis.asks import forgets
from punie_trace.analysis.client_findings import client_findings, descriptor_findings, left_open_findings, queries
from punie_trace.analysis.compare import unsteady_queries
from punie_trace.analysis.disturbances import disturbance_finding
from punie_trace.analysis.figures import ConfigurationFigures, Summary
from punie_trace.analysis.length_findings import cut_off_findings, too_long_findings
from punie_trace.analysis.memory_gain import remembers
from punie_trace.analysis.named_figures import comparison_of, failed_queries
from punie_trace.analysis.observations import Observation
from punie_trace.analysis.quick import quick_finding
from punie_trace.analysis.salt_findings import salt_findings, salted
from punie_trace.analysis.served_by import MLX_KINDS, settings_of
from punie_trace.analysis.steady import start_up
from punie_trace.runs.header import ConfigurationRecord, RunHeader
from punie_trace.runs.reader import RunRecord

_MOST_NAMES = 3
_FALLBACK_MATTERS = 0.10
"""Share of the generations that may fall back to plain decoding before it is said."""
_CACHE_MATTERS = 0.10
"""Share of the input tokens by which cached ones may differ before it is said."""

PROMPT_CACHE_DEFECT = (
    "known in mlx-lm: with a draft model its prompt cache is one token off after a turn whose last token came from the "
    "target, and the next turn of the conversation gets other logits (see docs/findings.md)"
)


def find(run: RunRecord, summary: Summary, observed: Mapping[str, Sequence[Observation]]) -> tuple[str, ...]:
    """All findings, the gravest first: what is missing, what is wrong, what makes a figure mean something else."""
    return _joined(
        [
            *quick_finding(run.header, summary),
            *_ending(run.header, summary),
            *_ledgers(summary, observed),
            *_lost_answers(summary),
            *_errors(summary),
            *client_findings(summary),
            *descriptor_findings(observed),
            *left_open_findings(observed),
            *_machine(run.header),
            *_memory(run.header, summary),
            *_nothing_first(summary),
            *run.header.findings,
            *_answers(run.header, summary, observed),
            *agent_findings(summary),
            *cut_off_findings(summary),
            *too_long_findings(run.header, observed),
            *_batching(run.header, summary),
            *_caches(summary),
            *_processes(run.header, summary),
            *salt_findings(run.header, observed),
            *_disturbed(run.header, summary),
            *_unsteady(summary, observed),
            *_not_judged(summary),
            *_fallbacks(summary),
        ],
        list(summary.configurations),
    )


def _joined(findings: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """Those that say the same of several configurations as one, in the place of the first."""
    of: dict[tuple[str, str], list[str]] = {}
    for finding in findings:
        head, mark, rest = finding.partition(" ")
        name = head.removesuffix(":")
        known = of.setdefault((head.removeprefix(name) + mark + rest, "") if name in names else ("", finding), [])
        if name in names and name not in known:
            known.append(name)
    return tuple(", ".join(known) + rest if known else whole for (rest, whole), known in of.items())


def _ending(header: RunHeader, summary: Summary) -> Iterator[str]:
    for name, reason in header.failures.items():
        yield f"{name} failed: {first_line(reason)}"
    # Of a run that stops by itself: its rounds up to now.
    of_rounds = sum(1 if query.once else header.rounds for query in header.suite.queries)
    planned = of_rounds if header.planned is None else header.planned
    short = [
        f"{name} {figures.outcomes} of {planned}"
        for name, figures in summary.configurations.items()
        if figures.outcomes < planned and figures.failure is None
    ]
    how = {
        "running": "the run did not reach its end (it was killed, or is still running)",
        "ended-early": "the run ended early",
        "interrupted": "the run was interrupted",
        "done": "the run is done, yet queries are missing",
    }[header.status]
    if header.status != "done" or short:
        yield f"{how}: queries measured: {', '.join(short)}" if short else how


def _ledgers(summary: Summary, observed: Mapping[str, Sequence[Observation]]) -> Iterator[str]:
    for error in summary.ledger_errors[:_MOST_NAMES]:
        yield f"a ledger does not close, and its query is left out of the ledger figures: {error}"
    if more := summary.ledger_errors[_MOST_NAMES:]:
        yield f"{len(more)} more ledgers do not close, and are left out in the same way; summary.json names them all"
    shared: dict[str, list[str]] = {}
    for name, observations in observed.items():
        bare = sum(one.ledger is None and one.ledger_error is None for one in observations)
        if bare:
            shared.setdefault(f"{bare} of {queries(len(observations))}", []).append(name)
    if shared:
        counts = "; ".join(f"{', '.join(names)}: {count}" for count, names in shared.items())
        yield f"{counts} without spans, left out of the ledger figures"


def _machine(header: RunHeader) -> Iterator[str]:
    slow = [name for name, server in header.servers.items() if server.blas and "reference" in server.blas.lower()]
    if slow and not any("reference BLAS" in finding for finding in header.findings):
        yield (
            f"{_some(slow)} computed with the reference BLAS, which is 10 to 100 times slower than OpenBLAS on fp32: "
            "install OpenBLAS (Debian: libopenblas0-pthread) before drawing conclusions from these times"
        )


def _answers(header: RunHeader, summary: Summary, observed: Mapping[str, Sequence[Observation]]) -> Iterator[str]:
    unsteady = set(unsteady_queries(observed.get(summary.baseline or "", ())))
    for name, figures in summary.configurations.items():
        same = figures.answers_identical_to_baseline
        if same is None or not same.different:
            continue
        record = header.configurations.get(name)
        at = f" at temperature {record.temperature:g}" if record and record.temperature is not None else ""
        text = (
            f"{name} answered {len(same.different)} of {same.of} queries differently from {summary.baseline}{at} "
            f"({_some(same.different)})"
        )
        if unsteady.issuperset(same.different):
            yield f"{text}; {summary.baseline} itself varied there from round to round"
        elif record is not None and record.kind == "mlx_lm" and record.draft_model:
            yield f"{text}; {PROMPT_CACHE_DEFECT}"
        else:
            yield text
    if unsteady:
        yield f"{summary.baseline} itself answered differently from round to round: {_some(sorted(unsteady))}"


def _lost_answers(summary: Summary) -> Iterator[str]:
    for comparison in summary.comparisons:
        if comparison.accuracy is not None and comparison.accuracy.lost:
            lost = comparison.accuracy.lost
            yield (
                f"{comparison.other} got {queries(len(lost))} wrong that {comparison.baseline} got right: "
                f"{_some(lost)}; read both answers on the page before taking its speed"
            )


def _errors(summary: Summary) -> Iterator[str]:
    for name, figures in summary.configurations.items():
        failed = failed_queries(figures)
        if failed:
            why = next((problem.error for problem in figures.problems if problem.error), None)
            first = f" (the first: {first_line(why)})" if why else ""
            yield (
                f"{name}: {failed} of {figures.outcomes} queries ended in an error or a timeout{first}; "
                "they are not in its times, which may look better for it"
            )


def _memory(header: RunHeader, summary: Summary) -> Iterator[str]:
    """Where asking again is faster, or slower, by more than chance; and in any case where a server is to remember."""
    for name, figures in summary.configurations.items():
        again = figures.asked_again
        if again is None or again.gain is None:
            continue
        gain = again.gain
        bounds = "" if gain.low is None or gain.high is None else f" ({gain.low:.2f}-{gain.high:.2f})"
        if not remembers(again):
            if settings_of(header, name).get("memory") == "server":
                yield (
                    f"{name} keeps what it was asked (memory = server): the {again.queries} questions that came again "
                    f"were answered {gain.value:.2f}x{bounds} as fast as the first time, which may be chance; "
                    "speed-ups are of first asks only" + _again(summary, name)
                )
            continue
        yield (
            f"{name} answers a question that it was asked before {gain.value:.2f}x{bounds} as fast as the first time: "
            "that is memory and not speed, so speed-ups and verdicts are of first asks only" + _again(summary, name)
        )


def _again(summary: Summary, name: str) -> str:
    one = comparison_of(summary, name)
    if one is None or one.speed_again is None:
        return ""
    again = one.speed_again
    bounds = "" if again.low is None or again.high is None else f" ({again.low:.2f}-{again.high:.2f})"
    return f"; asked again it is {again.value:.2f}x{bounds} as fast as {one.baseline}"


def _nothing_first(summary: Summary) -> Iterator[str]:
    """Of configurations that were asked nothing first: their rounds show what is remembered, and nothing else."""
    for one in summary.comparisons:
        if one.speed is None and one.speed_again is not None:
            yield (
                f"{one.other}: every question had been asked of its server or of {one.baseline}'s before, so nothing "
                "can be told of its speed: ask more questions, give each configuration a server of its own, or let "
                "servers forget"
            )


def _caches(summary: Summary) -> Iterator[str]:
    base = summary.configurations.get(summary.baseline or "")
    known = _cached_share(base)
    if known is None:
        return
    for name, figures in summary.configurations.items():
        share = _cached_share(figures)
        if share is not None and abs(share - known) > _CACHE_MATTERS:
            yield (
                f"warm prefixes differ: {share:.0%} of the input tokens of {name} came from the server's prompt cache, "
                f"{known:.0%} in {summary.baseline}; part of the difference in time is the cache's"
            )


def _batching(header: RunHeader, summary: Summary) -> Iterator[str]:
    if header.concurrency == 1:
        return
    served = {name: batched(header, record) for name, record in header.configurations.items()}
    base = served.get(summary.baseline or "")
    serial = [name for name, value in served.items() if base and value is False]
    if serial:
        yield (
            f"at concurrency {header.concurrency} {summary.baseline} was served in batches and {_some(serial)} one "
            "request at a time: this compares batching with none; add an unbatched baseline"
        )


def _processes(header: RunHeader, summary: Summary) -> Iterator[str]:
    """Of configurations that one process serves: what it remembers is one as well."""
    named: set[str] = set()
    for name, figures in summary.configurations.items():
        shared = [one for one in figures.memory_shared_with if not salted(header, one)]
        others = [one for one in shared if summary.configurations.get(one)]
        if salted(header, name) or name in named or not others or not figures.tokens.cached or forgets(header, name):
            continue
        named.update(others)
        remedy = "; prompt_cache_size = 0 under [server] keeps it out of all" if figures.kind in MLX_KINDS else ""
        yield (
            f"{_some([name, *others])} share one server process and its prompt cache: whichever asks a question second "
            f"finds its prefix warm. Only first asks count for speed, which are fewer for each of them{remedy}"
        )


def _unsteady(summary: Summary, observed: Mapping[str, Sequence[Observation]]) -> Iterator[str]:
    """A slow start; where a server may remember, its first asks may be slow for that reason, and are left aside."""
    remembering = {name for name, figures in summary.configurations.items() if figures.asked_again is not None}
    found = {
        name: start_up([one for one in observations if one.ask.before] if name in remembering else observations)
        for name, observations in observed.items()
    }
    for name, one in found.items():
        if one is not None:
            yield (
                f"{name} had not settled: its first {one.what} took {one.factor:.2f}x the time of the later ones "
                "(MSER rule), and is in its figures; warm_up asks more queries first"
            )


def _disturbed(header: RunHeader, summary: Summary) -> Iterator[str]:
    left_out = header.left_out_rounds
    if left_out:
        numbers = ", ".join(map(str, left_out))
        yield f"disturbed, asked again and left out of every figure: round {numbers}"
    kept = {number: why for number, why in summary.disturbed_rounds.items() if number not in left_out}
    finding = disturbance_finding(kept, header.rounds, repeatable=header.load is None)
    if finding is not None:
        yield finding


def _fallbacks(summary: Summary) -> Iterator[str]:
    for name, figures in summary.configurations.items():
        one = figures.speculation
        for reason, count in (one.fallbacks if one is not None else {}).items():
            if one is not None and count > _FALLBACK_MATTERS * one.generations:
                share = f"{count} of {one.generations} generations"
                yield f"{name}: {share} drafted nothing, or no more: {first_line(reason)}"


def batched(header: RunHeader, record: ConfigurationRecord) -> bool | None:
    """Whether the server of a configuration takes several requests into one batch; None where that is not known."""
    server = header.servers.get(record.server or "")
    if server is not None and server.batched is not None:
        return server.batched
    # mlx_lm.server batches unless there is a draft model.
    return record.draft_model is None if record.kind == "mlx_lm" else None


def _not_judged(summary: Summary) -> Iterator[str]:
    unjudged = {name: figures.not_judged for name, figures in summary.configurations.items() if figures.not_judged}
    for name, names in unjudged.items():
        yield (
            f"{name}: {queries(len(names))} not judged, outside accuracy: {_some(names)}; the suite may "
            "say what is right"
        )
    for name, figures in summary.configurations.items():
        for evaluator, found in figures.evaluations.items():
            if found.failed:
                yield f"{name}: the evaluator {evaluator} failed {found.failed} times"


def _cached_share(figures: ConfigurationFigures | None) -> float | None:
    if figures is None or figures.tokens.cached is None or not figures.tokens.input:
        return None
    return figures.tokens.cached / figures.tokens.input


def _some(names: Iterable[str]) -> str:
    """The first few names, and how many more there are."""
    listed = list(names)
    more = len(listed) - _MOST_NAMES
    return ", ".join(listed[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def first_line(text: str) -> str:
    """The first line that holds anything."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "no reason was recorded")
