"""What of mlx_lm is used though it is private: each name, and what for. Another mlx-lm fails here, and nowhere else."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
from pathlib import Path

import mlx_lm.generate
import mlx_lm.models.cache
import mlx_lm.server as stock
import mlx_lm.tokenizer_utils
import pytest
from mlx_lm.models.cache import LRUPromptCache
from mlx_lm.server import APIHandler, ModelProvider, ResponseGenerator

from punie_trace.serving.mlx_lm_adapter import PARAMETERS

SOURCE = Path(__file__).parents[2] / "src" / "punie_trace"
ADAPTER = SOURCE / "serving" / "mlx_lm_adapter.py"
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
    APIHandler.validate_model_parameters: ["self"],
    APIHandler.handle_completion: ["self", "request", "stop_words"],
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
    stock.get_system_fingerprint: [],
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
    request = [field.name for field in dataclasses.fields(stock.CompletionRequest)]
    assert request == ["request_type", "prompt", "messages", "tools", "role_mapping"]
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


def test_tokens_come_as_five_values() -> None:
    assert "return prompt, segments, segment_types, initial_state, None" in inspect.getsource(
        ResponseGenerator._tokenize
    )


def test_the_parameters_are_those_that_the_stock_handler_reads() -> None:
    """The handler's own reading of a body is not run: what it sets must be what we set, from the same keys."""
    source = inspect.getsource(APIHandler.do_POST)
    read = re.findall(r'self\.(\w+) = self\.body\.get\(\s*"(\w+)"(?:,\s*([^)]+?))?\s*\)', source)
    stock_reads: dict[str, tuple[str, object]] = {}
    for attribute, key, default in read:
        flag = re.fullmatch(r"self\.response_generator\.cli_args\.(\w+)", default)
        stock_reads[attribute] = (key, flag[1] if flag else ast.literal_eval(default or "None"))
    assert len(stock_reads) == source.count("self.body.get(") - 2  # max_tokens has two keys, and stop is a local
    ours = {name: (one.key, one.flag or one.default) for name, one in PARAMETERS.items()}
    assert ours == stock_reads
    assert 'self.max_tokens = self.body.get("max_completion_tokens", None)' in source
    assert "self.handle_completion(request, stop_words)" in source


def test_the_handler_asks_through_what_is_overridden() -> None:
    handled = inspect.getsource(APIHandler.handle_completion)
    assert "self.response_generator.generate(" in handled
    assert "self._set_completion_headers(404)" in handled  # whatever `generate` raises: the status is set right there
    assert "self.generate_response(" in handled
    assert "ctx.stop()" in handled
    for factory in (APIHandler.handle_chat_completions, APIHandler.handle_text_completions):
        source = inspect.getsource(factory)
        assert set(re.findall(r"self\.(\w+) = ", source)) == {"request_id", "object_type"}
    assert 'self.object_type = "chat.completion.chunk" if self.stream else "chat.completion"' in inspect.getsource(
        APIHandler.handle_chat_completions
    )


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


def private_names_of_mlx_lm() -> set[str]:
    """Names with one underscore that mlx_lm's own modules define: functions, methods, attributes that they set."""
    found: set[str] = set()
    for module in (stock, mlx_lm.generate, mlx_lm.models.cache, mlx_lm.tokenizer_utils):
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                found.add(node.attr)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found.add(node.target.id)
    return {name for name in found if re.match(r"_[a-z]", name)}


def private_uses(file: Path, private: set[str]) -> set[str]:
    """What a file imports of mlx_lm's private modules and names, and the private attributes that it reads or defines.

    A name that the file defines as its own, on `self` or as a function of a class that inherits nothing of mlx_lm's,
    is its own.
    """
    tree = ast.parse(file.read_text())
    own = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}
    own |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    uses: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mlx_lm":
            names = [alias.name for alias in node.names]
            private_module = any(part.startswith("_") for part in str(node.module).split("."))
            uses |= {name for name in names if name.startswith("_") or private_module or name == "server"}
            uses |= set(names) if node.module == "mlx_lm.server" else set()
        elif isinstance(node, ast.Import):
            uses |= {alias.name for alias in node.names if re.match(r"mlx_lm\.(server|_|.*\._)", alias.name)}
        elif isinstance(node, ast.Attribute) and node.attr in private - own:
            uses.add(node.attr)
    return uses


def test_what_is_private_of_mlx_lm_is_used_in_the_adapter_alone() -> None:
    private = private_names_of_mlx_lm()
    assert {"_serve_single", "_run_http_server", "_should_stop", "_tokenize", "_trie"} <= private
    assert {"_image_parts", "_should_stop", "CompletionRequest"} <= private_uses(ADAPTER, private)
    others = [file for file in SOURCE.rglob("*.py") if file != ADAPTER and "workspace" not in file.parts]
    assert {file.relative_to(SOURCE).as_posix(): uses for file in others if (uses := private_uses(file, private))} == {}


def test_no_private_method_of_mlx_lm_is_overridden_outside_the_adapter() -> None:
    from punie_trace.serving import generator, handler, models, prompt_caches

    ours = [generator.TracedGenerator, handler.TracedHandler, models.ServedModels, prompt_caches.ExactPromptCaches]
    for one in ours:
        theirs = {name for base in one.__mro__ if base.__module__.startswith("mlx_lm") for name in vars(base)}
        assert theirs
        assert not {name for name in vars(one) if re.match(r"_[a-z]", name)} & theirs
