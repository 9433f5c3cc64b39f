"""Token identity on every model type of mlx-lm that makes its own cache: recurrent, rotating, chunked and mixed ones.

Each is tiny, of random weights, in single precision. The text is longer than its windows, and drafts are wrong at every
place now and then.
"""

from __future__ import annotations

import copy
import itertools
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import pytest
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.sample_utils import make_logits_processors

from punie_trace.speculative import Speculation, SpeculativeDecoder
from punie_trace.speculative.cache import length_of, model_refusal, remembered_tokens
from tests.speculative.knowing_drafter import KnowingDrafter
from tests.speculative.models_table import PACKED, table
from tests.speculative.tiny import reference, tiny_tokenizer
from tests.speculative.tiny_family import WINDOW, candidates, tiny_of

PROMPT = [(7 * n + n * n // 3) % 60 for n in range(2 * WINDOW + 6)]
MORE = [3, 1, 4, 1, 5]
FIRST, LATER, PENALISED = 24, 20, 12  # tokens of a first turn, of the next, and with processors
NEEDS_METAL = {"muse_spark"}
TOKENIZER = tiny_tokenizer()
TOKENIZER.eos_token_ids = set()


def run(decoder: SpeculativeDecoder, prompt: list[int], most: int = FIRST, k: int = 4, **options: Any) -> list[int]:
    stream = decoder.stream_generate(prompt, max_tokens=most, speculation=Speculation("fixed", k=k), **options)
    return [response.token for response in stream]


def penalty() -> list[Any]:
    return make_logits_processors(repetition_penalty=1.3, repetition_context_size=20)


def goes_on_like_a_fresh_prefill(model: nn.Module, cache: list, tokens: list[int]) -> None:
    """What the cache says to one more token. It holds that token afterwards."""
    fresh = make_prompt_cache(model)
    model(mx.array([tokens], mx.uint32), cache=fresh)
    probe = mx.array([[7]], mx.uint32)
    wanted, got = model(probe, cache=fresh), model(probe, cache=cache)
    assert float(mx.max(mx.abs(wanted - got))) < 2e-3 * float(mx.max(mx.abs(wanted)))


@pytest.mark.parametrize("model_type", [name for name in candidates() if name != PACKED])
def test_drafts_change_no_token(model_type: str) -> None:
    if model_type in NEEDS_METAL and not mx.metal.is_available():
        pytest.skip("its kernels are Metal's")
    model = tiny_of(model_type)
    refused = model_refusal(model) is not None
    drafter = KnowingDrafter()
    decoder = SpeculativeDecoder(model, TOKENIZER, drafter)

    drafter.answer = wanted = reference(model, TOKENIZER, PROMPT, FIRST)
    cache = make_prompt_cache(model)
    assert run(decoder, PROMPT, prompt_cache=cache) == wanted
    record = decoder.last_generation
    assert record is not None
    assert (record.fallback is not None) == refused
    assert (record.drafted > record.accepted > 0) != refused
    assert len(record.rounds) < 0.6 * FIRST or refused

    # The next turn of the same conversation, with drafts longer than the window, cancelled in the midst of one.
    text = [*PROMPT, *wanted, *MORE]
    if refused:  # rows read together and single ones differ, whoever reads them: mlx-lm goes on from the same cache
        longer = reference(model, TOKENIZER, [wanted[-1], *MORE], LATER, prompt_cache=copy.deepcopy(cache))
    else:
        longer = reference(model, TOKENIZER, text, LATER)
    drafter.answer = longer
    stream = decoder.stream_generate(
        [wanted[-1], *MORE], max_tokens=LATER, prompt_cache=cache, speculation=Speculation("fixed", k=WINDOW + 4)
    )
    begun = [response.token for response in itertools.islice(stream, 9)]
    stream.close()  # ty: ignore[missing-attribute]
    assert begun == longer[:9]
    held = [*text, *begun[:-1]]
    assert length_of(cache) == len(held)
    assert remembered_tokens(cache) == held
    drafter.answer = longer[9:]
    assert run(decoder, begun[-1:], LATER - 9, prompt_cache=cache) == longer[9:]
    if not refused:
        goes_on_like_a_fresh_prefill(model, cache, [*text, *longer[:-1]])

    # Processors see every token once, in order.
    drafter.answer = penalised = reference(model, TOKENIZER, PROMPT, PENALISED, logits_processors=penalty())
    assert run(decoder, PROMPT, PENALISED, logits_processors=penalty()) == penalised


def test_the_table_of_the_documentation_is_what_the_models_say() -> None:
    text = (Path(__file__).parents[2] / "docs" / "speculative" / "models.md").read_text(encoding="utf-8")
    assert table() in text
