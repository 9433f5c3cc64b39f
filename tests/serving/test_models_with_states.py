"""Conversations on a server of models whose caches cannot be cut back: every answer is that of a fresh prefill."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.serving.asking import tokens
from tests.speculative.tiny_family import save_tiny

MOST = 24
LETTERS = {str(token): -1000.0 for token in range(259) if chr(token + ord("!")) not in "abcdefgh"}
"""A bias against all bytes but a few letters: what is said then reads back as the tokens it was said in."""
DRAFTING = {"mode": "fixed", "k": 3, "drafter": "suffix", "memory": "server"}  # which knows what it was asked before


@pytest.mark.parametrize(
    "model_type", ["mamba", "falcon_h1", "gpt_oss", "gemma3_text", "gemma4_text", "cohere2", "qwen3_5"]
)
def test_turns_of_a_conversation_are_those_of_a_fresh_prefill(
    serve: Callable[..., Any], tmp_path: Path, model_type: str
) -> None:
    """Plain, fixed and adaptive decoding take turns on the same prompt caches."""
    folder = save_tiny(model_type, tmp_path / "model")
    with serve("--model", str(folder), "--max-tokens", str(MOST)) as client:

        def ask(messages: list[dict[str, str]], way: Any, salt: str) -> dict[str, Any]:
            body = {"messages": messages, "temperature": 0, "logprobs": True, "speculation": way, "timings": True}
            body |= {"logit_bias": LETTERS, "cache_salt": salt}
            answer = client.post("/v1/chat/completions", json=body)
            assert answer.status_code == 200, answer.text
            return answer.json()

        messages = [{"role": "user", "content": "abcabcabcabcab, abcabcabcabcab and abc"}]
        reused = False
        for turn in range(3):
            wanted = ask(messages, "off", f"fresh {turn}")
            assert wanted["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
            for way in ("off", DRAFTING, DRAFTING, "off", "adaptive"):
                answer = ask(messages, way, "one")
                assert tokens(answer) == tokens(wanted)
                reused = reused or answer["usage"]["prompt_tokens_details"]["cached_tokens"] > 0
                if way == DRAFTING:
                    drafted = answer["timings"]["speculation"]
            assert drafted["fallback"] is None  # of the second such answer: the first had nothing to go by
            assert drafted["draft_n_accepted"] > 0
            assert drafted["memory_bytes"] > 0
            assert turn == 0 or reused
            messages = [*messages, answer["choices"][0]["message"], {"role": "user", "content": "abcabcabcab"}]
