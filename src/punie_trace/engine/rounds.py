"""After which round a run ends: after so many, or when all is decided; disturbed ones are asked again if wished.

It keeps what was answered, analyses the times that tell of speed between rounds, and writes each interim analysis into
the header, so that the report finds the same verdicts from the folder alone. What a verdict is and when it holds stands
in `analysis`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from punie_trace.analysis.asks import counted_walls, more_rounds_count
from punie_trace.analysis.disturbances import disturbed
from punie_trace.analysis.statistics import paired_ratio
from punie_trace.analysis.stopping import ALPHA, decide
from punie_trace.driver.limits import Failures
from punie_trace.engine.experiment import Experiment
from punie_trace.engine.progress import Announcer, Noted, PhaseStarted
from punie_trace.records import MachineSample, Outcome
from punie_trace.runs.header import Look, StoppingRecord
from punie_trace.runs.writer import RunWriter
from punie_trace.spans.clock import Clock

NS_PER_MINUTE = 60_000_000_000
NEXT_ANALYSIS = 1.05
"""How many times the rounds of the last interim analysis the next one has: after 20, not each brings anything new."""


def most_rounds(experiment: Experiment) -> int:
    """The most rounds that count in a run of `experiment`."""
    return experiment.max_rounds if experiment.until is not None else experiment.rounds


@dataclass(slots=True)
class Rounds:
    """The rounds of one run as they end: as many again may take the place of disturbed ones.

    Made when the first is about to begin: minutes count from then.
    """

    experiment: Experiment
    writer: RunWriter
    announce: Announcer
    failures: Failures
    clock: Clock
    _outcomes: list[Outcome] = field(default_factory=list)
    _spans: dict[int, tuple[int, int]] = field(default_factory=dict)
    _left_out: list[int] = field(default_factory=list)
    _begun_ns: int = 0

    def __post_init__(self) -> None:
        self._begun_ns = self.clock.now_ns()
        if self.experiment.until is not None:
            self._write(StoppingRecord(
                alpha=ALPHA,
                least_rounds=self.experiment.rounds,
                most_rounds=self.experiment.max_rounds,
                most_minutes=self.experiment.max_minutes,
            ))  # fmt: skip

    @property
    def watched(self) -> bool:
        """Whether something is decided between rounds; else all may be asked in one go."""
        return self.experiment.until is not None or self.experiment.repeat_contaminated

    @property
    def most(self) -> int:
        """The most rounds to be asked, those that take the place of disturbed ones included."""
        return most_rounds(self.experiment) * (2 if self.experiment.repeat_contaminated else 1)

    def add(self, outcome: Outcome) -> None:
        """One more query has ended."""
        begin, end = self._spans.get(outcome.round, (outcome.due_ns, outcome.done_ns))
        self._spans[outcome.round] = min(begin, outcome.due_ns), max(end, outcome.done_ns)
        if self.experiment.until is not None:
            self._outcomes.append(outcome)

    def ended(self, number: int, samples: Sequence[MachineSample]) -> bool:
        """Round `number` has ended: whether it was the last. `samples` is what is known of the machine until now."""
        again = self.experiment.repeat_contaminated and len(self._left_out) < most_rounds(self.experiment)
        if again and number in self._spans:
            why = disturbed({number: self._spans[number]}, samples).get(number)
            if why is not None:
                self._left_out.append(number)
                self.writer.update(left_out_rounds=tuple(self._left_out))
                self.announce(Noted(f"round {number} was disturbed and will be asked again: {'; '.join(why)}"))
        counted = number - len(self._left_out)
        if self.experiment.until is None:
            return counted >= self.experiment.rounds
        return self._interim_analysis(number, counted)

    def _interim_analysis(self, number: int, counted: int) -> bool:
        record = self.writer.header.stopping
        if record is None or counted < self.experiment.rounds:
            return False
        minutes = (self.clock.now_ns() - self._begun_ns) / NS_PER_MINUTE
        spent = max(counted / self.experiment.max_rounds, minutes / (self.experiment.max_minutes or float("inf")))
        if record.looks and spent < 1 and counted < record.looks[-1].rounds * NEXT_ANALYSIS:
            return False
        header = self.writer.header
        baseline = header.baseline_name or ""
        others = [name for name in header.names if name != baseline]
        # Where servers remember, another round of the same questions tells nothing: this analysis is the last one.
        last = not any(more_rounds_count(header, baseline, name) for name in others)
        spent = 1.0 if last else spent
        looks = (*record.looks, Look(last_round=number, rounds=counted, spent=min(spent, 1.0)))
        walls = counted_walls(header, self._outcomes, self._left_out)
        decided = decide(walls.get(baseline, {}), {name: walls.get(name, {}) for name in others}, looks, record.alpha)
        left = [name for name in others if name not in decided and name not in self.failures.reasons]
        reason = None
        if baseline in self.failures.reasons:
            reason = f"{baseline} failed, so that there is nothing to compare with, after {_rounds(counted)}"
        elif not left:
            reason = f"every comparison was decided, after {_rounds(counted)} of at most {self.experiment.max_rounds}"
        elif last:
            reason = (
                f"servers remember what they were asked, so that more rounds of these questions would tell nothing, "
                f"after {_rounds(counted)}; not decided: {', '.join(left)}; {_more(walls, baseline, left)}"
            )
        elif spent >= 1:
            what = (
                f"{counted} rounds"
                if counted >= self.experiment.max_rounds
                else f"{self.experiment.max_minutes:g} minutes"
            )
            reason = f"the budget of {what} was spent, after {_rounds(counted)}; not decided: {', '.join(left)}"
        self._write(record.model_copy(update={"looks": looks, "reason": reason}), counted)
        if reason is None:
            text = f"measuring; not decided after {_rounds(counted)}: {', '.join(left)}"
            self.announce(PhaseStarted(text, "measuring"))
        return reason is not None

    def _write(self, record: StoppingRecord, rounds: int | None = None) -> None:
        self.writer.update(stopping=record, rounds=rounds or self.writer.header.rounds)


def _more(walls: Mapping[str, Mapping[tuple[str, int], float]], baseline: str, left: Sequence[str]) -> str:
    """How many more questions would tell, as far as what was asked says it."""
    here = walls.get(baseline, {})
    paired = [one for name in left if here.keys() & (one := walls.get(name, {})).keys()]
    queries = max((paired_ratio(here, one, rounds_tell=False).more_queries or 0 for one in paired), default=0)
    return f"about {queries} more question{'s' * (queries > 1)} would tell" if queries else "ask more questions"


def _rounds(count: int) -> str:
    return "1 round" if count == 1 else f"{count} rounds"
