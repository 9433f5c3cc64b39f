"""The recipe of the demo models: tokenizer, target, draft, and the two folders that are served.

`train_demo` runs it all; each stage can be run alone. Unless told otherwise it takes three hours for the target and ten
minutes for the draft, meant for two CPU cores with a threaded OpenBLAS (preloaded, see the README). The same seed and
steps give the same data and first weights; a limit in minutes stops at a step that depends on the machine. The shipped
weights came out of this code in several sittings while its settings were still being found, so it will make others, not
those.

`train_more` goes on from a target, for several calls and for code; what is shipped has been through it, and through
more (docs/model.md).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from punie_trace.agent.prompt import SYSTEM_PROMPT
from recipes.chat import CHAT_TEMPLATE, Conversation
from recipes.dataset import conversations
from recipes.knowledge import ADVICE, COMPARISONS, DEFINITIONS
from recipes.tokenizer import save_tokenizer, train_tokenizer
from recipes.trainer import Plan, train

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """How long each stage may take, and how large its batches are (places in one batch of one process)."""

    target_minutes: float = 180.0
    draft_minutes: float = 10.0
    target_steps: int = 1_000_000
    draft_steps: int = 1_000_000
    tokenizer_conversations: int = 3000
    processes: int = 2
    target_tokens: int = 2560
    draft_tokens: int = 3072


def train_demo(
    out: Path,
    *,
    seed: int = 0,
    steps: int | None = None,
    minutes: float | None = None,
    settings: DemoSettings | None = None,
    forbidden: Iterable[str] = (),
    on_progress: Progress = print,
) -> tuple[Path, Path]:
    """Make the demo models from nothing; returns the folders `out`/target and `out`/draft.

    `steps` limits the target's steps (the draft gets as many); `minutes` is shared out between the two as in
    `settings`.
    `forbidden` are texts from which the training questions keep away. Checkpoints lie in `out`/work: a call that was
    interrupted goes on where it stopped.
    """
    from recipes.export import export
    from recipes.shape import DRAFT, TARGET

    chosen = settings or DemoSettings()
    whole = chosen.target_minutes + chosen.draft_minutes
    share = 1.0 if minutes is None else minutes / whole
    work, texts = out / "work", tuple(forbidden)
    tokenizer = work / "tokenizer"
    if not (tokenizer / "tokenizer.json").exists():
        make_tokenizer(tokenizer, seed, TARGET.vocab_size, chosen.tokenizer_conversations)
        on_progress("made the tokenizer")
    plan = Plan(
        TARGET, tokenizer, work / "target", seed=seed, minutes=chosen.target_minutes * share,
        steps=steps or chosen.target_steps, tokens=chosen.target_tokens,
        processes=chosen.processes, forbidden=texts,
    )  # fmt: skip
    trained = train(plan, on_progress)
    drafting = Plan(
        DRAFT, tokenizer, work / "draft", seed=seed + 1, minutes=chosen.draft_minutes * share,
        steps=steps or chosen.draft_steps, tokens=chosen.draft_tokens,
        processes=chosen.processes, forbidden=texts, first_turns=0.1,
    )  # fmt: skip
    drafted = train(drafting, on_progress)
    return export(trained, TARGET, tokenizer, out / "target"), export(drafted, DRAFT, tokenizer, out / "draft")


def train_more(
    model: Path,
    out: Path,
    *,
    minutes: float,
    seed: int = 0,
    forbidden: Iterable[str] = (),
    on_progress: Progress = print,
) -> Path:
    """Train the target in the folder `model` on, for several calls and for code; returns the folder `out`/target.

    More than half of what it sees is new, the rest as before, so that it keeps what it can. `forbidden` as in
    `train_demo`, but for the suite of several calls, whose words are shared and whose names are kept out. Two
    processes.

    With these rates and shares moved about, 109 minutes made a target that got 30 of 38 of `multi-tool` in code and 9
    by calls; quoting long results it then got wrong (discrimination 2 of 5, discrimination-40 34 of 40), and another
    64 minutes did not mend that. What mends it is many more tokens: docs/model.md says how many.
    """
    from safetensors.numpy import load_file, save_file

    from recipes.export import export
    from recipes.shape import TARGET

    work = out / "work"
    tokenizer, start = work / "tokenizer", work / "start.safetensors"
    tokenizer.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(model / name, tokenizer / name)
    (tokenizer / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    save_file({k: v.astype(np.float32) for k, v in load_file(model / "model.safetensors").items()}, start)
    plan = Plan(
        TARGET, tokenizer, work / "target", seed=seed, minutes=minutes, rate=0.0006, matrix_rate=0.0016, warmup=15,
        tokens=1600, longest=1700, chunk=300, processes=2, several=0.35, first_turns=0.1, fixed_prefix=True,
        forbidden=tuple(forbidden), start=start,
    )  # fmt: skip
    return export(train(plan, on_progress), TARGET, tokenizer, out / "target")


def make_tokenizer(folder: Path, seed: int, vocab_size: int, count: int) -> None:
    """Train the tokenizer on `count` conversations and the knowledge texts, and write it to `folder`."""
    save_tokenizer(train_tokenizer(_texts(conversations(seed + 7, count)), vocab_size), folder)


def _texts(source: Iterable[Conversation]) -> Iterator[str]:
    for conversation in source:
        yield conversation.question
        for turn in conversation.turns:
            yield turn.text
            if turn.call:
                yield str(turn.call.arguments)
    for row in (*DEFINITIONS, *COMPARISONS, *ADVICE):
        yield from row
    yield SYSTEM_PROMPT
