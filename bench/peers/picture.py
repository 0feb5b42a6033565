"""Draws the throughput figures: `python -m bench.peers.picture FIGURES.json PICTURE.svg`.

Events per CPU second of each row, as bars with whiskers from min to max. Readable on light and on dark ground.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter

INK, INK_ON_DARK = "#24292f", "#e6edf3"
RAPPORT, OTHERS = "#e8590c", "#868e96"  # seen well on both grounds
STYLE = f"""<style>
@media (prefers-color-scheme: dark) {{
 text {{ fill: {INK_ON_DARK} !important }}
 path[style*="stroke: {INK}"], use[style*="stroke: {INK}"] {{ stroke: {INK_ON_DARK} !important }}
}}
</style>
"""
NAMES = {
    "bare": "bare loop: fetch and decode only",
    "rapport_memory": "Rapport, store in memory",
    "rapport_mongodb": "Rapport, MongoDB server",
    "rapport_json": "Rapport, from JSON in the inbox",
    "faust_memory": "Faust agent, store in memory",
    "faust_mongodb": "Faust agent, MongoDB server",
    "quix": "Quix Streams",
    "bytewax": "Bytewax",
    "pathway": "Pathway",
    "kafka_streams": "Kafka Streams (Java)",
}


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Write the picture of these rows, the first one on top."""
    plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "rapport", "font.family": "sans-serif"})
    figure, axes = plt.subplots(figsize=(8, 0.6 + 0.42 * len(rows)), layout="constrained")
    spreads = [row["events_per_cpu_s"] for row in rows]
    medians = [spread["median"] for spread in spreads]
    whiskers = [
        [spread["median"] - spread["min"] for spread in spreads],
        [spread["max"] - spread["median"] for spread in spreads],
    ]
    colours = [RAPPORT if row["name"].startswith("rapport") else OTHERS for row in rows]
    style = {"ecolor": INK, "capsize": 3, "elinewidth": 1}
    axes.barh(range(len(rows)), medians, xerr=whiskers, color=colours, height=0.62, error_kw=style)
    axes.set_yticks(range(len(rows)), [NAMES.get(row["name"], row["name"]) for row in rows])
    axes.invert_yaxis()
    longest = max(spread["max"] for spread in spreads)
    for at, spread in enumerate(spreads):
        axes.text(spread["max"] + longest * 0.015, at, f"{spread['median']:,.0f}", va="center", color=INK)
    axes.set_xlim(0, longest * 1.14)
    axes.set_xlabel("events per CPU second: median, min and max", color=INK)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.tick_params(colors=INK, left=False)
    for name, spine in axes.spines.items():
        spine.set_visible(name == "bottom")
        spine.set_color(INK)
    figure.savefig(path, transparent=True, metadata={"Date": None})
    drawn = path.read_text()
    path.write_text(drawn.replace(" <defs>", STYLE + " <defs>", 1))


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text())["rows"], Path(sys.argv[2]))
