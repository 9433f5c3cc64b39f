"""The run itself: servers up, warm-up, rounds, servers down. It wires the rooms together and computes nothing.

A server that does not come up, or dies, costs its own configurations only. What was measured is in the run folder by
the time it was measured.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from itertools import groupby

from punie_trace.agent.toolbox import Toolbox
from punie_trace.analysis.asks import forgets
from punie_trace.driver.asks import Asks
from punie_trace.driver.client import ClientWatch
from punie_trace.driver.limits import Failures, Limits
from punie_trace.driver.load import Driver
from punie_trace.driver.schedule import ClosedLoop, Load, OpenLoop, plan_rounds, plan_warm_up
from punie_trace.driver.stage import Stage
from punie_trace.driver.target import Judge, Target
from punie_trace.engine.bring_up import ServerGroups
from punie_trace.engine.conditions import Conditions
from punie_trace.engine.energy import EnergyWatch
from punie_trace.engine.fresh_servers import FreshServers, is_renewed, turned
from punie_trace.engine.loads import one_by_one, planned_of
from punie_trace.engine.measured import warm_up_event
from punie_trace.engine.plan import Plan
from punie_trace.engine.progress import Announcer, ConfigurationFailed, Noted, PhaseStarted, QueryEnded
from punie_trace.engine.rounds import Rounds
from punie_trace.engine.tracing import Tracing
from punie_trace.engine.unexpected import first_error, in_words
from punie_trace.errors import RunFolderError
from punie_trace.records import Ledger, Outcome, Query
from punie_trace.runs.writer import RunWriter
from punie_trace.suite.check import judge_by_facts
from punie_trace.suite.load import Suite


@dataclass(slots=True)
class Measurement:
    """Everything that one run needs while it goes on. `failures` fills as configurations fail."""

    plan: Plan
    suite: Suite
    toolboxes: Mapping[str, Toolbox]
    """By the name that queries have for their code base."""
    writer: RunWriter
    announce: Announcer
    tracing: Tracing
    judge: Judge = judge_by_facts
    failures: Failures = field(default_factory=Failures)
    ended_early: bool = False
    """Whether a limit ended what was not meant to find that limit."""
    _rounds: Rounds | None = None
    _asked: int = 0
    _asks: Asks = field(default_factory=Asks)
    _fresh: FreshServers | None = None

    async def run(self) -> None:
        """Measures every batch of server groups; raises only what ends the whole run."""
        groups = ServerGroups(self.plan, self.writer, self.announce, self._fail, self.toolboxes, self.tracing)
        for batch in self.plan.batches:
            try:
                async with AsyncExitStack() as servers:
                    if targets := await self._bring_up(servers, groups, batch):
                        await self._measure(targets)
            except Exception as error:
                if not self._costs_only(batch, error):
                    raise

    async def _bring_up(
        self, servers: AsyncExitStack, groups: ServerGroups, batch: Sequence[str]
    ) -> Mapping[str, Target]:
        """The targets of a batch; those of servers that are to be new in each round come up last."""
        kept = [group for group in batch if not is_renewed(self.plan, group)]
        self._fresh = None if len(kept) == len(batch) else FreshServers(groups, batch)
        targets = await groups.bring_up(servers, kept) if kept else {}
        return targets if self._fresh is None else {**targets, **await self._fresh.enter(servers)}

    def _costs_only(self, batch: Sequence[str], error: Exception) -> bool:
        """Whether what a batch of servers failed with leaves others to be measured: then it costs its own alone.

        A run folder that cannot be written ends the run: nothing that is measured after that would be kept.
        """
        first = first_error(error)
        if isinstance(first, RunFolderError) or batch == self.plan.batches[-1]:
            return False
        for group in batch:
            for configuration in self.plan.of_group(group):
                if configuration.name not in self.failures.reasons:
                    self._fail(configuration.name, str(in_words(first, self.writer.folder, self.writer.secrets)))
        return True

    async def _measure(self, targets: Mapping[str, Target]) -> None:
        gc.freeze()  # what was imported is no garbage: looking through it again would be a pause in what is timed
        try:
            for names, load in self.plan.stages(targets):
                await self._measure_stage({name: targets[name] for name in names}, load)
        finally:
            gc.unfreeze()

    async def _measure_stage(self, targets: Mapping[str, Target], load: Load) -> None:
        experiment = self.plan.experiment
        queries = self.suite.queries
        names = list(targets)
        driver = Driver(
            targets,
            self.tracing.open_query,
            self.tracing.clock,
            self.judge,
            self.plan.limits,
            self._on_outcome,
            self._fail,
            judges_apart=self.judge is not judge_by_facts,
            asks=self._asks,
        )
        alone = f" {names[0]}" if one_by_one(experiment) else ""
        if experiment.warm_up:
            self.announce(warm_up_event(experiment, queries, names))
            await warm_up(driver, self.plan, queries, self.failures, experiment.concurrency)
        self.announce(PhaseStarted(f"measuring{alone}", "measuring"))
        kind = "open" if isinstance(load, OpenLoop) else "closed"
        watch = ClientWatch()
        try:
            with self._energy(), self._watched() as conditions:
                forgetful = any(target.forget is not None for target in targets.values())
                by_rounds = experiment.until is not None or experiment.repeat_contaminated
                if by_rounds or forgetful or self._fresh is not None:
                    stage = await self._measure_rounds(driver, load, conditions, watch)
                else:
                    planned = planned_of(experiment, names, queries, self._asked)
                    stage = await driver.drive(planned, self.failures, load, seed=experiment.seed, watch=watch)
                    self._asked += stage.taken
        except BaseException as error:
            # What was measured until then is kept, and needs to be judged as much. The disk may be what failed.
            with suppress(RunFolderError):
                self.writer.add_client(watch.record(names, kind, cut_short_by(error)))
            raise
        self.writer.add_client(watch.record(names, kind, stage.reason))
        if stage.stopper.early:
            self.ended_early = self.ended_early or experiment.load.sweep is None
            self.writer.add_finding(f"{', '.join(names)}: ended early: {stage.reason}")
            self.announce(Noted(f"{', '.join(names)}: ended early: {stage.reason}"))

    async def _measure_rounds(self, driver: Driver, load: Load, conditions: Conditions, watch: ClientWatch) -> Stage:
        """Round by round, until there are enough; one watch over all of them. Returns the last one's stage."""
        experiment = self.plan.experiment
        self._rounds = Rounds(experiment, self.writer, self.announce, self.failures, self.tracing.clock)
        names, most = list(driver.targets), self._rounds.most
        planned = plan_rounds(names, self.suite.queries, most, experiment.seed, self._asked, experiment.rounds)
        for number, each in groupby(planned, key=lambda one: one.round):
            if number > 1:
                driver = await self._renewed(driver, number)
            stage = await driver.drive(list(each), self.failures, load, watch=watch)
            self._asked += stage.taken
            if self._rounds.ended(number, conditions.samples()) or stage.stopper.early:
                break
        return stage

    async def _renewed(self, driver: Driver, number: int) -> Driver:
        """The driver for round `number`, with servers that are new, or have forgotten, where they are to.

        They are warmed up as at first.
        """
        targets = {} if self._fresh is None else {**await self._fresh.renew()}
        targets |= await self._forgotten(driver.targets, number)
        if not targets:
            return driver
        for target in targets.values():
            self._asks.forget(target.memory or target.configuration)
        experiment = self.plan.experiment
        if experiment.warm_up:
            queries = turned(self.suite.queries, number)
            await warm_up(replace(driver, targets=targets), self.plan, queries, self.failures, experiment.concurrency)
        self.announce(PhaseStarted("measuring", "measuring"))
        return replace(driver, targets={**driver.targets, **targets})

    async def _forgotten(self, targets: Mapping[str, Target], number: int) -> dict[str, Target]:
        """Those of `targets` whose server was to forget before round `number`, and did; each server is told once."""
        reasons: dict[str, str | None] = {}
        groups: dict[str, dict[str, Target]] = {}
        for one in self.plan.configurations:
            target = targets.get(one.name)
            if target is None or target.forget is None or one.name in self.failures.reasons:
                continue
            if one.group not in reasons:
                reasons[one.group] = await target.forget()
            groups.setdefault(one.group, {})[one.name] = target
        found: dict[str, Target] = {}
        for group, members in groups.items():
            if (reason := reasons[group]) is None:
                found |= members
                continue
            names = ", ".join(members)
            text = f"{names} did not forget before round {number}, so that it counts as asked again: {reason}"
            self.writer.add_finding(text)
            self.announce(Noted(text))
        return found

    def _watched(self) -> Conditions:
        ours = all(c.server.kind != "url" for c in self.plan.configurations)
        return Conditions(self.writer.conditions_path, self.tracing.clock.now_ns, ours=ours)

    def _energy(self) -> EnergyWatch:
        """Counters of this machine, which are those of a server only where it runs here."""
        ours = all(c.server.kind != "url" for c in self.plan.configurations)
        return EnergyWatch(self.writer.energy_path, self.tracing.clock.now_ns, None if ours else ())

    def _on_outcome(self, outcome: Outcome, ledger: Ledger) -> None:
        self.writer.append_outcome(outcome)
        if self._rounds is not None:
            self._rounds.add(outcome)
        tells = not outcome.asked_before or forgets(self.writer.header, outcome.configuration)
        self.announce(QueryEnded(outcome, ledger, tells))

    def _fail(self, configuration: str, reason: str) -> None:
        self.failures.add(configuration, reason)
        self.writer.configuration_failed(configuration, reason)
        self.announce(ConfigurationFailed(configuration, reason))


async def warm_up(driver: Driver, plan: Plan, queries: Sequence[Query], failures: Failures, concurrency: int) -> None:
    """Ask the first queries, as many as the plan has for it, of all targets; they count in nothing."""
    experiment = plan.experiment
    warm = replace(driver, limits=Limits(experiment.agent_settings.query_timeout_s))
    planned = plan_warm_up(list(driver.targets), queries, experiment.warm_up)
    await warm.drive(planned, failures, ClosedLoop(concurrency), warm_up=True)


def cut_short_by(error: BaseException) -> str:
    """Why a stage did not end by itself, in words."""
    return "it failed" if isinstance(error, Exception) else "it was interrupted"
