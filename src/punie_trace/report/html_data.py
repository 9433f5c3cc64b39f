"""What the page's script shows on demand: a row for every query, and spans and texts of as many as a page can hold.

Both are JSON for data blocks of the page, in ASCII and without any character that could end such a block. A row is a
few numbers, so that tens of thousands open at once; of a larger run the page holds the slowest, the fastest and those
that are not right, each with its partners in the other configurations, and says so.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, zip_longest
from typing import Final

from punie_trace.analysis.critical_path import critical_path
from punie_trace.analysis.observations import Observation
from punie_trace.analysis.waterfall import MARKS, Bar, segment_of, waterfall
from punie_trace.records import JsonValue, Outcome, Verdict
from punie_trace.runs.reader import RunRecord
from punie_trace.spans import names
from punie_trace.spans.span import Span

MOST_ROWS: Final = 20_000
MOST_DETAILS: Final = 2_000
MOST_TEXT: Final = 8_000_000
"""Characters of texts and spans in a page, about."""
LONGEST_TEXT: Final = 6_000
MOST_SPANS: Final = 200
# A backslash that is meant, or a whole pair, which stays; else half of one.
_SURROGATES: Final = re.compile(r"(\\\\|\\ud[89ab]..\\ud[c-f]..)|\\ud[89a-f]..")
_SORTED: Final = json.JSONEncoder(sort_keys=True)
SEGMENTS: Final = ("query", "generation", "tool", "other")


@dataclass(frozen=True, slots=True)
class Embedded:
    """The two data blocks of a page, and how many queries each holds of how many."""

    rows: str
    details: str
    rows_held: int
    details_held: int
    of: int


def embed(
    run: RunRecord,
    observed: Mapping[str, Sequence[Observation]],
    *,
    most_rows: int = MOST_ROWS,
    most_details: int = MOST_DETAILS,
) -> Embedded:
    """The data of a run for the script of its page."""
    every = {one.outcome.seq: one for observations in observed.values() for one in observations}
    outcomes = [every[seq].outcome for seq in sorted(every)]
    shown = select(outcomes, most_rows)
    queries = {name: index for index, name in enumerate(dict.fromkeys(outcome.query for outcome in shown))}
    details, held = _details(run, _with_spans_first(run, shown, most_details), queries)
    return Embedded(
        rows=data_block(_rows([every[outcome.seq] for outcome in shown], list(observed), queries)),
        details=data_block(details),
        rows_held=len(shown),
        details_held=held,
        of=len(outcomes),
    )


def data_block(value: JsonValue) -> str:
    """JSON that may stand in a script element: no '<', '>' or '&', and ASCII throughout (so no U+2028 either).

    Half of a surrogate pair, which a model may well write and which is no character, becomes U+FFFD.
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    text = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    if "\\ud" not in text:
        return text  # not worth looking at every backslash of it
    return _SURROGATES.sub(lambda found: found[1] or "\\ufffd", text)


