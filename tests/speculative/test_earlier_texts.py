"""What drafters may know of earlier requests: none, a conversation's, a salt's; and that they can be made to forget."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from punie_trace.errors import ConfigurationError
from punie_trace.speculative import HybridDrafter, ModelDrafter, Speculation, SpeculativeDecoder, SuffixDrafter
from punie_trace.speculative.automaton import BYTES_PER_TOKEN
from punie_trace.speculative.earlier_texts import TextStores
from punie_trace.speculative.memory import Memory
from tests.speculative.tiny import near, reference, tiny_model, tiny_tokenizer

TARGET = tiny_model(1)
DRAFT = near(TARGET, 2, 0.02)
TOKENIZER = tiny_tokenizer()
QUESTION = [1, 2, 3]
ANSWER = [50, 51, 52, 53, 54, 55]
MEMORIES: tuple[Memory, ...] = ("request", "conversation", "server")


def answered(drafter: SuffixDrafter, question: list[int], answer: list[int], memory: Memory, salt: str = "") -> None:
    """One request from its beginning to its end."""
    drafter.use_memory(memory, salt)
    drafter.begin(question)
    drafter.commit(answer)
    drafter.end([*question, *answer], len(question))


def proposed(drafter: SuffixDrafter, question: list[int], memory: Memory, salt: str = "") -> tuple[int, ...]:
    """What it drafts at the beginning of another request."""
    drafter.use_memory(memory, salt)
    drafter.begin(question)
    return drafter.propose(question, 6).ids


@pytest.mark.parametrize("memory", MEMORIES)
def test_only_a_server_remembers_the_answer_to_the_same_question(memory: Memory) -> None:
    drafter = SuffixDrafter()
    answered(drafter, QUESTION, ANSWER, memory)
    assert proposed(drafter, QUESTION, memory) == (tuple(ANSWER) if memory == "server" else ())


def test_stores_of_two_salts_know_nothing_of_each_other() -> None:
    drafter = SuffixDrafter()
    answered(drafter, QUESTION, ANSWER, "server", "one")
    assert proposed(drafter, QUESTION, "server", "other") == ()
    assert proposed(drafter, QUESTION, "server", "one") == tuple(ANSWER)


def test_a_conversation_remembers_what_it_emitted_and_the_same_question_again_begins_another() -> None:
    drafter = SuffixDrafter(window=4)  # so short that the earlier turns are not in the text that is indexed
    first = [*QUESTION, *ANSWER, 20, 21, 22]
    answered(drafter, QUESTION, ANSWER, "conversation")
    assert proposed(drafter, [*first, *QUESTION], "conversation") == tuple(ANSWER)
    answered(drafter, first, [30, 31, 32, 33], "conversation")
    assert proposed(drafter, [*first, *QUESTION], "conversation") == ()  # the turn before it was gone on from already
    assert proposed(drafter, [*first, 30, 31, 32, 33, *QUESTION], "conversation", "other salt") == ()
    assert proposed(drafter, QUESTION, "conversation") == ()


@pytest.mark.parametrize("salt", [None, "one"])
def test_a_drafter_forgets_one_salt_or_all(salt: str | None) -> None:
    drafter = SuffixDrafter()
    for name in ("one", "other"):
        answered(drafter, QUESTION, ANSWER, "server", name)
    drafter.forget(salt)
    assert proposed(drafter, QUESTION, "server", "one") == ()
    assert proposed(drafter, QUESTION, "server", "other") == (() if salt is None else tuple(ANSWER))
    if salt is None:
        drafter.begin([9])
        assert drafter.nbytes < 3 * BYTES_PER_TOKEN


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from(MEMORIES), st.sampled_from(["", "a", "b"]), st.integers(0, 5), st.integers(2, 40)),
        max_size=30,
    )
)
def test_all_stores_together_stay_within_their_limit(requests: list[tuple[Memory, str, int, int]]) -> None:
    stores = TextStores(limit=80 * (BYTES_PER_TOKEN + 8))
    context: list[int] = []
    for memory, salt, start, length in requests:
        context = [*context, start] if start else [start]
        stores.open_for(memory, salt, context)
        answer = tuple(range(100 * start, 100 * start + length))
        context = [*context, *answer]
        stores.close(context, answer)
        assert stores.nbytes <= stores.limit


def run(decoder: SpeculativeDecoder, prompt: list[int], memory: Memory, **options: Any) -> list[int]:
    asked = Speculation("fixed", k=4, memory=memory, **options)
    return [response.token for response in decoder.stream_generate(prompt, max_tokens=24, speculation=asked)]


@pytest.mark.parametrize("memory", MEMORIES)
def test_what_is_remembered_changes_how_much_is_drafted_and_never_what_is_emitted(memory: Memory) -> None:
    prompt = [5, 9, 13, 5, 9, 13, 5, 9, 2, 40, 41, 42, 5, 9]
    decoder = SpeculativeDecoder(TARGET, TOKENIZER, HybridDrafter(SuffixDrafter(), ModelDrafter(DRAFT)))
    wanted = reference(TARGET, TOKENIZER, prompt, 24)
    lags = []
    for _ in range(2):
        assert run(decoder, prompt, memory, drafter="model") == wanted
        assert decoder.last_generation is not None
        lags.append(max(one.lag for one in decoder.last_generation.rounds))
    assert run(decoder, prompt, memory, drafter="suffix") == wanted
    before = decoder.last_generation
    assert run(decoder, prompt, memory, drafter="suffix") == wanted
    after = decoder.last_generation
    assert before is not None
    assert after is not None
    if memory == "server":
        assert after.accepted > before.accepted
    else:
        assert after.accepted == before.accepted


def test_a_draft_models_caches_are_kept_apart_and_forgotten() -> None:
    drafter = ModelDrafter(DRAFT)
    talk = [(7 * n + n // 5) % 60 for n in range(150)]

    def lag(text: list[int], memory: Memory, salt: str = "") -> int:
        drafter.use_memory(memory, salt)
        drafter.begin(text)
        found = drafter.lag(text)
        drafter.propose(text, 4)
        drafter.end(text, len(text))
        return found

    assert lag(talk, "server") == 149
    assert lag(talk, "server") == 0
    assert lag(talk, "server", "other") == 149
    assert lag(talk, "request") == 149
    assert lag(talk, "conversation", "third") == 149
    assert lag([*talk, 1, 2, 3], "conversation", "third") == 2
    assert lag(talk, "conversation", "third") == 0  # what is computed of the same beginning tells nothing of an answer
    assert lag(talk, "request", "third") == 149
    drafter.forget("other")
    assert lag(talk, "server", "other") == 149
    drafter.forget()
    assert lag(talk, "server") == 149
    assert len(drafter._caches) == 1


def test_forgetting_waits_for_a_generation_that_is_drafting() -> None:
    decoder = SpeculativeDecoder(TARGET, TOKENIZER, SuffixDrafter())
    run(decoder, QUESTION, "server")
    stream = decoder.stream_generate(QUESTION, max_tokens=8, speculation=Speculation("fixed", k=2))
    next(stream)
    held = decoder.drafter.nbytes if decoder.drafter else 0
    assert decoder.forget() is False
    assert decoder.drafter is not None
    assert decoder.drafter.nbytes == held
    list(stream)
    assert decoder.drafter.nbytes == 0
    assert decoder.forget() is True


def test_an_unknown_memory_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'server'"):
        Speculation(memory="servers")  # ty: ignore[invalid-argument-type]
