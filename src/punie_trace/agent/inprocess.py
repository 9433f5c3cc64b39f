"""The `inprocess` path: mlx_lm generates in this process, with the prompts that a server would build.

What it lacks against the `http` path is what HTTP and the server cost. One generation at a time; one thread owns the
model, as mlx's streams belong to the thread that made them. mlx is imported only when a model is loaded.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from opentelemetry.trace import SpanKind, Tracer

from punie_trace.agent.asker import AskTurn
from punie_trace.agent.options import AskOptions
from punie_trace.agent.toolbox import Toolbox
from punie_trace.agent.turns import Message, ToolLoop
from punie_trace.errors import ModelError
from punie_trace.records import Answer, Generation, Query
from punie_trace.spans import names
from punie_trace.spans.clock import Clock
from punie_trace.spans.completion import Completion
from punie_trace.spans.families import split_reasoning
from punie_trace.spans.written_calls import WrittenCall

if TYPE_CHECKING:
    from mlx_lm.models.cache import LRUPromptCache

PROMPT_CACHE_SIZE = 10  # mlx_lm.server's own default, so that the paths reuse the same prefixes


class InprocessModel:
    """A target and an optional draft, loaded by mlx_lm, with the prompt cache that mlx_lm.server keeps.

    Raises `ModelError` where mlx_lm cannot load them.
    """

    def __init__(self, model: str, draft_model: str | None = None, adapter_path: str | None = None) -> None:
        self.name = str(Path(model).resolve()) if Path(model).exists() else model
        self._closed = False
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="mlx")
        try:
            self._thread.submit(self._load, model, draft_model, adapter_path).result()
        except BaseException:
            self.close()
            raise

    def _load(self, model: str, draft_model: str | None, adapter_path: str | None) -> None:
        from mlx_lm import load
        from mlx_lm.models.cache import LRUPromptCache

        try:
            self._model, self._tokenizer = load(model, adapter_path=adapter_path)[:2]
            self._draft = load(draft_model)[0] if draft_model else None
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise ModelError(f"mlx_lm cannot load {model!r} in this process: {error}") from error
        self._prompt_cache: LRUPromptCache = LRUPromptCache(PROMPT_CACHE_SIZE)

    async def generate(
        self, messages: list[Message], definitions: list[Message], options: AskOptions, clock: Clock
    ) -> tuple[Completion, Generation]:
        """One generation. Waits for the one before; a cancelled wait lets the running one end by itself."""
        future = self._thread.submit(self._generate, messages, definitions, options, clock)
        return await anyio.to_thread.run_sync(future.result, abandon_on_cancel=True)

    def close(self) -> None:
        """Ends the thread; a generation that still runs is not waited for, and none is begun."""
        self._closed = True
        self._thread.submit(_let_go_of_streams)
        self._thread.shutdown(wait=False)

    def _generate(
        self, messages: list[Message], definitions: list[Message], options: AskOptions, clock: Clock
    ) -> tuple[Completion, Generation]:
        if self._closed:
            raise ModelError("the model was let go")
        from mlx_lm import stream_generate
        from mlx_lm.models.cache import make_prompt_cache
        from mlx_lm.sample_utils import make_sampler

        sent = clock.now_ns()
        prompt = self._tokenizer.apply_chat_template(
            [_with_parsed_arguments(m) for m in messages], tools=definitions, add_generation_prompt=True, tokenize=True
        )
        key = (self.name, self._draft is not None)
        cache, rest = self._prompt_cache.fetch_nearest_cache(key, prompt)
        if cache is None or not rest:
            cache, rest = make_prompt_cache(self._model), prompt
            if self._draft is not None:
                cache += make_prompt_cache(self._draft)
        text: list[str] = []
        tokens = list(prompt)
        first = last = None
        draft_tokens = options.request.get("num_draft_tokens")
        speculation: dict[str, int] = {}
        if self._draft is not None and isinstance(draft_tokens, int):
            speculation["num_draft_tokens"] = draft_tokens
        finish = None
        for response in stream_generate(
            self._model,
            self._tokenizer,
            rest,
            max_tokens=options.max_tokens,
            sampler=make_sampler(options.temperature),
            prompt_cache=cache,
            draft_model=self._draft,
            **speculation,  # ty: ignore[invalid-argument-type]
        ):
            last = clock.now_ns()
            first = first or last
            text.append(response.text)
            tokens.append(response.token)
            finish = response.finish_reason
        self._prompt_cache.insert_cache(key, tokens, cache)
        completion = self._parse("".join(text), finish)
        generation = Generation(
            sent_ns=sent,
            done_ns=clock.now_ns(),
            first_chunk_ns=first,
            last_chunk_ns=last,
            chunks=len(text),
            requested_model=self.name,
            served_model=self.name,
            finish_reason=completion.finish_reason,
            tool_calls=len(completion.calls),
            unusable_call=completion.unusable_call,
            input_tokens=len(prompt),
            output_tokens=len(tokens) - len(prompt),
            cached_tokens=len(prompt) - len(rest),
        )
        return completion, generation

    def _parse(self, text: str, finish: str | None) -> Completion:
        """The text without its reasoning and its calls, and the calls, as far as they parse."""
        reasoning, text = split_reasoning(text)
        start, end = self._tokenizer.tool_call_start, self._tokenizer.tool_call_end
        if not start or start not in text:
            return Completion(text, reasoning, finish_reason=finish)
        plain, *written = text.split(start)
        calls: list[WrittenCall] = []
        unusable: str | None = None
        for index, piece in enumerate(written):
            try:
                parsed = self._tokenizer.tool_parser(piece.split(end)[0] if end else piece, None)
                calls += [
                    WrittenCall(f"call-{index}", one["name"], json.dumps(one.get("arguments", {})))
                    for one in (parsed if isinstance(parsed, list) else [parsed])
                ]
            except (ValueError, KeyError, TypeError) as error:
                unusable = f"a call that did not parse: {type(error).__name__}: {error}"
                continue
        unusable = None if calls else unusable
        return Completion(plain.strip(), reasoning, tuple(calls), "tool_calls", unusable_call=unusable)


def _with_parsed_arguments(message: Message) -> Message:
    """Chat templates take a call's arguments as an object and content as text, as mlx_lm.server gives them."""
    calls = message.get("tool_calls")
    if not isinstance(calls, list):
        return message
    parsed: list[Message] = [json.loads(json.dumps(call)) for call in calls]
    for call in parsed:
        function = call["function"]
        if isinstance(function, dict) and isinstance(function["arguments"], str):
            function["arguments"] = json.loads(function["arguments"])
    return {**message, "content": message.get("content") or "", "tool_calls": list(parsed)}


