"""A dashboard as data, and what Grafana reads of it: rows of panels, each of which asks Prometheus something and says what it means."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import BigValueColorMode, LegendDisplayMode, LegendPlacement, StackingMode
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    GridPos,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
    VariableSort,
)

WIDTH: Final = 24
STAT_HEIGHT: Final = 4
LINES_HEIGHT: Final = 8
SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")
TARGET: Final = 'job="$job",instance=~"$instance"'
"""What every selector is narrowed by: written as ``<>`` in an expression, or before further matchers."""


ONLY_OF_INTERVALS: Final = ("auto", "auto_count", "auto_min")
"""What the library writes of every variable, and Grafana's types know of intervals alone."""


@dataclass(frozen=True)
class Ask:
    """One query and what its lines are called."""

    expression: str
    legend: str

    @property
    def whole(self) -> str:
        """The expression with the targets that are looked at."""
        return self.expression.replace("<>", TARGET)


@dataclass(frozen=True)
class Panel:
    """One picture. `unit` is one of Grafana's; `bad_from` is from where on (or, if `bad_below`, up to where) a figure is red."""

    title: str
    meaning: str
    unit: str
    asks: Sequence[Ask]
    kind: Literal["lines", "figure"] = "lines"
    width: int = 12
    stacked: bool = False
    bad_from: float | None = None
    bad_below: bool = False


@dataclass(frozen=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Page:
    """One dashboard. Its `uid` is its address, and the name of its file."""

    uid: str
    title: str
    meaning: str
    rows: Sequence[Row]


def as_json(page: Page) -> str:
    """What Grafana imports."""
    made = json.loads(JSONEncoder().encode(_built(page).build()))
    for variable in made["templating"]["list"]:
        for name in ONLY_OF_INTERVALS:
            variable.pop(name, None)
    return json.dumps(made, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _built(page: Page) -> dashboard.Dashboard:
    built = (
        dashboard.Dashboard(page.title)
        .uid(page.uid)
        .description(page.meaning)
        .tags(["miniwatch"])
        .time("now-6h", "now")
        .refresh("30s")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard.DashboardLink("Miniwatch")
            .type(DashboardLinkType.DASHBOARDS)
            .tags(["miniwatch"])
            .as_dropdown(True)
            .keep_time(True)
            .include_vars(True)
        )
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(_values("job", "miniwatch_build_info", many=False))
        .with_variable(_values("instance", 'miniwatch_build_info{job="$job"}', many=True))
    )
    number, top = 0, 0
    for row in page.rows:
        number += 1
        built = built.with_row(dashboard.Row(row.title).id(number).grid_pos(GridPos(h=1, w=WIDTH, x=0, y=top)))
        top, left, height = top + 1, 0, 0
        for panel in row.panels:
            if left + panel.width > WIDTH:
                top, left, height = top + height, 0, 0
            number += 1
            high = STAT_HEIGHT if panel.kind == "figure" else LINES_HEIGHT
            place = GridPos(h=high, w=panel.width, x=left, y=top)
            built = built.with_panel(_picture(panel).id(number).grid_pos(place))
            left, height = left + panel.width, max(height, high)
        top += height
    return built


def _values(name: str, series: str, *, many: bool) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(name.capitalize())
        .datasource(SOURCE)
        .query(f"label_values({series}, {name})")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(many)
        .include_all(many)
    )


def _picture(panel: Panel) -> timeseries.Panel | stat.Panel:
    made = _figure(panel) if panel.kind == "figure" else _lines(panel)
    made = made.title(panel.title).description(panel.meaning).datasource(SOURCE).unit(panel.unit)
    for letter, ask in zip("ABCDEFGH", panel.asks, strict=False):
        query = prometheus.Dataquery().expr(ask.whole).legend_format(ask.legend).ref_id(letter).datasource(SOURCE)
        made = made.with_target(query.instant() if panel.kind == "figure" else query.range())
    return made


def _figure(panel: Panel) -> stat.Panel:
    made = stat.Panel().color_mode(BigValueColorMode.VALUE)
    if panel.bad_from is None:
        return made
    colours = ("red", "green") if panel.bad_below else ("green", "red")
    steps = [Threshold(value=None, color=colours[0]), Threshold(value=panel.bad_from, color=colours[1])]
    return made.thresholds(dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))


def _lines(panel: Panel) -> timeseries.Panel:
    made = (
        timeseries.Panel()
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .min(0)
    )
    if panel.stacked:
        made = made.fill_opacity(30).stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
    return made
