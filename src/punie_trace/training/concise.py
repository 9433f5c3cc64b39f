"""From a run of the user's to a model that says less: whether it would help, the pairs, the files that compare.

`plan_concise` says no where it would not help; whoever asks for it shows the pairs, then calls `train_concise`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from punie_trace.analysis.figures import Summary
from punie_trace.errors import ConfigurationError, nearest
from punie_trace.records import Query
from punie_trace.runs.reader import WORKSPACE_FOLDER, RunRecord
from punie_trace.training.lora import LoraSettings, Trained, train_lora
from punie_trace.training.pairs import FEWEST_DIRECT, FEWEST_TOOL, Pair, Pairs, concise_pairs

GENERATION_BOUND: Final = 0.70
"""Below this share of a query's time in generation, fewer words cannot bring much."""
SHIPPED_LIMITS: Final = ("max_tokens", "tool_output_chars")


@dataclass(frozen=True, slots=True)
class ConcisePlan:
    """What would be trained: the model, the configuration whose answers it learns from, and the pairs."""

    model: str
    configuration: str
    generation_share: float | None
    pairs: Pairs

    @property
    def examples(self) -> tuple[dict[str, Any], ...]:
        """All that is trained on, one chat each."""
        return tuple(example for pair in self.pairs.pairs for example in pair.examples())


def plan_concise(
    run: RunRecord,
    summary: Summary,
    *,
    configuration: str | None = None,
    model: str | None = None,
    anyway: bool = False,
) -> ConcisePlan:
    """What training would be on. Raises `ConfigurationError` where it would not help or there is too little.

    `configuration` is whose answers are learned from, the run's baseline if None; `model` is trained, that
    configuration's own if None. `anyway` lets a run pass that spends little time in generation, or has few answers.
    """
    name = configuration or summary.baseline or ""
    figures = summary.configurations.get(name)
    if figures is None:
        raise ConfigurationError(f"the run has no configuration {name!r}; {nearest(name, summary.configurations)}")
    model = model or figures.model
    if model is None:
        raise ConfigurationError(f"the run does not say which model {name} is: give --model")
    share = figures.ledger_share.generation if figures.ledger_share is not None else None
    if not anyway and (share is None or share <= GENERATION_BOUND):
        how = "is not known" if share is None else f"is {share:.0%}"
        raise ConfigurationError(
            f"generation {how} of a query's time in {name}; fewer words help only above {GENERATION_BOUND:.0%}. The "
            "report says what would help more; --anyway trains all the same"
        )
    pairs = concise_pairs(run, name)
    counts = {"tool": FEWEST_TOOL, "direct": FEWEST_DIRECT}
    short = [f"{pairs.count(kind)} of {fewest} {kind}" for kind, fewest in counts.items() if pairs.count(kind) < fewest]
    if not pairs.pairs or (short and not anyway):
        why = "".join(f"; {count} {reason}" for reason, count in pairs.without.items())
        raise ConfigurationError(
            f"too few right answers to learn from: {' and '.join(short)} ones, with {len(pairs.held_out)} questions "
            f"held out{why}. Run more questions; --anyway trains on what there is"
        )
    if len(about := {query.workspace for query in pairs.held_out}) > 1:
        raise ConfigurationError(
            f"its questions are about {len(about)} code bases, and the comparison would have one: train from a run of "
            "one suite, such as --suite fresh:120"
        )
    return ConcisePlan(model, name, share, pairs)


def show_pairs(pairs: Pairs, most: int | None = None) -> str:
    """The pairs as text to read, before and after; the first `most` of them where that is given."""
    shown = pairs.pairs if most is None else pairs.pairs[:most]
    return "\n\n".join(map(_shown, shown)) + "\n"


def write_plan(plan: ConcisePlan, run: RunRecord, folder: Path) -> Path:
    """Write pairs, held-out questions and the configuration that compares; returns the last one's path.

    Raises `ConfigurationError` where the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "pairs.txt").write_text(show_pairs(plan.pairs), encoding="utf-8")
        cases = [_case(query) for query in plan.pairs.held_out]
        held_out = folder / "held-out.json"
        held_out.write_text(json.dumps({"name": "held-out", "cases": cases}, indent=1, ensure_ascii=False), "utf-8")
        compare = folder / "compare.toml"
        compare.write_text(_comparison(plan, run, held_out, folder / "adapters"), encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot write below {str(folder)!r}: {error.strerror or error}") from error
    return compare


def train_concise(plan: ConcisePlan, folder: Path, settings: LoraSettings, on_line: Callable[[str], None]) -> Trained:
    """Train on the plan's pairs, as `train_lora` does."""
    return train_lora(plan.model, plan.examples, folder, settings, on_line)


def _shown(pair: Pair) -> str:
    cuts = ", ".join(pair.cuts) or "nothing to cut"
    return f"## {pair.query} ({pair.kind}): {cuts}\n{pair.answer}\n-->\n{pair.concise}"


def _case(query: Query) -> dict[str, Any]:
    metadata = {
        "category": query.category,
        "expected": query.expected,
        "tools": list(query.tools),
        "arguments_contain": list(query.arguments_contain),
        "answer_contains": list(query.answer_contains),
    }
    return {"name": query.name, "inputs": query.text, "metadata": {key: one for key, one in metadata.items() if one}}


def _comparison(plan: ConcisePlan, run: RunRecord, held_out: Path, adapters: Path) -> str:
    """The TOML file: the same weights without and with the adapter, on the held-out questions."""
    settings = run.header.configuration
    given = settings.get("agent")
    agent = {key: settings[key] for key in SHIPPED_LIMITS if isinstance(settings.get(key), int)}
    if isinstance(given, dict):
        agent |= {key: given[key] for key in ("import", "deps") if isinstance(given.get(key), str)}
    lines = [
        "# Baseline and concise: the same weights, without and with what was trained, on questions that it was not",
        "# trained on.",
        f"suite = {_toml(str(held_out.resolve()))}",
    ]
    workspace = _workspace(plan.pairs.held_out, run)
    lines += [f"workspace = {_toml(workspace)}"] if workspace is not None else []
    lines += ["", "[agent]", *(f"{key} = {_toml(value)}" for key, value in agent.items())]
    lines += ["", "[server]", f"model_path = {_toml(plan.model)}", "", "[configurations.baseline]", ""]
    lines += ["[configurations.concise]", f"adapter_path = {_toml(str(adapters.resolve()))}", ""]
    return "\n".join(lines)


def _workspace(held_out: Sequence[Query], run: RunRecord) -> str | None:
    """The code base that the held-out questions are about: one made for the run, or the run's own; None: the sample."""
    made = run.folder.resolve() / f"{WORKSPACE_FOLDER}{held_out[0].workspace if held_out else ''}"
    given = run.header.configuration.get("workspace")
    return str(made) if made.is_dir() else given if isinstance(given, str) else None


def _toml(value: object) -> str:
    """A text or a number as TOML has it: its basic strings are JSON's."""
    return json.dumps(value)
