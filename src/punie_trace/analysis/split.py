"""What one generation was made of: connect, server queue, prefill, decode, transfer.

A server of ours tells it itself, in spans below the request's, some others in their answers (`server_timings`); of the
rest, only what the client can see is known.

The phases lie end to end and add up to the generation's span where all are seen. What a stream does not show is None,
with the reason, and never guessed: `mlx_lm.server` withholds the text of a tool call until the call closes, so that
the first chunk of such a turn comes when nearly all of it is over, and with a draft model it sends no progress.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from punie_trace.spans import names
from punie_trace.spans.server_timings import ReportedTimings, reported_timings
from punie_trace.spans.span import Span

PHASES = ("connect", "server_queue", "prefill", "decode", "transfer")

WITHHELD = "the server held the output back until it was whole (as mlx_lm does with a tool call)"
NO_PROGRESS = "the server sent no prefill progress (mlx_lm sends none with a draft model)"
NO_SERVER_SPANS = "only the server knows; as seen from here it is part of prefill"
NO_CONNECT = "the connection's setup was not timed; as seen from here it is part of prefill"
NO_OUTPUT = "no output came"
NO_STEP = "the server did not come so far"

BY_STREAM = "the stream"
BY_SPANS = "the server's spans"


@dataclass(frozen=True, slots=True)
class GenerationSplit:
    """Phases of one generation in ns; None is 'not observable', for the reason in `not_observable`."""

    connect_ns: int | None
    server_queue_ns: int | None
    prefill_ns: int | None
    """Until the last progress that the server told of, else until the first chunk (with the first token in it)."""
    decode_ns: int | None
    transfer_ns: int | None
    """From the last chunk of output to the last byte."""
    first_chunk_ns: int | None
    """From the request's sending to the first chunk, where that is when the first token was made."""
    per_token_ns: float | None
    """(last chunk - first chunk) / (output tokens - 1)."""
    not_observable: Mapping[str, str] = field(default_factory=dict)
    finish_reason: str | None = None
    cached_share: float | None = None
    """How much of its input came from the server's prompt cache, 0 to 1; None where the server does not tell."""
    output_tokens: int | None = None
    left_open: bool = False
    """Whether the stream did not end after its finish reason, and the client went on without."""
    source: str = BY_STREAM
    """Whose word the phases are: the stream as the client saw it, the server's spans, or timings in its answers."""

    @property
    def calls_tool(self) -> bool:
        """Whether the server says that it ended with a call."""
        return self.finish_reason in ("tool_calls", "function_call")

    def phase(self, name: str) -> int | None:
        """The phase by its name in `PHASES`."""
        return getattr(self, f"{name}_ns")


def split_generation(span: Span, steps: Mapping[str, Span] | None = None) -> GenerationSplit:
    """The phases of the generation that `span` (a POST, or an in-process generation) timed.

    `steps` are the server's own spans of it, by name, where it wrote any: see `server_steps`.
    """
    seen = _seen_by_client(span)
    if steps:
        return _told_by_server(span, seen, steps)
    reported = reported_timings(span.attributes.get(names.SERVER_TIMINGS))
    return seen if reported is None else _told_in_answer(span, seen, reported)


def server_steps(spans: Iterable[Span]) -> dict[str, dict[str, Span]]:
    """Of a trace, the spans that a server wrote of its steps: by the id of the request's span, then by name."""
    listed = list(spans)
    served = {span.span_id: span.parent_id for span in listed if span.kind == "SERVER" and span.parent_id is not None}
    steps: dict[str, dict[str, Span]] = {}
    for span in listed if served else ():
        if span.parent_id in served:
            steps.setdefault(served[span.parent_id], {})[span.name] = span
    return steps


def _told_by_server(span: Span, seen: GenerationSplit, steps: Mapping[str, Span]) -> GenerationSplit:
    """The server's boundaries, kept within the request's span; the phases add up to it.

    The queue takes what lies before it (the request on its way), prefill begins with tokenizing, and transfer is all
    after the last token.
    """
    reasons = {phase: why for phase, why in seen.not_observable.items() if phase in ("first_chunk", "per_token")}
    reached = span.start_ns + (seen.connect_ns or 0)
    found: dict[str, int | None] = {}
    for phase, step in (
        ("server_queue", names.SPAN_QUEUE),
        ("prefill", names.SPAN_PREFILL),
        ("decode", names.SPAN_DECODE),
    ):
        if step not in steps:
            found[phase] = None
            reasons[phase] = NO_STEP
            continue
        end = min(max(steps[step].end_ns, reached), span.end_ns)
        found[phase], reached = end - reached, end
    # Whatever the client alone can see (first chunk, finish reason, cached tokens) stays as it is.
    return replace(
        seen,
        connect_ns=seen.connect_ns or 0,
        server_queue_ns=found["server_queue"],
        prefill_ns=found["prefill"],
        decode_ns=found["decode"],
        transfer_ns=span.end_ns - reached,
        not_observable=reasons,
        source=BY_SPANS,
    )


