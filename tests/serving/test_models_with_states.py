"""Conversations on a server of models whose caches cannot be cut back: every answer is that of a fresh prefill."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.serving.asking import tokens
from tests.speculative.tiny_family import save_tiny

MOST = 24
DRAFTING = {"mode": "fixed", "k": 3, "drafter": "suffix", "memory": "server"}  # which knows what it was asked before


@pytest.mark.parametrize("model_type", ["mamba", "falcon_h1", "gpt_oss", "qwen3_5"])
def test_turns_of_a_conversation_are_those_of_a_fresh_prefill(
    serve: Callable[..., Any], tmp_path: Path, model_type: str
) -> None:
    """Plain, fixed and adaptive decoding take turns on the same prompt caches."""
    folder = save_tiny(model_type, tmp_path / "model")
    with serve("--model", str(folder), "--max-tokens", str(MOST)) as client:

        def ask(messages: list[dict[str, str]], way: Any, salt: str) -> dict[str, Any]:
            body = {"messages": messages, "temperature": 0, "logprobs": True, "speculation": way, "timings": True}
            answer = client.post("/v1/chat/completions", json=body | {"cache_salt": salt})
            assert answer.status_code == 200, answer.text
            return answer.json()

        messages = [{"role": "user", "content": "abcabcabcabcab, abcabcabcabcab and abc"}]
        for turn in range(3):
            wanted = ask(messages, "off", f"fresh {turn}")
            assert wanted["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
            for way in ("off", DRAFTING, DRAFTING, "off", "adaptive"):
                answer = ask(messages, way, "one")
                assert tokens(answer) == tokens(wanted)
                if way == DRAFTING:
                    drafted = answer["timings"]["speculation"]
                    assert drafted["fallback"] is None
            assert drafted["draft_n_accepted"] > 0
            assert drafted["memory_bytes"] > 0
            messages = [*messages, answer["choices"][0]["message"], {"role": "user", "content": "abcabcabcab"}]
