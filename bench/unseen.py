"""Every arm on questions that nobody ever saw, each asked once, through server and agent, interleaved.

Purpose: is `adaptive` ahead of every fixed K where nothing can be remembered, in decode time and in query time?

Background. The questions are those of the suite `fresh`, about a code base made for them, by a seed on which nothing
was tuned. Servers keep no prompt caches, so that all arms give the same answers; those that do not are counted, and
left out of no ratio. Each of our arms has a process of its own, so that none learns from another's drafts. mlx_lm's
lengths K share one, which learns nothing. What our draft model read of the beginning that all requests share (system
prompt and tools) it may keep: that is its memory of a prompt, not of an answer.

    plain          mlx_lm without a draft model
    K=2 ... K=10   mlx_lm with the shipped draft model
    adaptive       ours: repeated text and the draft model
    model, suffix, ngram   ours, each drafter alone, adaptive

Query time is from due to done, as in a run. Decode time, by one definition for all arms: the whole of a generation's
request minus the same request with one token at most, sent again right afterwards, both from the first step on the
network to the last byte; summed over the generations of a query. It needs nothing that a server tells, so it holds
where a turn only calls a tool, which mlx_lm holds back until it is whole. In our server the repeated request has a salt
of its own, so that neither the draft model nor a store knows it from the first.

Output: DIR/answers.jsonl, a line for each answer as soon as it is there; a table with paired ratios (geometric means
over questions, Student's t, 95 %) against plain and against the fixed K that did best in this very run, which flatters
it; the same by category; the line 'never below 0.98x'; memory of drafting; the aims; DIR/figures.json.

    python bench/unseen.py DIR [--size 0|150] [--questions 120] [--minutes 14] [--arms plain,K=5,adaptive]

Run again with the same DIR it goes on where it ended; `--report` prints what there is. With `--minutes` it ends after
the question that is under way.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import sys
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unseen_arms import ARMS, OpenArm, experiment_of, model_folder, open_arms
from unseen_report import Answered, report

from punie_trace.agent.workspace import Workspace
from punie_trace.analysis.ledger import close_ledger
from punie_trace.driver.limits import Failures, Limits
from punie_trace.driver.load import Driver
from punie_trace.driver.schedule import Planned
from punie_trace.engine.plan import make_plan
from punie_trace.engine.questions import questions_of
from punie_trace.records import Arrival, Ledger, Outcome
from punie_trace.spans.clock import Clock
from punie_trace.spans.provider import ClockTracerProvider, make_tracer_provider
from punie_trace.spans.query_span import open_query
from punie_trace.suite.check import judge_by_facts
from punie_trace.suite.load import load_suite, sample_workspace

SEED = 9_001
"""Of the questions. Drafting was tuned on and reported from seeds below 1000."""
WARM_UP = 2
"""Questions of the shipped suite that each arm is asked first, uncounted."""
WARM = "-warm-up"
TIMEOUT_S = 120.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--size", type=int, default=0, help="weights of a padded target in MB; 0: the shipped one")
    parser.add_argument("--questions", type=int, default=120)
    parser.add_argument("--minutes", type=float, default=None, help="begin no question after so many")
    parser.add_argument("--arms", default=",".join(ARMS), help=f"some of {','.join(ARMS)}")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--report", action="store_true", help="ask nothing, print what there is")
    args = parser.parse_args()
    arms = tuple(args.arms.split(","))
    if unknown := [arm for arm in arms if arm not in ARMS]:
        parser.error(f"there is no arm {unknown[0]!r}; there are {', '.join(ARMS)}")
    args.folder.mkdir(parents=True, exist_ok=True)
    asked = {"size": args.size, "questions": args.questions, "seed": args.seed}
    described = args.folder / "asked.json"
    if described.exists() and json.loads(described.read_text()) != asked:
        parser.error(f"{described} says {described.read_text()}; go on with that, or name another folder")
    described.write_text(json.dumps(asked))
    if not args.report:
        asyncio.run(ask(args, arms))
    text, figures = report(read(args.folder), arms, padded=args.size > 0)
    (args.folder / "figures.json").write_text(json.dumps(figures, indent=1))
    print(text)


def read(folder: Path) -> list[Answered]:
    """The answers that are there; a line that was cut off is none."""
    found = []
    path = folder / "answers.jsonl"
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            found.append(Answered(**json.loads(line)))
        except ValueError:
            continue
    return found


async def ask(args: argparse.Namespace, arms: tuple[str, ...]) -> None:
    """Ask what is not answered yet, question by question, all arms in an order of its own for each."""
    done = {(one.question, one.arm) for one in read(args.folder)}
    target, draft = model_folder(args.folder, args.size)
    experiment = experiment_of(target, draft, arms, args.questions, args.seed)
    plan, questions = make_plan(experiment), questions_of(experiment)
    queries = questions.suite.queries
    left = [query for query in queries if any((query.name, arm) not in done for arm in arms)]
    if not left:
        return
    workspaces = questions.workspaces_in(args.folder)
    workspaces[WARM] = Workspace(sample_workspace())
    warm = [replace(query, workspace=WARM) for query in load_suite("discrimination").queries[:WARM_UP]]
    clock = Clock.start()
    provider = make_tracer_provider(clock, f"unseen-{args.seed}")
    async with AsyncExitStack() as stack:
        opened = await open_arms(stack, plan, args.folder, workspaces, provider, clock)
        asker = Asker(opened, provider, clock)
        for query in warm:
            for arm in arms:
                await asker.once(Planned(-1, 0, arm, query))
                print(f"\rwarming up: {arm:<10}", end="", file=sys.stderr, flush=True)
        gc.collect()
        gc.freeze()
        begun = time.monotonic()
        order = random.Random(f"{args.seed} {len(done)}")
        with (args.folder / "answers.jsonl").open("a", encoding="utf-8") as out:
            for number, query in enumerate(left, start=1):
                minutes = (time.monotonic() - begun) / 60
                if args.minutes is not None and minutes >= args.minutes:
                    break
                for arm in order.sample(arms, len(arms)):
                    if (query.name, arm) in done:
                        continue
                    found = await asker.once(Planned(number, 1, arm, query))
                    out.write(json.dumps({"question": query.name, "category": query.category, "arm": arm} | found))
                    out.write("\n")
                    out.flush()
                print(f"\r{number}/{len(left)} questions, {minutes:.1f} min ", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)


@dataclass
class Asker:
    """Asks one query of one arm, and its requests again with one token."""

    arms: Mapping[str, OpenArm]
    provider: ClockTracerProvider
    clock: Clock

    def __post_init__(self) -> None:
        self._outcomes: list[Outcome] = []
        self._failures = Failures()
        self._driver = Driver(
            {name: arm.target for name, arm in self.arms.items()},
            self._open_query,
            self.clock,
            judge_by_facts,
            Limits(TIMEOUT_S),
            self._keep,
            self._fail,
        )

    async def once(self, planned: Planned) -> dict[str, Any]:
        """What came of it: times in seconds, tokens, verdict, the whole conversation as the server was sent it."""
        arm = self.arms[planned.configuration]
        arm.exchanges.clear()
        self._outcomes.clear()
        await self._driver.drive([planned], self._failures)
        [outcome] = self._outcomes
        exchanges = tuple(arm.exchanges)
        generations = []
        memory = None
        for one in exchanges:
            again = await arm.again(one)
            memory = again.memory or memory
            generations.append({"whole_s": one.seconds, "one_token_s": again.seconds})
        return {
            "wall_s": outcome.wall_ns / 1e9,
            "verdict": outcome.verdict.value,
            "error": outcome.error,
            "answer": outcome.answer,
            "calls": [[call.name, call.arguments] for call in outcome.tool_calls],
            "tokens": outcome.output_tokens,
            "generations": generations,
            "drafting_bytes": memory,
            "target_bytes": arm.target_bytes,
        }

    def _open_query(self, arrival: Arrival, path: Any, warm_up: bool):
        return open_query(
            self.provider,
            self.clock,
            arrival=arrival,
            path=path,
            run_span_context=None,
            close=close_ledger,
            warm_up=warm_up,
        )

    def _keep(self, outcome: Outcome, _ledger: Ledger) -> None:
        self._outcomes.append(outcome)

    def _fail(self, arm: str, reason: str) -> None:
        raise RuntimeError(f"{arm}: {reason}")


if __name__ == "__main__":
    main()
