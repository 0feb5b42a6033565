"""Options for ECharts, in the colours of the theme."""

from __future__ import annotations

from typing import Any

from services.api.web.series import SHOWN_DAYS, UsageSeries
from services.api.web.theme import palette
from shared.domain.contract.days import day_name
from shared.domain.relationship.flags import Severity

TODAY = "Today so far"

# The dotted line begins at yesterday, of which only the whole day is told.
_TOOLTIP = f"""ps => ps[0].axisValue + ps
  .filter(p => p.value != null && (p.seriesName !== "{TODAY}" || p.dataIndex === {SHOWN_DAYS - 1}))
  .map(p => `<br>${{p.marker}}${{p.seriesName}}: <b>`
    + p.value.toLocaleString("en", {{maximumFractionDigits: p.value < 100 ? 2 : 0}}) + "</b>")
  .join("")"""

_FONT = 'Inter, -apple-system, "Segoe UI", Roboto, sans-serif'


def usage_options(series: UsageSeries, dark: bool) -> dict[str, Any]:
    """Daily use as a line, the unfinished day dotted, the usual level dashed behind it, the flagged window shaded."""
    colours = palette(dark)
    label = {"color": colours["muted"], "fontFamily": _FONT, "fontSize": 11.5}
    return {
        "animation": False,
        "aria": {"enabled": True},
        "textStyle": {"fontFamily": _FONT},
        "grid": {"left": 8, "right": 12, "top": 12, "bottom": 4, "containLabel": True},
        "tooltip": {
            "trigger": "axis",
            "backgroundColor": colours["raised"],
            "borderColor": colours["line"],
            "textStyle": {"color": colours["text"], "fontSize": 12.5},
            "axisPointer": {"lineStyle": {"color": colours["strong-line"]}},
            ":formatter": _TOOLTIP,
        },
        "xAxis": {
            "type": "category",
            "data": list(series.days),
            "boundaryGap": False,
            "axisLine": {"lineStyle": {"color": colours["strong-line"]}},
            "axisTick": {"show": False},
            "axisLabel": {
                **label,
                "hideOverlap": True,
                "alignMinLabel": "left",
                "alignMaxLabel": "right",
                "margin": 10,
                ":formatter": "d => new Date(d).toLocaleDateString('en-GB', {day: 'numeric', month: 'short', "
                "timeZone: 'UTC'})",
            },
        },
        "yAxis": {
            "type": "value",
            "minInterval": 1,
            "splitNumber": 4,
            "axisLabel": label,
            "splitLine": {"lineStyle": {"color": colours["line"]}},
        },
        "series": [_usual(series, colours), _use(series, colours), _today(series, colours)],
    }


def tone_of(series: UsageSeries) -> str:
    """The name of the colour in which a flagged drop is marked, in the chart and in its legend."""
    return "red" if series.severity == Severity.CRITICAL else "yellow"


def _usual(series: UsageSeries, colours: dict[str, str]) -> dict[str, Any]:
    return {
        "name": "Usual on this weekday",
        "type": "line",
        "data": list(series.baseline),
        "symbol": "none",
        "silent": True,
        "lineStyle": {"color": colours["faint"], "type": "dashed", "width": 1.4},
        "itemStyle": {"color": colours["faint"]},
    }


def _use(series: UsageSeries, colours: dict[str, str]) -> dict[str, Any]:
    tone = colours[f"{tone_of(series)}-fill"]
    area: list[list[dict[str, Any]]] = []
    if series.flagged is not None:
        first = max(day_name(series.flagged.first), series.days[0])
        last = min(max(day_name(series.flagged.last), first), series.days[-1])
        area = [[{"xAxis": first}, {"xAxis": last}]]
    return {
        "name": "Use",
        "type": "line",
        "data": [*series.counts[:-1], None],
        "symbol": "none",
        "lineStyle": {"color": colours["accent"], "width": 2},
        "itemStyle": {"color": colours["accent"]},
        "areaStyle": {"color": colours["accent"], "opacity": 0.08},
        "markArea": {
            "silent": True,
            "data": area,
            "itemStyle": {
                "color": tone,
                "opacity": 0.28,  # as in the legend, in rapport.css
                "borderColor": tone,
                "borderWidth": 1,
                "borderType": "dashed",
            },
        },
    }


def _today(series: UsageSeries, colours: dict[str, str]) -> dict[str, Any]:
    """From yesterday to what has come of today: a day that is not over is no collapse."""
    return {
        "name": TODAY,
        "type": "line",
        "data": [*(None for _ in series.counts[:-2]), *series.counts[-2:]],
        "symbol": "none",
        "lineStyle": {"color": colours["accent"], "width": 2, "type": "dotted", "opacity": 0.75},
        "itemStyle": {"color": colours["accent"]},
    }
