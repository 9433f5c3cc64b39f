"""Families of servers: how each is told apart, what it tells of itself, and what of the ledger that makes observable.

One table for code, documents and tests (`docs/servers.md` shows it). What stands in answers is read by
`spans.server_timings`, what `/metrics` has by `own_metrics`; what is text, reasoning and call in a stream is another
table (`spans.families`). Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class CounterNames:
    """Prometheus names of a family's counters, without '_total'; '' where it has none.

    Times are sums in seconds with a count beside them (`_sum`, `_count`), or a plain counter of seconds.
    """

    prefix: str
    """All of the family's names begin with it."""
    drafted: str = ""
    accepted: str = ""
    drafts: str = ""
    cache_asked: str = ""
    """Prompt tokens looked up in the prefix cache."""
    cache_hits: str = ""
    queue_s: str = ""
    prefill_s: str = ""
    decode_s: str = ""


@dataclass(frozen=True, slots=True)
class ServerFamily:
    """One family. `phases`, `acceptance` and `cached` say where each is known from."""

    name: str
    phases: str
    acceptance: str
    cached: str
    withholds_calls: bool
    """Whether a tool call's text comes only when the call is whole: the first chunk then tells nothing of its start."""
    oddities: str
    known_from: str
    """Where this is known from: tried by us, with which version, or whose words."""
    counters: CounterNames | None = None


_STREAM: Final = "prefill and decode from the stream, queue not observable"
_USAGE: Final = "`usage` of each answer"
_NO: Final = "not observable"

FAMILIES: Final = (
    ServerFamily("punie (ours)", "all, from the server's own spans", "each generation, from spans", _USAGE, True,
                 "takes `traceparent`; one process serves all ways of drafting", "this project's tests"),
    ServerFamily("mlx_lm", "prefill from its progress comments, decode from the stream, queue not observable", _NO,
                 _USAGE, True, "HTTP/1.0, a connection for each request; no progress with a draft model; `/health` "
                 "answers before the model is loaded; any `model` but `default_model` is loaded",
                 "this project's tests"),
    ServerFamily("llama.cpp", "prefill and decode from `timings` in the last chunk; queue is what is left before them",
                 "each generation, from `timings`", "`timings` (`cache_n`) or `usage`", False,
                 "closes the connection after each stream; names the model by its file; 503 while it loads",
                 "run by hand: b11434, on a CPU, with the shipped model as GGUF",
                 CounterNames("llamacpp:", prefill_s="llamacpp:prompt_seconds",
                              decode_s="llamacpp:tokens_predicted_seconds")),
    ServerFamily("vLLM", f"{_STREAM}; their means over the run from `/metrics`", "over the run, from `/metrics`",
                 "`usage` with `--enable-prompt-tokens-details`; over the run from `/metrics`", False,
                 "without a tool-call parser calls stay in the text; keeps connections for 5 s",
                 "run by hand, with an earlier version",
                 CounterNames("vllm:", "vllm:spec_decode_num_draft_tokens", "vllm:spec_decode_num_accepted_tokens",
                              "vllm:spec_decode_num_drafts", "vllm:prefix_cache_queries", "vllm:prefix_cache_hits",
                              "vllm:request_queue_time_seconds", "vllm:request_prefill_time_seconds",
                              "vllm:request_decode_time_seconds")),
    ServerFamily("SGLang", f"{_STREAM}; its mean over the run from `/metrics` (`--enable-metrics`)", _NO,
                 "`usage` with `--enable-cache-report`", False, "id and name of a call again with every piece",
                 "[its arguments](https://docs.sglang.io/docs/advanced_features/server_arguments) and "
                 "[its metrics](https://docs.sglang.io/docs/references/production_metrics)",
                 CounterNames("sglang:", queue_s="sglang:queue_time_seconds")),
    ServerFamily("transformers serve", _STREAM, _NO, _NO, True,
                 "names `X@main` for a hub's `X`; no `[DONE]`; its list of models may answer 500 (set `model`); "
                 "ignores `max_completion_tokens`", "run by hand: 5.24.0, on a CPU, with the shipped model"),
    ServerFamily("Ollama", _STREAM, _NO, _NO, True, "names `X:latest` for `X`; calls without `index`; takes "
                 "`max_tokens` and no `max_completion_tokens`, so that its own limit counts (`num_predict`)",
                 "[its fields](https://docs.ollama.com/api/openai-compatibility), its `openai/openai.go`, reports"),
    ServerFamily("LM Studio", _STREAM, _NO, _NO, False, "answers with whichever model is loaded: name one that it "
                 "lists; takes `max_tokens` and, by its documentation, no `max_completion_tokens`; counts tokens "
                 "where it is asked to (`stream_options`)",
                 "[its parameters](https://lmstudio.ai/docs/developer/openai-compat/chat-completions), "
                 "[its changes](https://lmstudio.ai/docs/developer/api-changelog), reports"),
    ServerFamily("Groq, Cerebras", "queue, prefill and decode from times in the last chunk", _NO, _USAGE, True,
                 "hosted: `https`, a key, and rate limits (429)", "their documentation"),
    ServerFamily("gateways (LiteLLM, OpenRouter, ...)", _STREAM, _NO, _USAGE, False,
                 "an alias answers under the real model's name (`served_model`); some fall back to another model",
                 "reports of their users"),
)  # fmt: skip


def family_rows() -> list[tuple[str, ...]]:
    """The table as cells, its head first, for documents."""
    head = (
        "server",
        "phases of a generation",
        "acceptance of drafts",
        "cached tokens",
        "holds calls back",
        "besides",
        "known from",
    )
    rows = (
        (
            one.name,
            one.phases,
            one.acceptance,
            one.cached,
            "yes" if one.withholds_calls else "no",
            one.oddities,
            one.known_from,
        )
        for one in FAMILIES
    )
    return [head, *rows]
