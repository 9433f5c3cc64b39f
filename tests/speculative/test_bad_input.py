"""What a decoder is not made for: it goes on plain with the reason, or says what is wrong; the next one is unharmed."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx_lm.models.cache import ConcatenateKVCache, QuantizedKVCache, RotatingKVCache, make_prompt_cache
from mlx_lm.sample_utils import make_logits_processors

from punie_trace.errors import ConfigurationError
from punie_trace.speculative import (
    Draft,
    ModelDrafter,
    Speculation,
    SpeculativeDecoder,
    SuffixDrafter,
    TemperatureSampler,
    make_drafter,
)
from tests.speculative.tiny import check_cache, near, reference, tiny_model, tiny_tokenizer

TARGET = tiny_model(1)
DRAFT = near(TARGET, 2, 0.02)
TOKENIZER = tiny_tokenizer()
PROMPT = [5, 9, 13, 5, 9, 13, 5, 9, 2, 40, 41, 42, 5, 9]
MORE = [11, 12, 13]
N = 24
WAYS = (Speculation("fixed", k=4), Speculation("fixed", k=4, tree=True), Speculation())


def run(decoder: SpeculativeDecoder, prompt: list[int], **options: Any) -> list[int]:
    options = {"max_tokens": N, **options}
    return [made.token for made in decoder.stream_generate(prompt, **options)]


def fallback(decoder: SpeculativeDecoder) -> str:
    record = decoder.last_generation
    assert record is not None
    assert record.drafted == 0
    return record.fallback or ""


# Drafts with other ids


def test_a_draft_model_without_its_tokenizer_is_not_taken() -> None:
    for kind in ("model", "hybrid"):
        with pytest.raises(ConfigurationError, match="needs its tokenizer beside it"):
            make_drafter(kind, target_tokenizer=TOKENIZER, draft_model=DRAFT)


@pytest.mark.parametrize("padded", [64, 80])
@pytest.mark.parametrize("target_padded", [64, 72])
def test_outputs_that_are_padded_differently_can_be_drafted_with(padded: int, target_padded: int) -> None:
    """Models of one family and one tokenizer need not have outputs of one size."""
    target, draft = tiny_model(1, vocabulary=target_padded), tiny_model(2, vocabulary=padded)
    tokenizers: Any = {"target_tokenizer": TOKENIZER, "draft_tokenizer": TOKENIZER}
    for sampler in (None, TemperatureSampler(5.0)):  # hot, so that every id is drawn
        for way in WAYS:
            decoder = SpeculativeDecoder(
                target, TOKENIZER, make_drafter("model", draft_model=draft, **tokenizers), seed=1
            )
            got = run(decoder, PROMPT, sampler=sampler, speculation=way)
            record = decoder.last_generation
            assert record is not None
            given_up = way.mode == "adaptive" and (record.fallback or "").startswith("no gain")
            assert record.fallback is None or given_up
            if sampler is None:
                assert got == reference(target, TOKENIZER, PROMPT, N)
            else:
                assert record.drafted > 0 or given_up


def test_a_draft_that_is_wider_than_the_target_proposes_only_what_the_tokenizers_know() -> None:
    drafter = ModelDrafter(tiny_model(2, vocabulary=80), vocabulary=10)
    for sampler in (None, TemperatureSampler(5.0)):
        draft = drafter.propose(PROMPT, 12, sampler=sampler)
        assert max(draft.ids) < 10
        if sampler is not None:
            rows = draft.distributions()
            assert rows is not None
            assert rows.shape == (12, 10)
            assert np.allclose(rows.sum(axis=-1), 1)


def test_an_id_that_only_the_target_has_is_no_row_of_the_drafts_embedding() -> None:
    """A gather beyond the last row reads whatever lies there."""
    drafter = ModelDrafter(tiny_model(2))
    for unknown in (64, 5000, 2**31):
        context = [*PROMPT, unknown, *MORE]
        drafter.begin(context)
        assert drafter.propose(context, 4).ids == ModelDrafter(tiny_model(2)).propose([*PROMPT, 0, *MORE], 4).ids


# Caches that cannot be cut back


def test_a_cache_that_mlx_lm_has_quantized_is_decoded_plainly() -> None:
    wide = tiny_model(3, head=32)
    quantizing: Any = {"kv_bits": 8, "kv_group_size": 32, "quantized_kv_start": 0}
    theirs, ours = make_prompt_cache(wide), make_prompt_cache(wide)
    for cache in (theirs, ours):
        reference(wide, TOKENIZER, PROMPT, 6, prompt_cache=cache, **quantizing)
        assert isinstance(cache[0], QuantizedKVCache)
    wanted = reference(wide, TOKENIZER, MORE, N, prompt_cache=theirs, **quantizing)
    decoder = SpeculativeDecoder(wide, TOKENIZER, ModelDrafter(wide))
    assert run(decoder, MORE, prompt_cache=ours, speculation=Speculation("fixed", k=4)) == wanted
    assert (
        fallback(decoder) == "cache: its cache is quantized (to 8 bits), so drafted and plain decoding need not agree"
    )
    assert ours[0].offset == len(PROMPT) + 6 + len(MORE) + N - 1
    assert run(decoder, PROMPT) == reference(wide, TOKENIZER, PROMPT, N)  # with a cache of its own it drafts again
    assert decoder.last_generation is not None
    assert decoder.last_generation.fallback is None


def test_a_cache_that_rotates_is_decoded_plainly_before_and_when_it_wraps() -> None:
    decoder = SpeculativeDecoder(TARGET, TOKENIZER, ModelDrafter(DRAFT))
    theirs, ours = (make_prompt_cache(TARGET, max_kv_size=len(PROMPT) + 10) for _ in range(2))
    prompt = PROMPT
    for most in (4, N):  # the first turn leaves room, the second wraps in its midst
        wanted = reference(TARGET, TOKENIZER, prompt, most, prompt_cache=theirs)
        assert run(decoder, prompt, prompt_cache=ours, max_tokens=most) == wanted
        assert fallback(decoder).startswith("cache: its cache rotates (it keeps 24 tokens)")
        TARGET(mx.array([wanted[-1:]]), cache=ours)  # mlx-lm's holds the last token too
        prompt = MORE
    assert isinstance(ours[0], RotatingKVCache)
    assert not ours[0].is_trimmable()


def test_a_cache_that_only_counts_what_it_cuts_off_is_cut_for_good() -> None:
    """mlx-lm's trims by its count alone, and hands out the rows all the same."""
    decoder = SpeculativeDecoder(TARGET, TOKENIZER, ModelDrafter(DRAFT))
    cache = [ConcatenateKVCache() for _ in TARGET.layers]
    got = run(decoder, PROMPT, prompt_cache=cache, speculation=WAYS[0])
    assert got == reference(TARGET, TOKENIZER, PROMPT, N)
    held = {part.shape[2] for layer in cache for part in layer.keys_and_values()}
    assert held == {cache[0].offset} == {len(PROMPT) + N - 1}


