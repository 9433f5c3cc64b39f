"""The generators: the same for the same seed, true to the tools, away from forbidden texts; and what they become."""

from __future__ import annotations

import ast
import random
from itertools import islice

import numpy as np
import pytest

from punie_trace.suite.fresh.codebase import make_codebase
from punie_trace.suite.fresh.names import RESERVED, class_name, function_name, plural
from recipes.conversations import MAKERS
from recipes.dataset import Example, conversations, first_turn
from recipes.overlap import OverlapCheck

STANDARD = (
    "Find all Django views in the codebase",
    "Show me the UserSerializer implementation",
    "What is dependency injection?",
    "Find all uses of async/await",
    "What's the difference between ORM and raw SQL?",
)


@pytest.fixture(scope="module")
def some():
    return list(conversations(3, 300))


def test_same_seed_same_conversations(some):
    assert list(conversations(3, 300)) == some
    assert list(conversations(4, 300)) != some


def test_each_ends_with_an_answer_and_only_there(some):
    for conversation in some:
        assert [turn.call is None for turn in conversation.turns] == [False] * (len(conversation.turns) - 1) + [True]
        assert conversation.turns[-1].text


def test_arguments_come_from_the_question_or_from_a_tool(some):
    for conversation in some:
        for place, turn in enumerate(conversation.turns):
            path = (turn.call.arguments.get("path") if turn.call else None) or ""
            seen = conversation.question.lower() + "".join(t.text.lower() for t in conversation.turns[:place])
            named = path.lower() in seen or path.removesuffix(".txt").removesuffix(".md").lower() in seen
            assert named or "dependencies" in seen or "packages" in seen


def test_definitions_are_quoted_whole(some):
    quoted = [c for c in some if c.kind == "definition" and len(c.turns) == 2]
    assert quoted
    for conversation in quoted:
        source = conversation.turns[0].text.partition("\n")[2]
        assert source in conversation.turns[1].text


def test_kinds_are_all_there(some):
    kinds = {c.kind for c in some}
    assert {"search", "usage", "definition", "read", "structure", "concept", "comparison", "advice"} <= kinds
    assert len(MAKERS) >= 6


def test_forbidden_texts_do_not_come_up():
    first = next(islice(conversations(11, 50), 10, None)).question
    assert any(c.question == first for c in conversations(11, 50))
    check = OverlapCheck([first])
    assert not any(check.near(c.question) for c in conversations(11, 50, check))


def test_nothing_comes_near_the_standard_questions():
    check = OverlapCheck(STANDARD)
    made = [c.question for seed in range(3) for c in conversations(seed, 400)]
    assert not any("userserializer" in q.lower() or "dependency injection" in q.lower() for q in made)
    assert not any("django views" in q.lower() or "async/await" in q.lower() for q in made)
    assert sum(check.near(q) for q in made) == 0


def test_codebases_parse():
    for seed in range(20):
        for path, text in make_codebase(random.Random(seed)).items():
            if path.endswith(".py"):
                ast.parse(text)


def test_reserved_names_are_never_made():
    rng = random.Random(0)
    made = {class_name(rng) for _ in range(3000)} | {function_name(rng) for _ in range(3000)}
    assert not made & RESERVED


@pytest.mark.parametrize(
    ("one", "many"), [("task", "tasks"), ("query", "queries"), ("class", "classes"), ("day", "days")]
)
def test_plural(one: str, many: str):
    assert plural(one) == many


def test_a_first_turn_ends_where_the_assistant_first_stops():
    weights = np.array([0, 0, 2, 2, 0, 0, 1, 1], dtype=np.float32)
    cut = first_turn(Example(np.arange(8, dtype=np.int32), weights))
    assert cut.tokens.tolist() == [0, 1, 2, 3]
    whole = first_turn(Example(np.arange(4, dtype=np.int32), np.array([0, 0, 1, 1], dtype=np.float32)))
    assert len(whole.tokens) == 4