def select(outcomes: Sequence[Outcome], most: int) -> list[Outcome]:
    """All, or about `most` of them: in turn those of a query and round that is not right, a slow one, a fast one.

    What belongs to one query and round stays together, so that configurations can be compared side by side.
    """
    if len(outcomes) <= most:
        return list(outcomes)
    groups: dict[tuple[str, int], list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault((outcome.query, outcome.round), []).append(outcome)
    by_time = sorted(groups, key=lambda key: max(one.wall_ns for one in groups[key]))
    wrong = [key for key, group in groups.items() if any(one.verdict is not Verdict.CORRECT for one in group)]
    chosen: dict[int, Outcome] = {}
    for key in dict.fromkeys(_in_turn(wrong, list(reversed(by_time)), by_time)):
        if len(chosen) + len(groups[key]) > most:
            break
        chosen |= {outcome.seq: outcome for outcome in groups[key]}
    return [chosen[seq] for seq in sorted(chosen)]


def _with_spans_first(run: RunRecord, outcomes: Sequence[Outcome], most: int) -> list[Outcome]:
    """As `select`, of those that have spans: of a run too large to be read whole, only some do."""
    chosen = select([one for one in outcomes if one.trace_id in run.traces], most)
    bare = select([one for one in outcomes if one.trace_id not in run.traces], most - len(chosen))
    return sorted([*chosen, *bare], key=lambda one: one.seq)


def _in_turn(*lists: Sequence[tuple[str, int]]) -> Iterator[tuple[str, int]]:
    return (key for key in chain.from_iterable(zip_longest(*lists)) if key is not None)


def _rows(observations: Sequence[Observation], configurations: Sequence[str], queries: Mapping[str, int]) -> JsonValue:
    place = {name: index for index, name in enumerate(configurations)}
    verdicts = {verdict: index for index, verdict in enumerate(Verdict)}
    categories: dict[str, int] = {}
    of_query = {one.outcome.query: categories.setdefault(one.ask.category, len(categories)) for one in observations}
    outcomes = [one.outcome for one in observations]
    ledgers = [one.ledger for one in observations]
    columns: dict[str, JsonValue] = {
        "seq": [one.seq for one in outcomes],
        "round": [one.round for one in outcomes],
        "configuration": [place[one.configuration] for one in outcomes],
        "query": [queries[one.query] for one in outcomes],
        "verdict": [verdicts[one.verdict] for one in outcomes],
        "wall": [_us(one.wall_ns) for one in outcomes],
        "queue": [None if one is None else _us(one.client_queue_ns) for one in ledgers],
        "generation": [None if one is None else _us(one.generation_ns) for one in ledgers],
        "tool": [None if one is None else _us(one.tool_ns) for one in ledgers],
        "framework": [None if one is None else _us(one.framework_ns) for one in ledgers],
        "ttft": [_ttft(one) for one in observations],
        "input": [one.input_tokens for one in outcomes],
        "cached": [one.cached_tokens for one in outcomes],
        "output": [one.output_tokens for one in outcomes],
        "generations": [one.generations for one in outcomes],
        "calls": [len(one.tool_calls) for one in outcomes],
    }
    return {
        "configurations": list(configurations),
        "verdicts": [verdict.value for verdict in Verdict],
        "queries": list(queries),
        "categories": list(categories),
        "query_category": [of_query[name] for name in queries],
        "columns": columns,
    }


def _ttft(one: Observation) -> int | None:
    first = one.splits[0].first_chunk_ns if one.splits else None
    return None if first is None else _us(first)


def _details(run: RunRecord, outcomes: Sequence[Outcome], queries: Mapping[str, int]) -> tuple[JsonValue, int]:
    """Spans and texts of `outcomes`, the slowest first while the room lasts; and of how many they are."""
    names_of_spans: dict[str, int] = {}
    asked = {query.name: query.text for query in run.header.suite.queries}
    held: dict[str, JsonValue] = {}
    questions: dict[str, JsonValue] = {}
    room = MOST_TEXT
    for outcome in sorted(outcomes, key=lambda one: -one.wall_ns):
        spans = run.traces.get(outcome.trace_id, ())
        detail = _detail(outcome, spans, names_of_spans)
        room -= len(json.dumps(detail))
        if room < 0:
            break
        held[str(outcome.seq)] = detail
        if outcome.query in asked:
            questions[str(queries[outcome.query])] = clip(asked[outcome.query])
    return {
        "segments": list(SEGMENTS),
        "marks": list(MARKS),
        "names": list(names_of_spans),
        "questions": questions,
        "of": held,
    }, len(held)


def _detail(outcome: Outcome, spans: Sequence[Span], names_of_spans: dict[str, int]) -> JsonValue:
    bars = waterfall(spans)
    laid: list[JsonValue] = []
    for bar in bars[:MOST_SPANS]:
        marks: list[JsonValue] = [
            [MARKS.index(mark), _us(at - outcome.due_ns)] for mark, at in bar.marks if bar.segment == "generation"
        ]
        row: list[JsonValue] = [
            names_of_spans.setdefault(clip(bar.name, 200), len(names_of_spans)),
            SEGMENTS.index(bar.segment),
            bar.depth,
            _us(bar.start_ns - outcome.due_ns),
            _us(bar.end_ns - bar.start_ns),
        ]
        if marks or bar.error is not None:
            row.append(marks)
        if bar.error is not None:
            row.append(clip(bar.error, 500))
        laid.append(row)
    detail: dict[str, JsonValue] = {
        "spans": laid,
        "left_out": max(0, len(bars) - MOST_SPANS),
        "path": _path(outcome, spans, bars[:MOST_SPANS]),
        "answer": clip(_answer(outcome)),
        "calls": _calls(outcome, spans),
        # Texts are cut, and what is cut off may differ: these tell whether two queries were answered the same.
        "digests": [
            _digest([[call.name, call.arguments] for call in outcome.tool_calls]),
            _digest([turn.answer for turn in outcome.turns] or outcome.answer),
        ],
    }
    if outcome.error is not None:
        detail["error"] = clip(outcome.error)
    if outcome.served_model is not None:
        detail["model"] = clip(_without_home(outcome.served_model), 200)
    return detail


def _without_home(model: str) -> str:
    """A model's name; of a path the end, since a page is passed on and the rest tells of its maker's machine."""
    parts = model.split("/")
    return f".../{'/'.join(parts[-2:])}" if model.startswith("/") and len(parts) > 3 else model


def _answer(outcome: Outcome) -> str:
    """The answer; of a session what was answered in each turn, and what became of it."""
    if not outcome.turns:
        return outcome.answer
    return "\n\n".join(
        f"turn {number} ({turn.verdict}): {turn.answer}" for number, turn in enumerate(outcome.turns, start=1)
    )


def _path(outcome: Outcome, spans: Sequence[Span], bars: Sequence[Bar]) -> list[JsonValue]:
    """The stretches of the critical path one after another: the bar's place, start and length in us, each time."""
    places = {bar.span_id: place for place, bar in enumerate(bars)}
    path: list[JsonValue] = []
    for stretch in critical_path(spans):
        length = _us(stretch.end_ns - stretch.start_ns)
        if length and stretch.span.span_id in places:
            path += [places[stretch.span.span_id], _us(stretch.start_ns - outcome.due_ns), length]
    return path


def _calls(outcome: Outcome, spans: Iterable[Span]) -> list[JsonValue]:
    """Each executed call as name, arguments, whether it went well, and the result where its span holds one."""
    results: dict[str, list[str | None]] = {}
    for span in sorted(spans, key=lambda span: span.start_ns):
        if segment_of(span) == "tool":
            result = span.attributes.get(names.GEN_AI_TOOL_RESULT)
            name = str(span.attributes.get(names.GEN_AI_TOOL_NAME, ""))
            results.setdefault(name, []).append(None if result is None else clip(str(result)))
    calls: list[JsonValue] = []
    for call in outcome.tool_calls:
        left = results.get(call.name)
        arguments = json.dumps(call.arguments, ensure_ascii=False)
        calls.append([clip(call.name, 200), clip(arguments), call.ok, left.pop(0) if left else None])
    return calls


def _digest(value: JsonValue) -> str:
    return _digest_of(_SORTED.encode(value))


@lru_cache(maxsize=4096)
def _digest_of(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def clip(text: str, longest: int = LONGEST_TEXT) -> str:
    """The text, or its beginning and how much is left out."""
    return text if len(text) <= longest else f"{text[:longest]} [... {len(text) - longest} more characters]"


def _us(ns: int) -> int:
    return round(ns / 1000)
