"""Caches that cannot be cut back: what is put back, what is sent again, what a broken pass leaves, what is refused."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.models.cache import ArraysCache, ChunkedKVCache, KVCache, RotatingKVCache, make_prompt_cache

from punie_trace.speculative import ModelDrafter, Speculation, SpeculativeDecoder, SuffixDrafter
from punie_trace.speculative.cache import length_of, refusal, remembered_tokens
from punie_trace.speculative.target_cache import LONGEST_PENDING, TargetCache
from tests.speculative.knowing_drafter import KnowingDrafter
from tests.speculative.test_models import MORE, PROMPT, TOKENIZER, goes_on_like_a_fresh_prefill, run
from tests.speculative.tiny import near, reference, tiny_model, tiny_tokenizer
from tests.speculative.tiny_family import WINDOW, tiny_of

N = 40
KINDS = ("qwen3_5", "gpt_oss", "recurrent_gemma", "llama4", "mamba")
"""Recurrent and growing; rotating and growing; recurrent and rotating; chunked; recurrent alone."""


def knowing(model: Any, wrong: float = 0.3, prompt: list[int] = PROMPT) -> tuple[SpeculativeDecoder, list[int]]:
    """A decoder whose drafter knows the answer, and the answer."""
    answer = reference(model, TOKENIZER, prompt, N)
    return SpeculativeDecoder(model, TOKENIZER, KnowingDrafter(answer, wrong)), answer


class Breaking:
    """A layer that is interrupted after so many passes, once those before it have taken their rows."""

    def __init__(self, layer: Any, passes: int) -> None:
        self.layer = layer
        self.left = passes

    def __call__(self, *given: Any, **options: Any) -> Any:
        self.left -= 1
        if self.left == -1:
            raise KeyboardInterrupt
        return self.layer(*given, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.layer, name)


@pytest.mark.parametrize("model_type", KINDS)
@pytest.mark.parametrize("most", [1, 2, 3, 11, 12, 13])
def test_whenever_it_ends_the_cache_holds_what_was_emitted_but_the_last(model_type: str, most: int) -> None:
    model = tiny_of(model_type)
    decoder, answer = knowing(model)
    for k in (1, 5):
        cache = make_prompt_cache(model)
        assert run(decoder, PROMPT, most, k, prompt_cache=cache) == answer[:most]
        held = [*PROMPT, *answer[: most - 1]]
        assert remembered_tokens(cache) == held
        goes_on_like_a_fresh_prefill(model, cache, held)


def test_accepted_tokens_wait_for_the_next_draft_until_they_are_many() -> None:
    """Every draft is refused at its last token: all but one token of each waits, and a plain step commits them."""
    model = tiny_of("qwen3_5")
    decoder, answer = knowing(model, wrong=0.0)
    assert isinstance(decoder.drafter, KnowingDrafter)
    decoder.drafter.answer = [one ^ (n % 4 == 3) for n, one in enumerate(answer)]
    assert run(decoder, PROMPT, N, 4) == answer
    record = decoder.last_generation
    assert record is not None
    waited = [one.rows - 1 - one.drafted for one in record.rounds]
    assert max(waited) > 4
    assert max(waited) <= LONGEST_PENDING + 5
    committed = [one for one in record.rounds if not one.drafted and one.rows > 1]
    assert committed
    assert all(one.rows > LONGEST_PENDING for one in committed[:-1])
    assert len(record.rounds) < 0.5 * N


@pytest.mark.parametrize("model_type", KINDS)
def test_adaptive_drafts_of_repeated_text_change_no_token(model_type: str) -> None:
    model = tiny_of(model_type)
    prompt = PROMPT * 3
    wanted = reference(model, TOKENIZER, prompt, N)
    decoder = SpeculativeDecoder(model, TOKENIZER, SuffixDrafter())
    for _ in range(2):
        stream = decoder.stream_generate(prompt, max_tokens=N, speculation=Speculation())
        assert [response.token for response in stream] == wanted


@pytest.mark.parametrize("model_type", KINDS)
def test_a_stop_within_a_draft_ends_the_answer(model_type: str) -> None:
    model = tiny_of(model_type)
    answer = reference(model, TOKENIZER, PROMPT, N)
    ending = tiny_tokenizer()
    ending.eos_token_ids = {answer[7]}
    plain = reference(model, ending, PROMPT, N)
    cache = make_prompt_cache(model)
    decoder = SpeculativeDecoder(model, ending, KnowingDrafter(answer, 0.1))
    assert run(decoder, PROMPT, N, 6, prompt_cache=cache) == plain
    goes_on_like_a_fresh_prefill(model, cache, [*PROMPT, *plain[:-1]])


@pytest.mark.parametrize("model_type", ["qwen3_5", "gpt_oss", "mamba"])
@pytest.mark.parametrize("passes", [0, 1, 2, 4])
def test_a_pass_that_is_broken_off_leaves_a_true_cache(model_type: str, passes: int) -> None:
    """The first pass is the prefill; in each the first layer has taken its rows, and the second has not."""
    model = tiny_of(model_type)
    decoder, answer = knowing(model)
    cache = make_prompt_cache(model)
    layers = next(module["layers"] for _, module in model.named_modules() if "layers" in module)
    layer = layers[1]
    layers[1] = Breaking(layer, passes)
    tokens: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        tokens.extend(
            one.token
            for one in decoder.stream_generate(
                PROMPT, max_tokens=N, prompt_cache=cache, speculation=Speculation("fixed", k=4)
            )
        )
    layers[1] = layer
    text = [*PROMPT, *tokens]
    held = remembered_tokens(cache)
    assert held is not None
    assert held in ([], text[:-1])
    assert (held == []) == (passes == 0)
    assert tokens == answer[: len(tokens)]
    decoder.drafter.answer = answer[len(tokens) :]  # ty: ignore[invalid-assignment]
    rest = run(decoder, text[len(held) :], N - len(tokens), prompt_cache=cache, cached_tokens=held)
    assert [*tokens, *rest] == answer


def test_a_window_shorter_than_a_draft() -> None:
    model = tiny_of("gpt_oss")
    decoder, answer = knowing(model, wrong=0.03)
    assert run(decoder, PROMPT, N, 2 * WINDOW) == answer
    assert decoder.last_generation is not None
    assert max(one.drafted for one in decoder.last_generation.rounds) > WINDOW


@pytest.mark.parametrize("model_type", ["gpt_oss", "llama4"])
def test_what_a_snapshot_takes_is_that_of_the_windows_as_they_fill(model_type: str) -> None:
    model = tiny_of(model_type)
    decoder, answer = knowing(model)
    cache = make_prompt_cache(model)
    assert run(decoder, PROMPT, N, 5, prompt_cache=cache) == answer
    record = decoder.last_generation
    assert record is not None
    windows = [leaf for leaf in cache if isinstance(leaf, RotatingKVCache | ChunkedKVCache)]
    assert record.snapshot_bytes >= sum(leaf.nbytes for leaf in windows) > 0


def test_a_snapshot_that_memory_does_not_allow_ends_drafting_with_the_reason() -> None:
    model = tiny_of("qwen3_5")
    decoder, answer = knowing(model)
    decoder.draft_memory_limit = 1000
    assert run(decoder, PROMPT, N, 4) == answer
    record = decoder.last_generation
    assert record is not None
    assert record.drafted == 0
    assert (record.fallback or "").startswith("memory limit: a snapshot of the target's cache takes ")
    decoder.draft_memory_limit = 1 << 20
    assert run(decoder, PROMPT, N, 4) == answer
    assert decoder.last_generation is not None
    assert decoder.last_generation.fallback is None


class Strange:
    """A cache of a kind that nobody knows."""

    offset = 0


def test_a_cache_of_an_unknown_kind_is_named() -> None:
    assert refusal([Strange()]) == "its cache (Strange) is of a kind that is not known"
    assert refusal([KVCache(), ArraysCache(2), RotatingKVCache(8)]) is None
    assert "holds on to the first 4" in (refusal([RotatingKVCache(8, keep=4)]) or "")
    assert refusal([]) == "it has no cache"


def test_layers_that_disagree_in_length_are_decoded_plainly() -> None:
    model = tiny_of("gpt_oss")
    cache = make_prompt_cache(model)
    model(mx.array([PROMPT], mx.uint32), cache=cache)
    cache[1].trim(1)
    decoder = SpeculativeDecoder(model, TOKENIZER, KnowingDrafter([1] * N))
    run(decoder, MORE, 4, prompt_cache=cache)
    record = decoder.last_generation
    assert record is not None
    assert record.drafted == 0
    length = len(PROMPT)
    assert record.fallback == (f"cache: the layers of its cache disagree in length ({length - 1} to {length} tokens)")


def test_trees_are_for_caches_that_can_be_cut_back() -> None:
    model = tiny_of("qwen3_5")
    decoder, answer = knowing(model)
    stream = decoder.stream_generate(PROMPT, max_tokens=N, speculation=Speculation("fixed", k=4, tree=True))
    assert [response.token for response in stream] == answer
    record = decoder.last_generation
    assert record is not None
    assert record.drafted > 0
    assert (record.fallback or "").startswith("tree: ")


def test_a_draft_model_drafts_for_a_recurrent_target() -> None:
    model = tiny_of("qwen3_5")
    wanted = reference(model, TOKENIZER, PROMPT, N)
    decoder = SpeculativeDecoder(model, TOKENIZER, ModelDrafter(near(tiny_model(1), 2, 0.02)))
    assert run(decoder, PROMPT, N, 3) == wanted
    assert decoder.last_generation is not None
    assert decoder.last_generation.drafted > 0


def test_plain_steps_are_begun_ahead_where_one_can_be_taken_back() -> None:
    for model_type, ahead in (("qwen3_5", True), ("llama4", True), ("mamba", True), ("gpt_oss", False)):
        model = tiny_of(model_type)
        assert TargetCache(model, make_prompt_cache(model), 0).steps_back is ahead
        decoder = SpeculativeDecoder(model, TOKENIZER, SuffixDrafter())
        cache = make_prompt_cache(model)
        stream = decoder.stream_generate(PROMPT, prompt_cache=cache, speculation=Speculation("off"))
        tokens = [next(stream).token for _ in range(5)]
        stream.close()  # ty: ignore[missing-attribute]
        held = [*PROMPT, *tokens[:-1]]
        assert length_of(cache) == len(held)
        goes_on_like_a_fresh_prefill(model, cache, held)