# A context that runs out


@pytest.mark.parametrize("way", WAYS)
def test_no_row_is_verified_beyond_the_context_of_the_target(way: Speculation) -> None:
    short = tiny_model(1)
    short.args.max_position_embeddings = limit = len(PROMPT) + 10
    decoder = SpeculativeDecoder(short, TOKENIZER, ModelDrafter(DRAFT))
    assert run(decoder, PROMPT, speculation=way) == reference(TARGET, TOKENIZER, PROMPT, N)
    record = decoder.last_generation
    assert record is not None
    held = len(PROMPT) - 1
    for one in record.rounds:
        assert not one.drafted or held + 1 + one.drafted <= limit
        held += one.emitted


# A request that is cancelled between draft and verify


class Interrupting(SuffixDrafter):
    """A signal arrives when it has made its third guess."""

    guesses = 0

    def propose(self, *given: Any, **options: Any) -> Draft:
        self.guesses += 1
        if self.guesses == 3:
            raise KeyboardInterrupt
        return super().propose(*given, **options)


class Failing(nn.Module):
    """A layer that can be told to fail, once those before it have written to their caches."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.inner = layer
        self.countdown: tuple[int, ...] = ()

    def __call__(self, x: mx.array, mask: Any = None, cache: Any = None) -> mx.array:
        if self.countdown:
            [left] = self.countdown
            self.countdown = (left - 1,) if left else ()
            if not left:
                raise KeyboardInterrupt
        return self.inner(x, mask, cache)


@pytest.mark.parametrize("way", WAYS[:2])
def test_a_signal_between_draft_and_verify_leaves_a_true_cache(way: Speculation) -> None:
    decoder = SpeculativeDecoder(TARGET, TOKENIZER, Interrupting())
    cache = make_prompt_cache(TARGET)
    tokens: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        tokens.extend(made.token for made in decoder.stream_generate(PROMPT, prompt_cache=cache, speculation=way))
    check_cache(TARGET, cache, [*PROMPT, *tokens][: cache[0].offset])
    wanted = reference(TARGET, TOKENIZER, PROMPT, N)
    assert tokens == wanted[: len(tokens)]
    assert run(decoder, PROMPT, speculation=way) == wanted
    assert decoder.last_generation is not None
    assert decoder.last_generation.fallback is None  # the drafter was let go


@pytest.mark.parametrize("way", WAYS[:2])
@pytest.mark.parametrize("passes", [0, 1, 3])
def test_a_pass_that_is_broken_off_leaves_a_true_cache(way: Speculation, passes: int) -> None:
    """The first is the prefill; in each the first layer has taken its rows, and the second has not."""
    target = tiny_model(1)
    target.layers[1] = failing = Failing(target.layers[1])
    decoder = SpeculativeDecoder(target, TOKENIZER, ModelDrafter(DRAFT))
    run(decoder, MORE, max_tokens=2, speculation=way)  # what is tried once is behind us
    failing.countdown = (passes,)
    cache = make_prompt_cache(target)
    tokens: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        tokens.extend(made.token for made in decoder.stream_generate(PROMPT, prompt_cache=cache, speculation=way))
    held = [*PROMPT, *tokens][: max(0, len(PROMPT) + len(tokens) - 1)]
    if passes:
        check_cache(target, cache, held)
    else:
        assert {layer.offset for layer in cache} == {0}
    rest = [*PROMPT, *tokens][cache[0].offset :]
    wanted = reference(TARGET, TOKENIZER, PROMPT, N)
    assert [*tokens, *run(decoder, rest, prompt_cache=cache, max_tokens=N - len(tokens), speculation=way)] == wanted


def test_a_draft_model_that_was_broken_off_reads_the_rest_again() -> None:
    draft = near(TARGET, 2, 0.0)
    draft.layers[1] = failing = Failing(draft.layers[1])
    decoder = SpeculativeDecoder(TARGET, TOKENIZER, ModelDrafter(draft))
    failing.countdown = (5,)
    with pytest.raises(KeyboardInterrupt):
        run(decoder, PROMPT, speculation=WAYS[0])
    assert run(decoder, PROMPT, speculation=WAYS[0]) == reference(TARGET, TOKENIZER, PROMPT, N)
    record = decoder.last_generation
    assert record is not None
    assert record.acceptance == 1.0  # a copy of the target agrees only if its cache is true


# Logits processors and a text that is in the cache


@pytest.mark.parametrize("known", [True, False])
def test_processors_are_shown_the_part_of_the_text_that_is_in_the_cache(known: bool) -> None:
    cut = 9
    penalty: Any = make_logits_processors(repetition_penalty=3.0, repetition_context_size=50)
    wanted = reference(TARGET, TOKENIZER, PROMPT, N, logits_processors=penalty)
    for way in (*WAYS, Speculation("off")):
        decoder = SpeculativeDecoder(TARGET, TOKENIZER, ModelDrafter(DRAFT))
        cache = make_prompt_cache(TARGET)
        if known:
            TARGET(mx.array([PROMPT[:cut]]), cache=cache)
            options: Any = {"cached_tokens": PROMPT[:cut]}
        else:  # noted on the cache by the generation that read it
            run(decoder, PROMPT[:cut], prompt_cache=cache, max_tokens=1)
            options = {}
        got = run(decoder, PROMPT[cut:], prompt_cache=cache, logits_processors=penalty, speculation=way, **options)
        assert got == wanted, way