def _told_in_answer(span: Span, seen: GenerationSplit, reported: ReportedTimings) -> GenerationSplit:
    """Prefill and decode as the server's answer tells them; they are kept within the request's span.

    The queue is what is left before them, the request on its way with it, unless the server tells that as well; then
    transfer is what is left.
    """
    room = span.end_ns - span.start_ns - (seen.connect_ns or 0)
    prefill = min(reported.prefill_ns, room)
    decode = min(reported.decode_ns, room - prefill)
    left = room - prefill - decode
    if reported.queue_ns is not None:
        queue = min(reported.queue_ns, left)
        transfer = left - queue
    else:
        transfer = min(seen.transfer_ns or 0, left)
        queue = left - transfer
    reasons = {phase: why for phase, why in seen.not_observable.items() if phase in ("first_chunk", "per_token")}
    cached = seen.cached_share
    given = _integer(span, names.GEN_AI_INPUT_TOKENS)
    if cached is None and reported.cached_tokens is not None and given:
        cached = min(reported.cached_tokens / given, 1.0)
    return replace(
        seen,
        connect_ns=seen.connect_ns or 0,
        server_queue_ns=queue,
        prefill_ns=prefill,
        decode_ns=decode,
        transfer_ns=transfer,
        not_observable=reasons,
        cached_share=cached,
        source=f"{reported.family}'s timings",
    )


def _seen_by_client(span: Span) -> GenerationSplit:
    reasons: dict[str, str] = {"server_queue": NO_SERVER_SPANS}
    connect = _integer(span, names.CONNECT_NS)
    if connect is None:
        reasons["connect"] = NO_CONNECT
    begin = span.start_ns + (connect or 0)
    events = {event.name: event.time_ns for event in span.events}
    first, last = events.get(names.EVENT_FIRST_CHUNK), events.get(names.EVENT_LAST_CHUNK)
    progress = events.get(names.EVENT_PREFILL_END)
    held_back = withheld(span)

    boundary = progress if progress is not None else None if held_back else first
    if boundary is None:
        why = NO_OUTPUT if first is None else f"{WITHHELD}, and {NO_PROGRESS}"
        reasons |= {"prefill": why, "decode": why}
    if last is None:
        reasons |= {"decode": NO_OUTPUT, "transfer": NO_OUTPUT}
    if held_back:
        reasons["first_chunk"] = reasons["per_token"] = WITHHELD
    tokens = _integer(span, names.GEN_AI_OUTPUT_TOKENS)
    per_token = None
    if first is not None and last is not None and not held_back and tokens is not None and tokens > 1:
        per_token = (last - first) / (tokens - 1)
    return GenerationSplit(
        connect_ns=connect,
        server_queue_ns=None,
        prefill_ns=None if boundary is None else max(boundary - begin, 0),
        decode_ns=None if boundary is None or last is None else max(last - boundary, 0),
        transfer_ns=None if last is None else span.end_ns - last,
        first_chunk_ns=None if first is None or held_back else first - span.start_ns,
        per_token_ns=per_token,
        not_observable=reasons,
        finish_reason=_finish_reason(span),
        cached_share=_cached_share(span),
        output_tokens=tokens,
        left_open=span.attributes.get(names.LEFT_OPEN) is True,
    )


def withheld(span: Span) -> bool:
    """Whether the first chunk says nothing about the first token: far fewer chunks than tokens, or a mere tool call.

    A server that streams sends about a chunk for each token (fewer where bytes of one character are split, or where
    a draft's tokens come together); one that holds a tool call back sends it in a chunk or two.
    """
    chunks, tokens = _integer(span, names.CHUNKS), _integer(span, names.GEN_AI_OUTPUT_TOKENS)
    if chunks is not None and tokens is not None:
        return tokens > 2 and chunks * 4 < tokens
    reasons = span.attributes.get(names.GEN_AI_FINISH_REASONS, ())
    return "tool_calls" in reasons if isinstance(reasons, tuple) else reasons == "tool_calls"


def _finish_reason(span: Span) -> str | None:
    reasons = span.attributes.get(names.GEN_AI_FINISH_REASONS)
    if isinstance(reasons, tuple):
        return str(reasons[0]) if reasons else None
    return reasons if isinstance(reasons, str) else None


def _cached_share(span: Span) -> float | None:
    cached, given = _integer(span, names.GEN_AI_CACHED_TOKENS), _integer(span, names.GEN_AI_INPUT_TOKENS)
    return None if cached is None or not given else cached / given


def _integer(span: Span, name: str) -> int | None:
    value = span.attributes.get(name)
    return value if type(value) is int else None  # a bool is no number here
