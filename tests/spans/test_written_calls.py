"""The calls that come out are those that the model wrote, whatever order, ids and indexes a server gives its pieces."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_trace.records import JsonValue
from punie_trace.spans.written_calls import CallAssembler, deeper_than, parse_arguments

Piece = dict[str, JsonValue]


def piece(name: str | None = None, arguments: JsonValue = None, **more: JsonValue) -> Piece:
    both: Piece = {"name": name, "arguments": arguments}
    function: JsonValue = {key: value for key, value in both.items() if value is not None}
    return {"type": "function", "function": function, **more}


def assembled(*pieces: Piece) -> list[tuple[str, str]]:
    assembler = CallAssembler()
    for one in pieces:
        assembler.add(one)
    calls = assembler.calls()
    assert len({call.id for call in calls}) == len(calls), "each has an id of its own"
    assert all(call.id for call in calls)
    return [(call.name, call.arguments) for call in calls]


TWO = [("f", '{"a": 1}'), ("f", '{"a": 2}')]
SERVERS: dict[str, list[Piece]] = {
    "by OpenAI's rules": [
        piece("f", "", index=0, id="a"),
        piece(None, '{"a": 1}', index=0),
        piece("f", "", index=1, id="b"),
        piece(None, '{"a": 2}', index=1),
    ],
    "pieces in turns": [
        piece("f", '{"a"', index=0, id="a"),
        piece("f", '{"a"', index=1, id="b"),
        piece(None, ": 1}", index=0),
        piece(None, ": 2}", index=1),
    ],
    "no index (Ollama, Gemini)": [piece("f", '{"a": 1}', id="a"), piece("f", '{"a": 2}', id="b")],
    "no index and no ids": [piece("f", '{"a": 1}'), piece("f", '{"a": 2}')],
    "index 0 for all": [piece("f", '{"a": 1}', index=0, id="a"), piece("f", '{"a": 2}', index=0, id="b")],
    "index 0 and one id for all": [piece("f", '{"a": 1}', index=0, id="a"), piece("f", '{"a": 2}', index=0, id="a")],
    "empty ids (LM Studio)": [piece("f", '{"a": 1}', index=0, id=""), piece("f", '{"a": 2}', index=1, id="")],
    "id and name with every piece (SGLang)": [
        piece("f", "", index=0, id="a"),
        piece("f", '{"a"', index=0, id="a"),
        piece("f", ": 1}", index=0, id="a"),
        piece("f", '{"a": 2}', index=1, id="b"),
        piece("f", "", index=1, id="b"),
    ],
    "arguments as objects (llama.cpp)": [piece("f", {"a": 1}, index=0, id="a"), piece("f", {"a": 2}, index=1, id="b")],
    "index as text, from 1": [piece("f", '{"a": 1}', index="1", id="a"), piece("f", '{"a": 2}', index="2", id="b")],
    "flat": [{"name": "f", "arguments": '{"a": 1}'}, {"name": "f", "arguments": '{"a": 2}'}],
}  # fmt: skip


@pytest.mark.parametrize("server", SERVERS)
def test_each_servers_two_calls_are_two_calls(server: str) -> None:
    assert assembled(*SERVERS[server]) == TWO


@pytest.mark.parametrize(
    "names",
    [["find_", "definition"], ["find_", "find_definition"], ["find_definition"] * 3, ["", "find_definition", ""]],
)
def test_a_name_may_come_in_pieces_and_again(names: list[str]) -> None:
    pieces = [piece(name, "", index=0, id="a") for name in names]
    last = [piece(None, '{"a"', index=0), piece(names[-1], ": 1}", index=0, id="a")]
    assert assembled(*pieces, *last) == [("find_definition", '{"a": 1}')]


def test_another_id_with_another_name_is_another_call_though_the_first_has_no_arguments() -> None:
    calls = assembled(piece("list", "", index=0, id="a"), piece("find", '{"a": 1}', index=0, id="b"))
    assert calls == [("list", ""), ("find", '{"a": 1}')]


def test_a_call_without_a_name_is_none_but_is_known() -> None:
    assembler = CallAssembler()
    assembler.add(piece(None, '{"a": 1}', index=0, id="a"))
    assert assembler.calls() == ()
    assert assembler.nameless()
    assert assembler.add({"function": None}) is None or len(assembler) == 1


def test_made_up_ids_are_the_same_each_time_and_others_for_other_answers() -> None:
    def of(salt: str) -> str:
        assembler = CallAssembler()
        assembler.salt = salt
        assembler.add(piece("f", "{}"))
        return assembler.calls()[0].id

    assert of("c-1") == of("c-1") != of("c-2")


@given(
    st.lists(st.tuples(st.sampled_from("fg"), st.dictionaries(st.text(max_size=3), st.integers()), st.integers(1, 9))),
    st.booleans(),
)
def test_calls_cut_anywhere_come_out_whole(calls: list[tuple[str, dict[str, JsonValue], int]], ids: bool) -> None:
    pieces: list[Piece] = []
    for place, (name, arguments, size) in enumerate(calls):
        text = json.dumps(arguments)
        parts = [text[start : start + size] for start in range(0, len(text), size)]
        more: Piece = {"id": f"i{place}"} if ids else {}
        pieces.append(piece(name, parts[0], index=place, **more))
        pieces += [piece(None, part, index=place) for part in parts[1:]]
    assert assembled(*pieces) == [(name, json.dumps(arguments)) for name, arguments, _ in calls]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{oops", "not JSON"),
        ('{"a": NaN}', "not JSON"),
        ('"\\ud800"', "not JSON"),
        ("[1]", "no JSON object but [1]"),
        ("null", "no JSON object but null"),
        ("[" * 960 + "]" * 960, "nested deeper than 64"),
        ('{"a": "' + "x" * 1_100_000 + '"}', "longer than"),
    ],
)
def test_arguments_that_cannot_be_used_say_why(text: str, says: str) -> None:
    arguments, problem = parse_arguments(text)
    assert arguments is None
    assert says in str(problem)


def test_no_text_means_no_arguments() -> None:
    assert parse_arguments(" ") == ({}, None)
    assert parse_arguments('{"a": [1, {"b": null}]}') == ({"a": [1, {"b": None}]}, None)


@given(st.integers(0, 200), st.integers(0, 100), st.text(alphabet='[{"\\}]', max_size=30))
def test_depth_is_told_without_parsing(depth: int, most: int, noise: str) -> None:
    assert deeper_than("[" * depth + json.dumps(noise) + "]" * depth, most) == (depth > most)
