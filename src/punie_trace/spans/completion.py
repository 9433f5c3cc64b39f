"""Reads a chat completion as its bytes pass by: a stream of server-sent events, or one JSON body. One reader for all.

The transport takes times, tokens and failures from it, the `http` path its answer, and both the same ones. What is
answer, reasoning and call stands in `families`; how calls are put together in `written_calls`. Pure: bytes and times
in, facts out; no network, no spans. What it learns does not depend on how the bytes were cut into pieces, and nothing
that a server sends makes it raise. Lines, events, bodies and nesting have limits; what is beyond them is a failure.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from punie_trace.records import MOST_TOKENS, JsonValue
from punie_trace.spans import names
from punie_trace.spans.chunk_template import ChunkTemplate
from punie_trace.spans.families import reasoning_of, split_reasoning, texts_of, unparsed_mark
from punie_trace.spans.server_timings import timings_in
from punie_trace.spans.sse import EventSplitter, EventTooLongError
from punie_trace.spans.tidy_chunk import TidyChunk, is_tidy
from punie_trace.spans.written_calls import CallAssembler, CallPiece, WrittenCall

Form: TypeAlias = Literal["events", "json", "unknown", "opaque"]
"""`unknown` is settled by the first byte; `opaque` (an encoding that is not read here) yields no facts at all."""
Failure: TypeAlias = tuple[str, str]
"""(error type, what was said about it, or '')"""

LONGEST_BODY: Final = 64 * 1024 * 1024
"""Bytes of one answer, all its events together."""
_KEEPALIVE = re.compile(rb":\s*keepalive\s+(\d{1,18})/(\d{1,18})\s*$")
_MESSAGE_LIMIT: Final = 500
_SHOWN: Final = 120
_MOST_TIMINGS: Final = 32
_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer of a model, as far as it came. Token counts are None where the server reported none."""

    text: str = ""
    """The answer, without the reasoning."""
    reasoning: str = ""
    calls: tuple[WrittenCall, ...] = ()
    """The calls that have a name; whether their arguments can be used is for `parse_arguments` to say."""
    finish_reason: str | None = None
    served_model: str | None = None
    fingerprint: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    timings: dict[str, float] = field(default_factory=dict)
    """The timings that some servers send last, under the server's own names (see `server_timings`)."""
    unusable_call: str | None = None
    """Why a call that the model wrote cannot be used: the server did not parse it, or it names no tool."""
    failure: Failure | None = None
    """What went wrong with the answer as such: cut off, malformed, too long, or an error of the server's within it."""


