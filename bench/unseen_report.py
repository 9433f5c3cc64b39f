"""The table of `unseen`, from its answers: paired ratios with intervals, by category, and the aims.

A script of the bench's own: it is not run by itself.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from punie_trace.analysis.statistics import Ratio, paired_ratio

LEAST = 0.98
MEMORY_AIM = 0.2
AIMS = {  # padded: (against what, which time): at least
    True: {
        ("best fixed", "decode"): 1.4,
        ("best fixed", "query"): 1.15,
        ("plain", "decode"): 2.5,
    },
    False: {
        ("best fixed", "decode"): 1.15,
        ("best fixed", "query"): 1.08,
        ("plain", "decode"): 1.8,
    },
}
ALL = "all"


@dataclass(frozen=True)
class Answered:
    """One line of answers.jsonl. Times in seconds; of each generation the whole request and that with one token."""

    question: str
    category: str
    arm: str
    wall_s: float
    verdict: str
    error: str | None
    answer: str
    calls: list[Any]
    tokens: int | None
    generations: list[dict[str, float]]
    drafting_bytes: int | None
    target_bytes: int

    @property
    def first_tokens_s(self) -> float:
        """Everything up to the first token, over all generations."""
        return sum(one["one_token_s"] for one in self.generations)

    @property
    def measured(self) -> bool:
        """Whether its times can be compared: it was answered, and its decoding took longer than the noise of both."""
        return self.error is None and self.time("decode") > 0

    def time(self, kind: str) -> float:
        """The query's time, or that of decoding alone."""
        if kind == "query":
            return self.wall_s
        return sum(one["whole_s"] for one in self.generations) - self.first_tokens_s


def report(answers: Sequence[Answered], arms: Sequence[str], *, padded: bool) -> tuple[str, dict[str, Any]]:
    """The text to print, and its figures."""
    by_arm = {arm: {one.question: one for one in answers if one.arm == arm} for arm in arms}
    by_arm = {arm: found for arm, found in by_arm.items() if found}
    plain = by_arm.get("plain")
    if not plain:
        return "plain was not asked: there is nothing to compare with", {}
    fixed = [arm for arm in by_arm if arm.startswith("K=")]
    figures: dict[str, Any] = {"questions": len(plain), "arms": {}, "ratios": {}}
    lines = [f"{len(plain)} questions, each asked once in each arm; decode: whole requests minus the same with 1 token"]
    lines.append(
        f"{'':<10}{'asked':>6}{'right':>6}{'same':>6}{'out':>5}{'tokens':>8}{'query s':>9}{'first s':>9}{'decode s':>9}"
        "  means; same: answer and calls as plain's; out: failed, or decoding within the noise"
    )
    for arm, found in by_arm.items():
        row = {
            "asked": len(found),
            "right": sum(one.verdict == "correct" for one in found.values()),
            "left_out": sum(not one.measured for one in found.values()),
            "same": sum(same(one, plain.get(question)) for question, one in found.items()),
            "tokens": statistics.mean(one.tokens or 0 for one in found.values()),
            "query_s": statistics.mean(one.wall_s for one in found.values()),
            "first_tokens_s": statistics.mean(one.first_tokens_s for one in found.values()),
            "decode_s": statistics.mean(one.time("decode") for one in found.values()),
        }
        figures["arms"][arm] = row
        lines.append(
            f"{arm:<10}{row['asked']:>6}{row['right']:>6}{row['same']:>6}{row['left_out']:>5}{row['tokens']:>8.1f}{row['query_s']:>9.3f}"
            f"{row['first_tokens_s']:>9.3f}{row['decode_s']:>9.3f}"
        )
    categories = (ALL, *sorted({one.category for one in plain.values()}))
    best: dict[str, str] = {}
    for kind in ("decode", "query"):
        ratios = {arm: ratio(plain, found, kind) for arm, found in by_arm.items() if arm != "plain"}
        best[kind] = max(fixed, key=lambda arm, ratios=ratios: value(ratios[arm]), default="")
        against = f"times {best[kind]}" if best[kind] else ""
        lines.append(f"\n{kind} time: times plain, all and by category; {against}")
        lines.append(f"{'':<10}" + "".join(f"{name:>20}" for name in categories) + f"{against:>20}")
        for arm, found in by_arm.items():
            if arm == "plain":
                continue
            each = {name: ratio(plain, found, kind, name) for name in categories}
            over = ratio(by_arm[best[kind]], found, kind) if best[kind] and arm != best[kind] else None
            cells = [shown(one) for one in each.values()] + ([shown(over)] if over is not None else [])
            lines.append(f"{arm:<10}" + "".join(f"{cell:>20}" for cell in cells))
            figures["ratios"][f"{arm} {kind}"] = {name: numbers(one) for name, one in each.items()} | {
                f"against {best[kind]}": numbers(over)
            }
    if "adaptive" in by_arm:
        lines += ["", *floor(plain, by_arm["adaptive"], categories), *memory(by_arm["adaptive"], figures), ""]
        for (against, kind), aim in AIMS[padded].items():
            other = plain if against == "plain" else by_arm.get(best[kind])
            if other:
                got = ratio(other, by_arm["adaptive"], kind)
                name = against if against == "plain" else f"{against} ({best[kind]})"
                met = "met   " if value(got) >= aim else "MISSED"
                lines.append(f"{met} adaptive against {name}, {kind} time: {shown(got)}, aim {aim:.2f}x")
    return "\n".join(lines), figures


