from __future__ import annotations

import random

import numpy as np
import pytest

from punie_trace.models import shipped_model
from punie_trace.records import ToolMode
from recipes.code_mode import kept_words
from recipes.dataset import Encoder, conversations, load_tokenizer, several_calls
from recipes.renaming import Renaming


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(load_tokenizer(shipped_model()[0]))


def test_tokens_are_swapped_one_for_one_and_alike_everywhere(encoder: Encoder) -> None:
    renaming = Renaming(encoder)
    words, ordinary = set(renaming.words()), set(renaming.ordinary())
    by_kind = {"words": 0, "all tokens": 0}
    for number, conversation in enumerate(conversations(11, 40)):
        if conversation.turns[0].call is None:
            continue
        before = encoder.example(conversation)
        after = renaming.rename(before, random.Random(number))
        pairs = set(zip(before.tokens.tolist(), after.tokens.tolist(), strict=True))
        assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}), "one for one"
        swapped = {(a, b) for a, b in pairs if a != b}
        assert all({a, b} <= ordinary for a, b in swapped)
        assert np.array_equal(before.weights, after.weights)
        by_kind["words" if all({a, b} <= words for a, b in swapped) else "all tokens"] += len(swapped)
    assert min(by_kind.values()) > 100


def test_calls_stay_in_a_scrambled_example(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recipes.renaming.SCRAMBLED", 1.0)
    renaming = Renaming(encoder)
    changed = 0
    for number, conversation in enumerate(conversations(14, 30)):
        if conversation.turns[0].call is None:
            continue
        before = encoder.example(conversation)
        after = renaming.rename(before, random.Random(number))
        texts = [str(encoder.tokenizer.decode(example.tokens)) for example in (before, after)]
        calls = [text.split("<tool_response>")[0] for text in texts]
        assert calls[0] == calls[1]
        changed += texts[0] != texts[1]
    assert changed > 5


@pytest.mark.parametrize("mode", ["calls", "code"])
def test_names_of_several_calls_are_swapped_and_what_says_what_to_do_stays(mode: ToolMode) -> None:
    encoder = Encoder(load_tokenizer(shipped_model()[0]), mode)
    renaming = Renaming(encoder, kept_words())
    swapped, kept = 0, 0
    for number, conversation in enumerate(several_calls(5, 30)):
        if conversation.mode != mode or conversation.turns[0].call is None:
            continue
        before = encoder.example(conversation)
        after = renaming.rename_shared(before, random.Random(number))
        swapped += not np.array_equal(before.tokens, after.tokens)
        texts = [str(encoder.tokenizer.decode(one.tokens)) for one in (before, after)]
        for word in ("serializer_class = ", "for name in ", "so far.", "is the last.", "total: ", ".split('"):
            assert texts[0].count(word) == texts[1].count(word)
            kept += texts[0].count(word)
    assert swapped > 5
    assert kept > 5


def test_the_wording_of_a_question_stays(encoder: Encoder) -> None:
    renaming = Renaming(encoder)
    end = encoder.tokenizer.convert_tokens_to_ids("<|im_end|>")
    for number, conversation in enumerate(conversations(12, 30)):
        if conversation.turns[0].call is None:
            continue
        before = encoder.example(conversation)
        after = renaming.rename(before, random.Random(number))
        length = before.tokens.tolist().index(end)
        answered = set(before.tokens[length:].tolist())
        for a, b in zip(before.tokens[:length].tolist(), after.tokens[:length].tolist(), strict=True):
            assert a == b or a in answered


def test_the_same_seed_swaps_the_same(encoder: Encoder) -> None:
    renaming = Renaming(encoder)
    example = next(encoder.example(c) for c in conversations(13, 20) if c.turns[0].call is not None)
    first, second = (renaming.rename(example, random.Random(5)).tokens for _ in range(2))
    assert np.array_equal(first, second)