class CompletionReader:
    """Facts of one response. Times are those that `feed` was given with the piece that completed the fact, in ns.

    With `keep_events`, `take_events` gives the events so far in a form that a strict client can read.
    """

    def __init__(self, form: Form = "unknown", *, keep_events: bool = False) -> None:
        self.form: Form = form
        self.prefill_end_ns: int | None = None
        """Of the keepalive comment that said n/n, else of the last one before output."""
        self.first_chunk_ns: int | None = None
        self.last_chunk_ns: int | None = None
        self.chunks = 0
        """Chunks with output: text, reasoning, a refusal, or a tool call. Always 0 for a JSON body."""
        self.done = False
        """The stream's `[DONE]` was seen."""
        self.malformed: str | None = None
        """What is wrong with a chunk that is none."""
        self.too_long: str | None = None
        self.error_message: str | None = None
        """What the server said in an `error` object."""
        self.served_model: str | None = None
        self.fingerprint: str | None = None
        self.finish_reason: str | None = None
        self.input_tokens: int | None = None
        self.output_tokens: int | None = None
        self.cached_tokens: int | None = None
        self.timings: dict[str, float] = {}
        self.head = bytearray()
        """The first bytes of the body, for error messages."""
        self._calls = CallAssembler()
        self._text_pieces: list[str] = []
        self._reasoning: list[str] = []
        self._bytes = 0
        self._body = bytearray()
        self._events = EventSplitter(self)
        self._prefill_whole = False
        self._template = ChunkTemplate()
        self._kept: list[bytes] | None = [] if keep_events else None
        self._odd = False

    @property
    def tool_calls(self) -> int:
        """Different tool calls seen so far."""
        return len(self._calls)

    @property
    def cut(self) -> bool:
        """A stream that has neither ended with `[DONE]` nor given a reason for its end."""
        return self.form in ("events", "unknown") and not self.done and self.finish_reason is None

    @property
    def pending(self) -> int:
        """How many of the bytes so far belong to an event that has not ended."""
        return self._events.pending if self.form == "events" else len(self._body)

    def feed(self, data: bytes, now_ns: int) -> None:
        """Take the next piece of the body, read at `now_ns`."""
        if len(self.head) < _MESSAGE_LIMIT:
            self.head += data[: _MESSAGE_LIMIT - len(self.head)]
        if self.form == "unknown" and (start := data.lstrip(b" \t\r\n\xef\xbb\xbf")):
            self.form = "json" if start[:1] in (b"{", b"[") else "events"
        self._bytes += len(data)
        if self.form == "opaque" or self.too_long is not None:
            return
        if self._bytes > LONGEST_BODY:
            self.too_long = f"the answer is longer than {LONGEST_BODY} bytes"
            self._body.clear()
        elif self.form == "events":
            if self._body:  # what came before the form was known
                data = bytes(self._body) + data
                self._body.clear()
            try:
                self._events.feed(data, now_ns)
            except EventTooLongError as error:
                self.too_long = str(error)
        else:
            self._body += data

    def close(self, now_ns: int) -> None:
        """The body has ended, at `now_ns`."""
        if self.too_long is not None:
            return
        if self.form == "events":
            rest = self._events.close(now_ns)
            # Half an event was cut short: that is for `cut` to say.
            if rest is not None and (rest.strip() == b"[DONE]" or _parse(rest) is not None):
                self.on_event(rest, now_ns)
        elif self.form == "json":
            body = _parse(bytes(self._body).removeprefix(b"\xef\xbb\xbf"))
            if isinstance(body, dict):
                self._read_object(body, now_ns=None)
                self._odd = True
            else:
                self.malformed = "the body is not a JSON object"
            self._body.clear()

    def completion(self) -> Completion:
        """The answer as far as it came; whole once `done` or closed."""
        thought, text = split_reasoning("".join(self._text_pieces))
        return Completion(
            text=text,
            reasoning="\n".join(filter(None, ("".join(self._reasoning), thought))),
            calls=self._calls.calls(),
            finish_reason=self.finish_reason,
            served_model=self.served_model,
            fingerprint=self.fingerprint,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            cached_tokens=self.cached_tokens,
            timings=self.timings,
            unusable_call=self._unusable_call(text),
            failure=self.failure,
        )

    @property
    def failure(self) -> Failure | None:
        """What is wrong with the answer: the server's own words count for more than what followed from them."""
        if self.error_message is not None:
            return names.ERROR_IN_STREAM, self.error_message
        if self.too_long is not None:
            return names.ERROR_TOO_LONG, self.too_long
        if self.malformed is not None:
            return names.ERROR_MALFORMED_CHUNK, self.malformed
        if self.form == "opaque":
            return names.ERROR_MALFORMED_CHUNK, "the server compressed its answer in a way that is not read here"
        if self.cut:
            return names.ERROR_CUT_STREAM, self._how_cut()
        return None

    def take_events(self) -> list[bytes] | None:
        """The events since the last time, tidied where a strict client would stumble; None where none needed it."""
        kept, odd = self._kept or [], self._odd or self._events.odd
        self._kept, self._odd, self._events.odd = [], False, False
        return kept if odd else None

    def on_comment(self, line: bytes, now_ns: int) -> None:
        """A comment: some servers tell by them how far the prefill is."""
        progress = _KEEPALIVE.match(line)
        if progress is None or self._prefill_whole or self.first_chunk_ns is not None:
            return
        self.prefill_end_ns = now_ns
        self._prefill_whole = int(progress[1]) >= int(progress[2])

    def on_event(self, data: bytes, now_ns: int) -> None:
        """One event of the stream. What follows the end mark is passed over."""
        if self.done:
            return
        text = self._template.text_of(data)
        if text is not None:  # one more chunk of text: parsing it would tell nothing new
            self.chunks += 1
            self.last_chunk_ns = now_ns
            self._text_pieces.append(text)
        elif data.strip() == b"[DONE]":
            self.done = True
        else:
            chunk = _parse(data)
            if isinstance(chunk, dict):
                if self._read_object(chunk, now_ns):
                    self._template.learn(data, chunk)
                else:
                    return  # `_read_object` has kept it in a form of its own
            elif data.strip() in (b"null", b""):
                self._odd = True
                return
            elif self.malformed is None:
                self.malformed = f"a chunk is not a JSON object: {_shown(data)}"
        if self._kept is not None:
            self._kept.append(data)

    def _read_object(self, body: dict[str, JsonValue], now_ns: int | None) -> bool:
        """One chunk at `now_ns`, or a whole body (None: it shows no time of its output); whether it is tidy."""
        self.served_model = _text(body.get("model")) or self.served_model
        self.fingerprint = _text(body.get("system_fingerprint")) or self.fingerprint
        self._calls.salt = self._calls.salt or _text(body.get("id")) or ""
        self._read_error(body)
        has_usage = self._read_usage(body)
        choice = _choice(body.get("choices"))
        delta = _delta(choice)
        text, reasoning = texts_of(delta.get("content"))
        text = text or texts_of(delta.get("refusal"))[0] or _text(choice.get("text")) or ""
        reasoning += reasoning_of(delta)
        if _SURROGATES.search(text) is not None:
            text = _SURROGATES.sub("\ufffd", text)
        pieces = self._call_pieces(delta)
        finish = _text(choice.get("finish_reason"))
        self.finish_reason = finish or self.finish_reason
        self._text_pieces.append(text)
        self._reasoning.append(reasoning)
        if (text or reasoning or pieces) and now_ns is not None:
            self.chunks += 1
            self.first_chunk_ns = now_ns if self.first_chunk_ns is None else self.first_chunk_ns
            self.last_chunk_ns = now_ns
        if self._kept is None or (now_ns is not None and is_tidy(body, pieces, text)):
            return True
        self._odd = True
        usage = (self.input_tokens or 0, self.output_tokens or 0, self.cached_tokens) if has_usage else None
        tidy = TidyChunk(self.served_model, text, reasoning, pieces, finish, usage)
        self._kept.append(json.dumps({"error": body["error"]}).encode() if body.get("error") else tidy.to_json())
        return False

    def _read_error(self, body: dict[str, JsonValue]) -> None:
        choice = _choice(body.get("choices"))
        error = body.get("error") or choice.get("error")
        if not error and body.get("object") == "error":
            error = body
        if not error and choice.get("finish_reason") == "error":
            error = "the server ended with the finish reason 'error'"
        if error and self.error_message is None:
            message = error.get("message") if isinstance(error, dict) else error
            self.error_message = str(message or error)[:_MESSAGE_LIMIT]

    def _read_usage(self, body: dict[str, JsonValue]) -> bool:
        """Whether it counts any tokens."""
        usage = body.get("usage")
        if not isinstance(usage, dict) and isinstance(groq := body.get("x_groq"), dict):
            usage = groq.get("usage")
        if isinstance(usage, dict):
            self.input_tokens = _count(usage.get("prompt_tokens"), self.input_tokens)
            self.output_tokens = _count(usage.get("completion_tokens"), self.output_tokens)
            if isinstance(details := usage.get("prompt_tokens_details"), dict):
                self.cached_tokens = _count(details.get("cached_tokens"), self.cached_tokens)
        if found := timings_in({**body, "usage": usage}):
            self.timings = dict(list(found.items())[:_MOST_TIMINGS])
        return isinstance(usage, dict) and self.output_tokens is not None

    def _call_pieces(self, delta: dict[str, JsonValue]) -> list[CallPiece]:
        calls = delta.get("tool_calls")
        entries = [one for one in calls if isinstance(one, dict)] if isinstance(calls, list) else []
        if isinstance(calls, dict):
            entries = [calls]
        if isinstance(old_form := delta.get("function_call"), dict):
            entries.append(old_form)
        found = (self._calls.add(entry) for entry in entries)
        return [piece for piece in found if piece is not None]

    def _unusable_call(self, text: str) -> str | None:
        if (mark := unparsed_mark(text)) is not None:
            return f"the answer holds {mark!r}: the server did not parse the call"
        if self._calls.nameless():
            return "a call names no tool"
        if self.finish_reason == "tool_calls" and not len(self._calls):
            return "the server ended with 'tool_calls' but sent no call: it could not parse it"
        return None

    def _how_cut(self) -> str:
        if self.chunks or not self.head.strip():
            return "the stream ended with neither [DONE] nor a finish reason; the server may have died"
        return f"the answer is no stream of chunks: {_shown(bytes(self.head))}"


def _parse(data: bytes) -> JsonValue:
    """The JSON value, None where it is none."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _choice(choices: JsonValue) -> dict[str, JsonValue]:
    """The one choice that is asked for."""
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and choice.get("index") not in range(1, 1024):
            return choice
    return {}


def _delta(choice: dict[str, JsonValue]) -> dict[str, JsonValue]:
    for key in ("delta", "message"):
        if isinstance(found := choice.get(key), dict):
            return found
    return {}


def _text(value: JsonValue) -> str | None:
    return value if isinstance(value, str) and value else None


def _count(value: JsonValue, before: int | None) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS else before


def _shown(data: bytes) -> str:
    return repr(data[:_SHOWN].decode("utf-8", errors="replace"))
