"""The tokenizer gives every text back, splits names, and the chat template agrees with what the model writes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlx_lm.tokenizer_utils import load as load_tokenizer

from recipes.chat import Call, Turn, messages
from recipes.dataset import Encoder, conversations, prompt_schemas
from recipes.tokenizer import save_tokenizer, train_tokenizer


@pytest.fixture(scope="module")
def raw():
    texts = [turn.text for c in conversations(1, 200) for turn in c.turns] + ["Find all shop views"] * 20
    return train_tokenizer(texts, 700)


@pytest.fixture(scope="module")
def folder(raw, tmp_path_factory):
    place = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(raw, place)
    return place


@given(st.text(max_size=60))
@settings(max_examples=200, deadline=None)
def test_every_text_comes_back(raw, text: str):
    assert raw.decode(raw.encode(text).ids, skip_special_tokens=False) == text


def test_a_name_is_the_same_tokens_wherever_it_stands(raw):
    name = raw.encode("VokraShipment").ids
    for text in (
        "show VokraShipment now",
        "class VokraShipment(Base)",
        '"VokraShipment"',
        "x.VokraShipment",
        "_VokraShipment",
    ):
        ids = raw.encode(text).ids
        assert any(ids[i : i + len(name)] == name for i in range(len(ids))), text


def test_a_plural_is_its_singular_and_s(raw):
    plural, single = raw.encode("tasks").ids, raw.encode("task").ids
    assert plural[: len(single)] == single


def test_mlx_lm_sees_json_tool_calls_and_no_thinking(folder):
    tokenizer = load_tokenizer(folder)
    assert tokenizer.has_tool_calling
    assert not tokenizer.has_thinking
    assert tokenizer.tool_call_start == "<tool_call>"


def test_history_is_token_identical_to_what_was_generated(folder):
    tokenizer = load_tokenizer(folder)
    call = Turn("no match for 'é'", Call("search_code", {"pattern": 'a"b\\é', "path": "shop/x.py"}))
    asked = tokenizer.apply_chat_template(messages("find é", []), tools=prompt_schemas(), add_generation_prompt=True)
    arguments = '{"pattern": "a\\"b\\\\é", "path": "shop/x.py"}'
    text = f'<tool_call>\n{{"name": "search_code", "arguments": {arguments}}}\n</tool_call><|im_end|>'
    generated = tokenizer.encode(text, add_special_tokens=False)
    later = tokenizer.apply_chat_template(
        messages("find é", [call]), tools=prompt_schemas(), add_generation_prompt=True
    )
    assert later[: len(asked) + len(generated)] == asked + generated


def test_several_calls_and_empty_content(folder):
    tokenizer = load_tokenizer(folder)
    calls = [{"type": "function", "function": {"name": "list_files", "arguments": {}}}] * 2
    told = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "content": "1"},
        {"role": "tool", "content": "2"},
    ]
    text = tokenizer.apply_chat_template(told, tokenize=False)
    one = '<tool_call>\n{"name": "list_files", "arguments": {}}\n</tool_call>'
    assert (
        f"assistant\n{one}\n{one}<|im_end|>\n<|im_start|>user\n<tool_response>\n1\n</tool_response>\n<tool_response>\n2"
        in text
    )


def test_only_the_assistants_tokens_carry_weight(folder):
    tokenizer = load_tokenizer(folder)
    encoder = Encoder(tokenizer._tokenizer)
    conversation = next(c for c in conversations(2, 100) if c.kind == "definition")
    example = encoder.example(conversation)
    told = tokenizer.decode(example.tokens[example.weights > 0].tolist())
    assert told.startswith("<tool_call>")
    assert told.endswith(conversation.turns[-1].text + "<|im_end|>")
    assert conversation.question not in told
