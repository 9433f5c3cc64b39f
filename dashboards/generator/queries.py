"""PromQL over this project's own metrics, by their names in `telemetry.names`.

All values are cumulative from the start of their run, so the last one within the time range is the whole run; `rate`
would lose the first sample, which in a run of seconds is most of it. Figures are compared by 'arm': a configuration in
a run.
"""

from __future__ import annotations

from typing import Final

from punie_trace.spans import names
from punie_trace.spans.prometheus_names import label_name, series_name

ARM: Final = "arm"
COLUMN: Final = "stat"
RUN: Final = label_name(names.RUN_ID)
CONFIGURATION: Final = label_name(names.CONFIGURATION)
CATEGORY: Final = label_name(names.QUERY_CATEGORY)
VERDICT: Final = label_name(names.VERDICT)
LINE: Final = label_name(names.LEDGER_LINE)
TOOL: Final = label_name(names.GEN_AI_TOOL_NAME)
ERROR: Final = label_name(names.ERROR_TYPE)
TOKEN_TYPE: Final = label_name(names.GEN_AI_TOKEN_TYPE)
ASK: Final = label_name(names.ASK)
TURN: Final = label_name(names.TURN_NUMBER)
OUTPUT: Final = label_name(names.GENERATION_OUTPUT)

ANSWERED: Final = f'{ERROR}=""'
"""Queries that ended with an answer, right or wrong: the times of others say how long one waited, and no more."""
FAILED: Final = f'{ERROR}!=""'
WALL: Final = f'{LINE}="wall"'
LINES: Final = ("client_queue", "generation", "tool", "framework")


def equals(label: str, value: str) -> str:
    """A matcher of one value; '' is 'has no such label'."""
    return f'{label}="{value}"'


def matching(metric: str, part: str | None = None, *matchers: str) -> str:
    """The series of a metric in the chosen runs and configurations."""
    chosen = (f'{RUN}=~"$run"', f'{CONFIGURATION}=~"$configuration"', *matchers)
    return f"{series_name(metric, part)}{{{','.join(chosen)}}}"


def last(metric: str, part: str | None = None, *matchers: str) -> str:
    """Their last values within the dashboard's time range."""
    return f"last_over_time({matching(metric, part, *matchers)}[$__range])"


def by_arm(expression: str, *labels: str, how: str = "sum") -> str:
    """The values of each arm, added up (or as `how` says); `labels` are kept apart as well."""
    joined = f'label_join({expression}, "{ARM}", " · ", "{CONFIGURATION}", "{RUN}")'
    return f"{how} by ({', '.join((ARM, *labels))}) ({joined})"


def quantile(share: float, metric: str, *matchers: str, labels: tuple[str, ...] = ()) -> str:
    """A quantile in each arm, from the buckets."""
    return f"histogram_quantile({share:g}, {by_arm(last(metric, 'bucket', *matchers), 'le', *labels)})"


def mean(metric: str, *matchers: str) -> str:
    """The exact mean in each arm."""
    return f"{by_arm(last(metric, 'sum', *matchers))} / {by_arm(last(metric, 'count', *matchers))}"


def columns(**expressions: str) -> str:
    """One query for several figures of each arm, told apart by the label `stat`; underscores show as spaces."""
    return "\nor\n".join(
        f'label_replace({expression}, "{COLUMN}", "{name.replace("_", " ")}", "", "")'
        for name, expression in expressions.items()
    )


def so_far(share: float, metric: str, *matchers: str, labels: tuple[str, ...]) -> str:
    """A quantile of all that ended up to each moment, with `labels` kept apart: it needs no `rate`."""
    buckets = matching(metric, "bucket", *matchers)
    return f"histogram_quantile({share:g}, sum by ({', '.join(('le', *labels))}) ({buckets}))"
