"""Does a model ask the right tool, with the right arguments, and copy what it got? Run in this process, through
mlx-lm.

Questions go through the real chat template, `mlx_lm`'s generation, its tool-call parser and the real tools, until
there is an answer. Suites are judged by `suite.check`; generated, held-out conversations by the call and the answer
they should have given. Times are not measured here, and no server takes part.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlx_lm import load, stream_generate
from mlx_lm.sample_utils import make_sampler

from punie_trace.agent.toolbox import ERROR_PREFIX, Toolbox
from punie_trace.agent.workspace import Workspace
from punie_trace.records import Answer, Query, ToolCall, ToolMode, Verdict
from punie_trace.suite.check import judge
from recipes.chat import TURN_END, Call, Conversation, Turn, messages
from recipes.dataset import RESULT_LIMITS, prompt_schemas

MAX_TURNS = 8
MAX_TOKENS = 900


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model did with one question: its turns; `broken` is text that looked like a call and did not parse."""

    turns: tuple[Turn, ...]
    broken: str = ""

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls, in order."""
        return tuple(turn.call for turn in self.turns if turn.call)

    @property
    def text(self) -> str:
        """The final answer, '' where there was none."""
        return self.turns[-1].text if self.turns and self.turns[-1].call is None else ""


class Asker:
    """One loaded model and tokenizer, and optionally a draft, asked greedily."""

    def __init__(self, model: Path, draft: Path | None = None, *, drafted: int = 3) -> None:
        self.model, self.tokenizer = load(str(model))[:2]
        self.draft = load(str(draft))[0] if draft else None
        self.drafted = drafted

    def generate(self, prompt: list[int], limit: int = MAX_TOKENS) -> tuple[str, list[int], list[bool]]:
        """Text, tokens and, for each token, whether the draft had proposed it."""
        text, tokens, proposed = "", [], []
        options: dict[str, Any] = {"sampler": make_sampler(temp=0.0)}
        if self.draft is not None:
            options |= {"draft_model": self.draft, "num_draft_tokens": self.drafted}
        for part in stream_generate(self.model, self.tokenizer, prompt, limit, **options):
            text += part.text
            tokens.append(int(part.token))
            proposed.append(bool(part.from_draft))
        return text.removesuffix(TURN_END), tokens, proposed

    def prompt(self, question: str, turns: Iterable[Turn], mode: ToolMode = "calls") -> list[int]:
        """The tokens that the server would send to the model."""
        sent = messages(question, list(turns))
        return self.tokenizer.apply_chat_template(sent, tools=prompt_schemas(mode), add_generation_prompt=True)

    def ask(self, question: str, tools: Toolbox) -> Reply:
        """Ask until there is an answer, running the tools that the model calls."""
        turns: list[Turn] = []
        for _ in range(MAX_TURNS):
            text, _, _ = self.generate(self.prompt(question, turns))
            if "<tool_call>" not in text:
                return Reply((*turns, Turn(text)))
            call = parse_call(text)
            function = tools.functions().get(call.name) if call else None
            if call is None or function is None:
                return Reply(tuple(turns), broken=text)
            try:
                turns.append(Turn(function(**call.arguments), call, text.partition("<tool_call>")[0].strip()))
            except TypeError:
                return Reply(tuple(turns), broken=text)
        return Reply(tuple(turns))


def parse_call(text: str) -> Call | None:
    """The first call in a generation, or None where it does not parse."""
    inside = text.partition("<tool_call>")[2].partition("</tool_call>")[0]
    try:
        held = json.loads(inside)
        return Call(held["name"], dict(held["arguments"]))
    except (ValueError, KeyError, TypeError):
        return None


def verdict(query: Query, reply: Reply) -> Verdict:
    """The suite's own verdict on a reply."""
    calls = tuple(
        ToolCall(turn.call.name, turn.call.arguments, not turn.text.startswith(ERROR_PREFIX))
        for turn in reply.turns
        if turn.call
    )
    text = reply.text or reply.broken
    return judge(query, Answer(text=text, tool_calls=calls, generations=()))


def evaluate_suite(
    asker: Asker, queries: Iterable[Query], workspace: Path, on_progress: Callable[[str], None] = print
) -> dict[str, tuple[int, int]]:
    """Right answers and questions by category; each verdict is told as it comes."""
    tools = Toolbox(Workspace(workspace), max_chars=RESULT_LIMITS[0])
    score: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for query in queries:
        reply = asker.ask(query.text, tools)
        found = verdict(query, reply)
        right = found is Verdict.CORRECT
        for key in (query.category or query.expected or "all", "all" if query.category else "total"):
            score[key][0] += right
            score[key][1] += 1
        on_progress(
            f"{found.value:24} {query.name}: {[(c.name, c.arguments) for c in reply.calls]} {reply.text[:60]!r}"
        )
    return {key: (right, count) for key, (right, count) in score.items()}


def evaluate_conversations(
    asker: Asker, held_out: Iterable[Conversation], on_progress: Callable[[str], None] = print
) -> dict[str, tuple[int, int]]:
    """Whether each turn comes out as in the conversation, given the turns before it.

    Counted by kind: 'call' (same tool, same arguments), 'answer' (the same text), 'direct' (no tool is called).
    """
    score: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for conversation in held_out:
        direct = conversation.turns[0].call is None
        for place, turn in enumerate(conversation.turns):
            limit = (
                len(asker.tokenizer.encode(turn.text)) + 40
                if turn.call is None
                else 80
                if conversation.mode == "calls"
                else 250
            )  # wrong is wrong soon enough
            text, _, _ = asker.generate(
                asker.prompt(conversation.question, conversation.turns[:place], conversation.mode), limit
            )
            if direct:
                right, measure = "<tool_call>" not in text, "direct"
            elif turn.call:
                right, measure = parse_call(text) == turn.call, "call"
            else:
                right, measure = text == turn.text, "answer"
            for key in (f"{conversation.kind} {measure}", f"all {measure}"):
                score[key][0] += right
                score[key][1] += 1
            if not right:
                on_progress(f"WRONG {conversation.kind} {measure}: {conversation.question!r} -> {text[-160:]!r}")
    return {key: (right, count) for key, (right, count) in sorted(score.items())}


def acceptance(asker: Asker, conversations: Iterable[Conversation]) -> float:
    """The share of the emitted tokens that the draft had proposed, through mlx-lm's own decoding."""
    proposed = total = 0
    for conversation in conversations:
        for place in range(len(conversation.turns)):
            _, tokens, from_draft = asker.generate(
                asker.prompt(conversation.question, conversation.turns[:place], conversation.mode)
            )
            proposed += sum(from_draft)
            total += len(tokens)
    return proposed / max(1, total)
