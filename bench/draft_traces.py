"""Records what the shipped pair does on questions that it never saw, so that drafting can be replayed by counting.

Purpose: choose a controller's rules by what they would have done, on a machine that is too busy to time anything.
Background: greedy answers do not depend on how they are drafted. So one plain run of the target, and one pass of the
draft over each answer, say for every place what each drafter would have proposed and whether it would have been right.
Where the draft goes wrong its next few tokens are recorded too, since a round pays for them. `draft_replay` reads it.
Output: a JSON file with a list of generations: question, its number, category, prompt and answer (token ids), whether
each place lies within a tool call, the draft's token and its probability at each place, and what it says after a
wrong one.

    python bench/draft_traces.py OUT.json --questions 40 --seed 100
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import mlx.core as mx
from mlx_lm import load
from mlx_lm.generate import stream_generate
from mlx_lm.models.cache import make_prompt_cache, trim_prompt_cache
from speculative_workloads import written_call

from punie_trace.agent.definitions import build_tools, openai_definitions
from punie_trace.agent.prompt import SYSTEM_PROMPT
from punie_trace.agent.toolbox import Toolbox
from punie_trace.agent.workspace import Workspace
from punie_trace.engine.turn_limits import SHIPPED_MAX_TOKENS, SHIPPED_TOOL_OUTPUT_CHARS
from punie_trace.models import shipped_model
from punie_trace.servers.blas import variables_for
from punie_trace.speculative.arrays import integers, numbers
from punie_trace.suite.fresh.questions import make_fresh

BEHIND_A_WRONG_ONE = 8
TURNS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--questions", type=int, default=40)
    parser.add_argument("--seed", type=int, default=100)
    args = parser.parse_args()
    if "LD_PRELOAD" in (added := variables_for(os.environ)):
        os.environ.update(added)
        os.execv(sys.executable, [sys.executable, *sys.argv])
    (model, tokenizer), (draft, _) = (load(str(folder))[:2] for folder in shipped_model())
    made = make_fresh(args.questions, args.seed)
    with tempfile.TemporaryDirectory() as folder:
        for path, text in made.files.items():
            (Path(folder) / path).parent.mkdir(parents=True, exist_ok=True)
            (Path(folder) / path).write_text(text, encoding="utf-8")
        functions = Toolbox(Workspace(Path(folder)), max_chars=SHIPPED_TOOL_OUTPUT_CHARS).functions()
        generations = []
        for number, query in enumerate(made.queries):
            for one in conversation(model, tokenizer, functions, query.text):
                one |= {"question": number, "category": query.category} | drafted(draft, one["prompt"], one["answer"])
                generations.append(one)
            print(f"\r{number + 1}/{len(made.queries)} questions", end="", file=sys.stderr, flush=True)
    args.out.write_text(json.dumps({"seed": args.seed, "generations": generations}))
    print(f"\n{len(generations)} generations, {sum(len(g['answer']) for g in generations)} tokens", file=sys.stderr)


def conversation(model, tokenizer, functions, question: str):
    """The generations of one question: prompt and answer, as the agent's loop has them."""
    definitions = openai_definitions(build_tools(functions.values()))
    messages: list[dict] = [{"role": "system", "content": SYSTEM_PROMPT}, {"role": "user", "content": question}]
    opening, closing = tuple(tokenizer.tool_call_start_tokens), tuple(tokenizer.tool_call_end_tokens)
    for _ in range(TURNS):
        prompt = list(tokenizer.apply_chat_template(messages, tools=definitions, add_generation_prompt=True))
        answer, text = [], ""
        for response in stream_generate(model, tokenizer, prompt, max_tokens=SHIPPED_MAX_TOKENS):
            answer.append(response.token)
            text += response.text
        inside, within = False, []
        for at, token in enumerate(answer):
            within.append(inside)
            marks = closing if inside else opening
            if token == marks[-1] and tuple(answer[max(0, at + 1 - len(marks)) : at + 1]) == marks:
                inside = not inside
        yield {"prompt": prompt, "answer": answer, "inside": within}
        call = written_call(text, tokenizer)
        if call is None or call["name"] not in functions:
            return
        try:
            result = functions[call["name"]](**call["arguments"])
        except TypeError as error:
            result = f"error: {error}"
        content = text.split(tokenizer.tool_call_start)[0].strip()
        messages.append(
            {"role": "assistant", "content": content, "tool_calls": [{"type": "function", "function": call}]}
        )
        messages.append({"role": "tool", "content": result})


def drafted(draft, prompt: list[int], answer: list[int]) -> dict:
    """What the draft model says at each place of the answer, and after each of its wrong tokens."""
    cache = make_prompt_cache(draft)
    logits = draft(mx.array([prompt + answer[:-1]]), cache=cache)[0, len(prompt) - 1 :]
    said = integers(mx.argmax(logits, axis=-1))
    sure = numbers(mx.exp(mx.max(logits, axis=-1) - mx.logsumexp(logits, axis=-1)))
    behind: dict[int, list] = {}
    for at in reversed(range(len(answer))):  # the cache is cut back from the end
        trim_prompt_cache(cache, cache[0].offset - len(prompt) - at)
        if said[at] == answer[at]:
            continue
        token, row = said[at], []
        for _ in range(BEHIND_A_WRONG_ONE):
            logits = draft(mx.array([[token]]), cache=cache)[0, -1]
            chance = mx.exp(mx.max(logits) - mx.logsumexp(logits))
            token = integers(mx.argmax(logits)[None])[0]
            row.append((token, numbers(chance[None])[0]))
        behind[at] = row
        trim_prompt_cache(cache, BEHIND_A_WRONG_ONE)
    return {"said": said, "sure": sure, "behind": behind}


if __name__ == "__main__":
    main()
