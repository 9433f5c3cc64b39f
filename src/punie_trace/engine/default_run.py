"""What is asked where nobody said what to ask: the default run, so chosen that it takes two minutes on two cores.

Only first asks tell of speed, so the default run has more questions instead of more rounds. Pure.
"""

from __future__ import annotations

from typing import Final

from punie_trace.agent.asker import AgentSource
from punie_trace.engine.experiment import Experiment

SUITE: Final = "discrimination"
FRESH: Final = 12
"""Fresh questions besides the suite's five. One of them is the warm-up's, so that 16 first asks tell of speed.

Resampled from a run of 25 questions on two cores (adaptive 2.8x, speculative-3 1.8x), the 95 % interval of adaptive is
2.32 to 3.41 with 4 of the suite and 8 fresh (the warm-up took the fifth), 2.40 to 3.26 with 5 and 11, 2.44 to 3.15 with
5 and 16; a fresh question takes 4.2 s in the three configurations together, and a second round of the five 32 s.
"""


def resolved(experiment: Experiment) -> Experiment:
    """`experiment` with what the default run asks filled in, if it is one; else itself."""
    if not asks_default(experiment):
        return experiment
    filled: dict[str, object] = {"suite": f"{SUITE}+fresh:{FRESH}"}
    if "rounds" not in experiment.model_fields_set and experiment.until is None:
        # What remembering brings shows only where something is asked again.
        filled["rounds"] = 2 if experiment.server.get("memory") == "server" else 1
    return experiment.model_copy(update=filled)


def asks_default(experiment: Experiment) -> bool:
    """Whether nobody said what to ask, nor of whom, and something is compared: then it is asked enough to tell."""
    own_agent = experiment.agent_settings.source != AgentSource()
    given = {"suite", "workspace", "configurations", "load", "fleet"} & experiment.model_fields_set
    return (
        not given
        and not own_agent
        and len(experiment.only) != 1
        and experiment.server.get("kind", "mlx_lm") not in ("url", "command")
    )
