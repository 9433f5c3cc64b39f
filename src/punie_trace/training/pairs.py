"""Concise pairs of a run: for each question that was answered right, its shortest right answer, made shorter by rules.

Questions are split by their names into those that are trained on and those that are held out, the same way each time:
what was trained on is not measured on. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from punie_trace.records import Answer, Outcome, Query, Verdict
from punie_trace.runs.reader import RunRecord
from punie_trace.suite.check import judge
from punie_trace.training.conversations import Conversation, conversation_of
from punie_trace.training.cuts import Context, concise

FEWEST_TOOL: Final = 20
FEWEST_DIRECT: Final = 10
HELD_OUT_SHARE: Final = 0.25
_FEWEST_HELD_OUT: Final = 4


@dataclass(frozen=True, slots=True)
class Pair:
    """One question's conversation, the answer that ended it, and the concise one. `cuts` are the rules that cut it."""

    query: str
    conversation: Conversation
    answer: str
    concise: str
    cuts: tuple[str, ...]

    @property
    def kind(self) -> str:
        """'tool' where one was called, else 'direct'."""
        return "tool" if self.conversation.calls else "direct"

    def examples(self) -> tuple[dict[str, Any], ...]:
        """What is trained on, each ending with what the model is to say: its calls as they were, its answer concise."""
        messages = list(self.conversation.messages)
        tools = {"tools": list(self.conversation.tools)} if self.conversation.tools else {}
        called = [
            {"messages": messages[: place + 1], **tools}
            for place, one in enumerate(messages)
            if one["role"] == "assistant" and one.get("tool_calls")
        ]
        last = {"messages": [*messages[:-1], {"role": "assistant", "content": self.concise}], **tools}
        return (*called, last)


@dataclass(frozen=True, slots=True)
class Pairs:
    """The pairs to train on, the questions that are held out, and why others gave none."""

    pairs: tuple[Pair, ...]
    held_out: tuple[Query, ...]
    without: dict[str, int]

    def count(self, kind: str) -> int:
        """How many pairs are of the kind, 'tool' or 'direct'."""
        return sum(one.kind == kind for one in self.pairs)

    @property
    def shorter_by(self) -> float:
        """The share of the answers' characters that the concise ones do without, 0 to 1."""
        before = sum(len(one.answer) for one in self.pairs)
        return 1 - sum(len(one.concise) for one in self.pairs) / before if before else 0.0


def concise_pairs(run: RunRecord, configuration: str) -> Pairs:
    """The pairs of one configuration's right answers. What no rule makes shorter is a pair too: it is to stay."""
    queries = run.header.suite.queries
    held_out = held_out_of(query.name for query in queries)
    right: dict[str, list[Outcome]] = {}
    for outcome in run.outcomes:
        if outcome.configuration == configuration and outcome.verdict is Verdict.CORRECT:
            right.setdefault(outcome.query, []).append(outcome)
    pairs: list[Pair] = []
    without: dict[str, int] = {}
    for query in queries:
        if query.name in held_out:
            continue
        why, pair = _pair(run, query, right.get(query.name, ()))
        if pair is None:
            without[why] = without.get(why, 0) + 1
        else:
            pairs.append(pair)
    return Pairs(tuple(pairs), tuple(query for query in queries if query.name in held_out), without)


def held_out_of(names: Iterable[str]) -> frozenset[str]:
    """The names of the questions that are not trained on: a quarter of them, at least four, by a hash of the name."""
    ordered = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
    return frozenset(ordered[: max(round(len(ordered) * HELD_OUT_SHARE), min(_FEWEST_HELD_OUT, len(ordered)))])


def _pair(run: RunRecord, query: Query, outcomes: Sequence[Outcome]) -> tuple[str, Pair | None]:
    if not outcomes:
        return "not answered right", None
    outcome = min(outcomes, key=lambda one: len(one.answer))
    conversation = conversation_of(run.traces.get(outcome.trace_id, ()))
    if conversation is None:
        return "no messages in its trace", None

    def is_right(text: str) -> bool:
        answer = Answer(text, outcome.tool_calls)
        return judge(replace(query, evaluators=()), answer) in (Verdict.CORRECT, Verdict.NOT_JUDGED)

    context = Context(query.text, conversation.results, query.answer_contains)
    shorter, cuts = concise(outcome.answer, context, is_right)
    return "", Pair(query.name, conversation, outcome.answer, shorter, cuts)