def same(one: Answered, other: Answered | None) -> bool:
    """Whether the answers and calls of two arms are the same."""
    return other is not None and (one.answer, one.calls) == (other.answer, other.calls)


def ratio(over: dict[str, Answered], under: dict[str, Answered], kind: str, category: str = ALL) -> Ratio | None:
    """How many times faster `under` is, over the questions that both were asked."""

    def times(found: dict[str, Answered]) -> dict[tuple[str, int], float]:
        return {
            (question, 1): one.time(kind)
            for question, one in found.items()
            if category in (ALL, one.category) and one.measured
        }

    try:
        return paired_ratio(times(over), times(under), rounds_tell=False)
    except ValueError:  # no pair yet
        return None


def floor(plain: dict[str, Answered], ours: dict[str, Answered], categories: Sequence[str]) -> list[str]:
    """Whether adaptive is anywhere slower than plain, by category and by question."""
    lines = []
    for kind in ("decode", "query"):
        each = {name: value(ratio(plain, ours, kind, name)) for name in categories if name != ALL}
        worst = min(each, key=each.__getitem__)
        single = sorted(
            (plain[question].time(kind) / one.time(kind), question)
            for question, one in ours.items()
            if question in plain and one.measured and plain[question].measured
        )
        if not single:
            continue
        below = sum(value < LEAST for value, _ in single)
        lines.append(
            f"{'met   ' if each[worst] >= LEAST else 'MISSED'} never below {LEAST}x of plain by category, {kind} time: "
            f"least {each[worst]:.2f}x ({worst}); single questions below: {below} of {len(single)}, least "
            f"{single[0][0]:.2f}x ({single[0][1]})"
        )
    return lines


def memory(ours: dict[str, Answered], figures: dict[str, Any]) -> list[str]:
    """What drafting held at most, as a share of the target's weights."""
    held = [one.drafting_bytes for one in ours.values() if one.drafting_bytes]
    if not held:
        return []
    weights = next(iter(ours.values())).target_bytes
    figures["memory"] = {"drafting_bytes": max(held), "target_bytes": weights}
    met = "met   " if max(held) < MEMORY_AIM * weights else "MISSED"
    return [
        f"{met} memory of draft model, its caches, stores and snapshots: {max(held) / 1e6:.1f} MB at most, "
        f"{max(held) / weights:.0%} of the target's {weights / 1e6:.0f} MB, aim under {MEMORY_AIM:.0%}"
    ]


def value(one: Ratio | None) -> float:
    """The estimate; 0 where there are no pairs."""
    return one.estimate if one is not None else 0.0


def shown(one: Ratio | None) -> str:
    """'1.23x (1.10-1.40)'."""
    if one is None:
        return "no pairs"
    if one.low is None or one.high is None:
        return f"{one.estimate:.2f}x"
    return f"{one.estimate:.2f}x ({one.low:.2f}-{one.high:.2f})"


def numbers(one: Ratio | None) -> dict[str, float | int | None] | None:
    """For figures.json."""
    if one is None:
        return None
    return {"estimate": one.estimate, "low": one.low, "high": one.high, "questions": one.queries}
