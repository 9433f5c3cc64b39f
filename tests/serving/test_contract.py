"""What of mlx_lm's server is used though it is private: each name, and what for. Another mlx-lm fails here."""

from __future__ import annotations

import dataclasses
import inspect

import mlx_lm.server as stock
import pytest
from mlx_lm.models.cache import LRUPromptCache
from mlx_lm.server import APIHandler, ModelProvider, ResponseGenerator

SIGNATURES = {
    ResponseGenerator.__init__: ["self", "model_provider", "prompt_cache"],
    ResponseGenerator._run_generate: ["self"],
    ResponseGenerator._generate: ["self"],
    ResponseGenerator._next_request: ["self", "timeout"],
    ResponseGenerator._tokenize: ["self", "tokenizer", "request", "args"],
    ResponseGenerator._make_state_machine: ["self", "model_key", "tokenizer", "stop_words"],
    ResponseGenerator._is_batchable: ["self", "args"],
    ResponseGenerator._serve_single: ["self", "request", "stream"],
    ResponseGenerator.generate: ["self", "request", "generation_args", "progress_callback"],
    ResponseGenerator.generation_available: ["self"],
    APIHandler.__init__: ["self", "response_generator", "args", "system_fingerprint", "kwargs"],
    APIHandler._set_completion_headers: ["self", "status_code"],
    APIHandler._set_stream_headers: ["self", "status_code"],
    APIHandler._set_cors_headers: ["self"],
    APIHandler.handle_chat_completions: ["self"],
    APIHandler.handle_text_completions: ["self"],
    APIHandler.handle_models_request: ["self"],
    ModelProvider.__init__: ["self", "cli_args"],
    ModelProvider._load: ["self", "model_path", "adapter_path", "draft_model_path"],
    ModelProvider.reset: ["self"],
    LRUPromptCache.fetch_nearest_cache: ["self", "model", "tokens"],
    LRUPromptCache.insert_cache: ["self", "model", "tokens", "prompt_cache", "cache_type"],
    stock._make_sampler: ["args", "tokenizer"],
    stock._make_logits_processors: ["args"],
    stock._format_top_logprobs: ["logprobs", "top_n", "tokenizer"],
    stock._image_parts: ["messages"],
    stock.run: ["host", "port", "model_provider", "server_class", "handler_class"],
}


@pytest.mark.parametrize("function", SIGNATURES, ids=lambda f: f.__qualname__)
def test_signatures(function: object) -> None:
    assert list(inspect.signature(function).parameters) == SIGNATURES[function]  # ty: ignore[invalid-argument-type]


def test_fields_that_are_set_or_read() -> None:
    context = {field.name for field in dataclasses.fields(stock.GenerationContext)}
    wanted = {"has_tool_calling", "has_thinking", "tool_parser", "text_sm", "initial_state", "prompt"}
    assert wanted | {"prompt_cache_count", "_should_stop"} == context
    assert [field.name for field in dataclasses.fields(stock.Response)] == [
        "text",
        "token",
        "logprob",
        "finish_reason",
        "top_tokens",
    ]
    arguments = {field.name for field in dataclasses.fields(stock.GenerationArguments)}
    assert {"model", "sampling", "logits", "stop_words", "max_tokens", "top_logprobs", "seed"} <= arguments
    request = {field.name for field in dataclasses.fields(stock.CompletionRequest)}
    assert {"request_type", "messages"} <= request
    source = inspect.getsource(ResponseGenerator)
    for name in ("_generation_thread", "_generation_failed", "_stop", "requests", "prompt_cache", "model_provider"):
        assert f"self.{name} = " in source
    provider = inspect.getsource(ModelProvider)
    for name in ("cli_args", "model_key", "model", "tokenizer", "draft_model", "is_batchable"):
        assert f"self.{name} = " in provider


def test_the_thread_runs_what_a_subclass_overrides() -> None:
    assert "Thread(target=self._run_generate)" in inspect.getsource(ResponseGenerator.__init__)
    assert "self._generate()" in inspect.getsource(ResponseGenerator._run_generate)
    loop = inspect.getsource(ResponseGenerator._generate)
    for used in ("self._next_request(timeout)", "self._is_batchable(args)", "self._tokenize(", "self._serve_single("):
        assert used in loop
    for used in ("fetch_nearest_cache(", "insert_cache(", "self.model_provider.load_default()"):
        assert used in loop


def test_the_handler_asks_through_what_is_overridden() -> None:
    handled = inspect.getsource(APIHandler.handle_completion)
    assert "self.response_generator.generate(" in handled
    assert "self._set_completion_headers(404)" in handled  # whatever `generate` raises: the status is set right there
    assert "self.generate_response(" in handled
    assert "ctx.stop()" in handled
    posted = inspect.getsource(APIHandler.do_POST)
    assert "self.rfile.read(content_length)" in posted  # the body that was checked is read again
    assert 'self.headers.get("Content-Length")' in posted
    assert "self.handle_chat_completions" in posted


def test_main_reads_the_flags_and_hands_them_to_run() -> None:
    source = inspect.getsource(stock.main)
    assert "run(args.host, args.port, ModelProvider(args))" in source
    for flag in ("--model", "--draft-model", "--num-draft-tokens", "--prompt-cache-size", "--prompt-cache-bytes"):
        assert f'"{flag}"' in source


def test_a_request_is_a_triple_and_ends_with_none() -> None:
    assert "self.requests.put((response_queue, request, generation_args))" in inspect.getsource(
        ResponseGenerator.generate
    )
    assert "response is None" in inspect.getsource(ResponseGenerator.generate)
    assert "rqueue.put(None)" in inspect.getsource(ResponseGenerator._serve_single)
