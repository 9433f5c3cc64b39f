"""What a reader must know before trusting the figures: differences in answers, warm caches, failures, a slow machine.

Each finding is one text that names the configuration, the count, and where known the cause. Nothing is hidden by being
left out of here, and nothing here changes a figure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from punie_trace.analysis.compare import unsteady_queries
from punie_trace.analysis.disturbances import disturbance_finding
from punie_trace.analysis.figures import ConfigurationFigures, Summary
from punie_trace.analysis.named_figures import failed_queries
from punie_trace.analysis.observations import Observation
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
    """All findings: how the run ended, what was noticed while measuring, then what the figures show."""
    return _joined(
        [
            *_ending(run.header, summary),
            *_ledgers(summary, observed),
            *run.header.findings,
            *_client(summary),
            *_machine(run.header),
            *_answers(run.header, summary, observed),
            *_lost_answers(summary),
            *_caches(summary),
            *_batching(run.header, summary),
            *_processes(summary),
            *_cut_off(summary),
            *_unsteady(observed),
            *_disturbed(run.header, summary),
            *_fallbacks(summary),
            *_not_judged(summary),
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
    planned = len(header.suite.queries) * header.rounds if header.planned is None else header.planned
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
            shared.setdefault(f"{bare} of {_queries(len(observations))}", []).append(name)
    if shared:
        counts = "; ".join(f"{', '.join(names)}: {count}" for count, names in shared.items())
        yield f"{counts} without spans, left out of the ledger figures"


def _client(summary: Summary) -> Iterator[str]:
    for name, figures in summary.configurations.items():
        client = figures.client
        if client is None:
            continue
        if client.bottleneck is not None:
            yield (
                f"{name}: the client itself was in the way ({client.bottleneck}): figures marked \u2020 may show it "
                "and not the server; use a lower rate or concurrency, the path 'http', or another machine"
            )
        if client.held:
            yield (
                f"{name}: {_queries(client.held)} waited because {client.most_in_flight} were in flight, as many as "
                "may be: the server did not keep up, and the wait is in client_queue"
            )
        if client.cut:
            yield f"{name}: {_queries(client.cut)} cut off at the end of the cool-down, and counted as timeouts"


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
                f"{comparison.other} got {_queries(len(lost))} wrong that {comparison.baseline} got right: "
                f"{_some(lost)}"
            )
        figures = summary.configurations[comparison.other]
        failed = failed_queries(figures)
        if failed and comparison.speed is not None:
            yield (
                f"{comparison.other}: {failed} of {figures.outcomes} queries ended in an error or a timeout; "
                "they are not in its times, which may look better for it"
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


def _processes(summary: Summary) -> Iterator[str]:
    """Of configurations that one process serves: its prompt cache is one as well."""
    named: set[str] = set()
    for name, figures in summary.configurations.items():
        others = [one for one in figures.memory_shared_with if summary.configurations.get(one)]
        if name in named or not others or not figures.tokens.cached:
            continue
        named.update(others)
        yield (
            f"{_some([name, *others])} share one server process and its prompt cache: whichever asks a query second "
            "finds its prefix warm. They take turns at being second, and times to first token are told apart by cold "
            "and warm; prompt_cache_size = 0 under [server] keeps it out of all"
        )


def _cut_off(summary: Summary) -> Iterator[str]:
    """One line, however many configurations it is true of and however their counts differ."""
    shared: dict[str, list[str]] = {}
    for name, figures in summary.configurations.items():
        cut = figures.finish_reasons.get("length", 0)
        if cut:
            every = sum(figures.finish_reasons.values())
            shared.setdefault(f"{cut} of {every}", []).append(name)
    if shared:
        counts = "; ".join(f"{count} of {', '.join(names)}" for count, names in shared.items())
        yield f"generations were cut off at max_tokens, and their times are those of the limit: {counts}"


def _unsteady(observed: Mapping[str, Sequence[Observation]]) -> Iterator[str]:
    found = {name: start_up(observations) for name, observations in observed.items()}
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
    finding = disturbance_finding(kept, header.rounds)
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
    for name, queries in unjudged.items():
        yield f"{name}: {_queries(len(queries))} not judged, outside accuracy: {_some(queries)}"
    for name, figures in summary.configurations.items():
        for evaluator, found in figures.evaluations.items():
            if found.failed:
                yield f"{name}: the evaluator {evaluator} failed {found.failed} times"


def _cached_share(figures: ConfigurationFigures | None) -> float | None:
    if figures is None or figures.tokens.cached is None or not figures.tokens.input:
        return None
    return figures.tokens.cached / figures.tokens.input


def _queries(count: int) -> str:
    return "1 query" if count == 1 else f"{count} queries"


def _some(names: Iterable[str]) -> str:
    """The first few names, and how many more there are."""
    listed = list(names)
    more = len(listed) - _MOST_NAMES
    return ", ".join(listed[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def first_line(text: str) -> str:
    """The first line that holds anything."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "no reason was recorded")