class InprocessPath:
    """Asks queries in this process for one configuration."""

    def __init__(
        self, model: InprocessModel, toolbox: Toolbox, options: AskOptions, tracer: Tracer, clock: Clock
    ) -> None:
        self._model = model
        self._options = options
        self._tracer = tracer
        self._clock = clock
        self._loop = ToolLoop(toolbox, tracer, options.max_requests)

    async def ask(self, query: Query) -> Answer:
        """The model's answer. Raises what mlx_lm raises."""
        return await self.converse(query)(query.text)

    def converse(self, _query: Query) -> AskTurn:
        """A conversation whose turns are asked as `ask` asks a query."""
        return self._loop.converse(self._complete)

    async def _complete(self, messages: list[Message]) -> Completion:
        attributes = {
            names.SEGMENT: names.SEGMENT_GENERATION,
            names.GEN_AI_OPERATION: names.OPERATION_CHAT,
            names.GEN_AI_REQUEST_MODEL: self._model.name,
        }
        with self._tracer.start_as_current_span(
            names.SPAN_GENERATE, kind=SpanKind.INTERNAL, attributes=attributes
        ) as span:
            completion, generation = await self._model.generate(
                messages, self._loop.definitions, self._options, self._clock
            )
            if generation.first_chunk_ns is not None:
                span.add_event(names.EVENT_FIRST_CHUNK, timestamp=generation.first_chunk_ns)
            if generation.last_chunk_ns is not None:
                span.add_event(names.EVENT_LAST_CHUNK, timestamp=generation.last_chunk_ns)
            span.set_attributes(
                {
                    names.GEN_AI_RESPONSE_MODEL: self._model.name,
                    names.GEN_AI_INPUT_TOKENS: generation.input_tokens or 0,
                    names.GEN_AI_OUTPUT_TOKENS: generation.output_tokens or 0,
                    names.GEN_AI_CACHED_TOKENS: generation.cached_tokens or 0,
                    names.CHUNKS: generation.chunks,
                    names.TOOL_CALLS: generation.tool_calls,
                    names.GEN_AI_FINISH_REASONS: (generation.finish_reason or "",),
                }
            )
            if generation.unusable_call is not None:
                span.set_attribute(names.UNUSABLE_CALL, generation.unusable_call)
        return completion


def _let_go_of_streams() -> None:
    """The last that a thread does which computed with mlx: without it the process may abort at its end."""
    import mlx.core as mx

    mx.clear_streams()
