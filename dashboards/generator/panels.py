"""Panels in the few forms that both dashboards use: each is titled by the question that it answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from grafana_foundation_sdk.builders import barchart, bargauge, common, dashboard, prometheus, table, timeseries
from grafana_foundation_sdk.models.common import (
    BarGaugeDisplayMode,
    LegendDisplayMode,
    LegendPlacement,
    ReduceDataOptions,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.common import DataSourceRef as SourceRef
from grafana_foundation_sdk.models.dashboard import (
    DashboardLinkType,
    DataTransformerConfig,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards.generator.queries import ARM, COLUMN, RUN
from punie_trace.spans import names
from punie_trace.spans.prometheus_names import series_name

SOURCE: Final = SourceRef(type_val="prometheus", uid="punie-prometheus")
TAG: Final = "punie-trace"
EMPTY: Final = (
    "Nothing in this time range: measure with 'punie-trace run' while the stack is up, or send an older run with "
    "'punie-trace export RUN', and choose a range that holds it."
)
HALF, THIRD, FULL = 12, 8, 24
_HEIGHT: Final = 9
_OUTCOMES: Final = series_name(names.METRIC_QUERY_OUTCOMES)


def bars(
    title: str,
    about: str,
    unit: str,
    query: str,
    order: Sequence[str] = (),
    *,
    column: str = COLUMN,
    stacked: bool = False,
    width: int = HALF,
    empty: str = EMPTY,
) -> barchart.Panel:
    """A group of bars for each arm, a bar for each value of the label `column`, in the order given."""
    row = f"{ARM}\\{column}"
    matrix = {"columnField": column, "rowField": ARM, "valueField": "Value", "emptyValue": "null"}
    organized = {
        "renameByName": {row: "configuration · run"},
        "indexByName": {name: place for place, name in enumerate((row, *order))},
        "excludeByName": {},
    }
    return (
        barchart.Panel()
        .title(title)
        .description(about)
        .datasource(SOURCE)
        .unit(unit)
        .min(0)
        .no_value(empty)
        .orientation(VizOrientation.HORIZONTAL)
        .stacking(StackingMode.NORMAL if stacked else StackingMode.NONE)
        .show_value(VisibilityMode.AUTO)
        .legend(_legend())
        .tooltip(_tooltip())
        .with_target(_instant(query).format(PromQueryFormat.TABLE))
        .with_transformation(DataTransformerConfig(id_val="groupingToMatrix", options=matrix))
        .with_transformation(DataTransformerConfig(id_val="organize", options=organized))
        .height(_HEIGHT)
        .span(width)
    )


def gauges(
    title: str, about: str, unit: str, query: str, *, most: float | None = None, width: int = THIRD, empty: str = EMPTY
) -> bargauge.Panel:
    """One bar for each arm."""
    panel = (
        bargauge.Panel()
        .title(title)
        .description(about)
        .datasource(SOURCE)
        .unit(unit)
        .min(0)
        .no_value(empty)
        .orientation(VizOrientation.HORIZONTAL)
        .display_mode(BarGaugeDisplayMode.BASIC)
        .reduce_options(_Reduced())
        .with_target(_instant(query).legend_format(f"{{{{{ARM}}}}}"))
        .height(_HEIGHT)
        .span(width)
    )
    return panel if most is None else panel.max(most)


def over_time(
    title: str,
    about: str,
    unit: str,
    query: str,
    legend: str,
    *,
    exemplars: bool = False,
    stacked: bool = False,
    width: int = HALF,
    empty: str = EMPTY,
) -> timeseries.Panel:
    """Lines over the time of the run; with `exemplars` each dot is a query, and opens its trace."""
    target = prometheus.Dataquery().expr(query).legend_format(legend).range().exemplar(exemplars).datasource(SOURCE)
    return (
        timeseries.Panel()
        .title(title)
        .description(about)
        .datasource(SOURCE)
        .unit(unit)
        .min(0)
        .no_value(empty)
        .show_points(VisibilityMode.AUTO)
        .fill_opacity(25 if stacked else 0)
        .stacking(common.StackingConfig().mode(StackingMode.NORMAL if stacked else StackingMode.NONE))
        .legend(_legend())
        .tooltip(_tooltip())
        .with_target(target.ref_id("A"))
        .height(_HEIGHT)
        .span(width)
    )


def rows(
    title: str, about: str, query: str, names_shown: dict[str, str], *, width: int = FULL, empty: str = EMPTY
) -> table.Panel:
    """A table with a line for each series; `names_shown` says which labels, in order, and under which names."""
    organized = {
        "renameByName": names_shown,
        "indexByName": {name: place for place, name in enumerate(names_shown)},
        "excludeByName": {"Time": True},
    }
    return (
        table.Panel()
        .title(title)
        .description(about)
        .datasource(SOURCE)
        .no_value(empty)
        .with_target(_instant(query).format(PromQueryFormat.TABLE))
        .with_transformation(DataTransformerConfig(id_val="organize", options=organized))
        .height(_HEIGHT)
        .span(width)
    )


def run_variable(*, several: bool) -> dashboard.QueryVariable:
    """Which runs; the newest first, as a run's id begins with its time."""
    chosen = "run" if not several else "runs"
    return (
        _variable("run", f"label_values({_OUTCOMES}, {RUN})")
        .label(chosen)
        .sort(VariableSort.ALPHABETICAL_DESC)
        .multi(several)
        .include_all(False)
    )


def label_variable(name: str, label: str) -> dashboard.QueryVariable:
    """Which values of a label, all of them at first."""
    selected = f'{_OUTCOMES}{{{RUN}=~"$run"}}'
    return (
        _variable(name, f"label_values({selected}, {label})")
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
    )


def new_dashboard(title: str, uid: str, about: str) -> dashboard.Dashboard:
    """A dashboard that links to all others of ours, with the same choice and time."""
    others = (
        dashboard.DashboardLink("punie-trace")
        .type(DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .include_vars(True)
        .keep_time(True)
    )
    traces = (
        dashboard.DashboardLink("Traces of this run in Jaeger")
        .type(DashboardLinkType.LINK)
        .icon("external link")
        .url("http://localhost:16686/search?service=punie-trace&tags=%7B%22punie.run.id%22%3A%22${run}%22%7D")
        .target_blank(True)
    )
    return (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(about)
        .tags([TAG])
        .readonly()
        .time("now-24h", "now")
        .timezone("browser")
        .link(others)
        .link(traces)
    )


class _Reduced(common.ReduceDataOptions):
    """The last value of each series."""

    def build(self) -> ReduceDataOptions:
        return ReduceDataOptions(values=False, calcs=["lastNotNull"])


def _variable(name: str, query: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .datasource(SOURCE)
        .query({"query": query, "refId": name})
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
    )


def _instant(query: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(query).instant().datasource(SOURCE).ref_id("A")


def _legend() -> common.VizLegendOptions:
    return (
        common.VizLegendOptions()
        .display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
        .show_legend(True)
    )


def _tooltip() -> common.VizTooltipOptions:
    return common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI)
