"""The report's figures, drawn once and written as SVG, PNG and inline SVG.

They are drawn in the colours of ``PALETTE``; the inline SVG has these replaced by the page's CSS
variables, so that a figure follows the page into the dark. Equal data give equal bytes: ids in the
SVG come from ``svg.hashsalt`` and no file carries a date.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from balign.report.results import Row, grouped
from balign.report.text import metric_label, whole
from balign.report.training import Model

# CSS variable -> colour in the files. Series colours are told apart in greyscale and by people
# with colour blindness (after Okabe and Ito), and every series has its own marker as well.
PALETTE: Mapping[str, str] = {
    "ink": "#1d2125",
    "soft": "#5b636b",
    "line": "#dfe3e7",
    "paper": "#ffffff",
    "series-0": "#6c757d",
    "series-1": "#b85c00",
    "series-2": "#1662b8",
    "series-3": "#0b7a5b",
    "series-4": "#a1307e",
    "series-5": "#7a6a00",
}
_SERIES = [colour for name, colour in PALETTE.items() if name.startswith("series")]
_MARKERS = "osD^vP"
_STYLE: dict[Any, Any] = {
    "font.size": 9.5,
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same on every machine
    "text.parse_math": False,  # a $ in a name is a $
    "svg.fonttype": "none",  # real text: small, selectable, in the page's own font
    "axes.edgecolor": PALETTE["line"],
    "axes.labelcolor": PALETTE["soft"],
    "axes.titlecolor": PALETTE["ink"],
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": PALETTE["line"],
    "grid.linewidth": 0.7,
    "xtick.color": PALETTE["line"],
    "ytick.color": PALETTE["line"],
    "xtick.labelcolor": PALETTE["soft"],
    "ytick.labelcolor": PALETTE["soft"],
    "legend.frameon": False,
    "legend.labelcolor": PALETTE["ink"],
    "lines.solid_capstyle": "round",
}
_WIDTH = 9.2  # inches; the page scales it to its column


def style_of(models: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Give each model a colour and a marker; the untouched encoder is always grey."""
    order = dict.fromkeys(["base", "mlm", *models])
    return {
        model: (_SERIES[place % len(_SERIES)], _MARKERS[place % len(_MARKERS)])
        for place, model in enumerate(order)
    }


@contextmanager
def _drawing(name: str) -> Iterator[None]:
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": f"balign-{name}"}):
        yield


def training_figure(
    models: Sequence[Model], panels: Sequence[tuple[str, str]], style: Mapping[str, tuple[str, str]]
) -> Figure:
    """Draw curves over steps: one panel a (title, key), one colour a model.

    Training is a line, validation the same colour with markers.
    """
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    with _drawing("training"):
        figure = Figure(figsize=(_WIDTH, 2.75 * rows + 0.35), layout="constrained")
        for place, (title, key) in enumerate(panels):
            axes = figure.add_subplot(rows, columns, place + 1)
            axes.set_title(title)
            axes.grid(axis="x", visible=False)
            for model in models:
                _curves(axes, model, key, *style[model.name])
            if place >= len(panels) - columns:
                axes.set_xlabel("step")
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
            axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
            axes.margins(x=0.03)
        _legend(figure, [model.name for model in models], style, line=True)
    return figure


def _curves(axes: Axes, model: Model, key: str, colour: str, marker: str) -> None:
    steps, values = model.curve("train", key)
    axes.plot(steps, values, color=colour, linewidth=1.3, alpha=0.75)
    steps, values = model.curve("validation", key)
    edge: dict[str, Any] = {"markeredgecolor": PALETTE["paper"], "markeredgewidth": 0.8}
    axes.plot(steps, values, color=colour, linewidth=1.8, marker=marker, markersize=5.5, **edge)


def leaderboard_figure(rows: Sequence[Row], style: Mapping[str, tuple[str, str]]) -> Figure:
    """Draw the primary metric of each task and subset: a dot a model, with its 95 % interval."""
    tasks: dict[str, list[list[Row]]] = {}
    for first, group in grouped([row for row in rows if row.primary]):
        tasks.setdefault(first.task, []).append(group)
    heights = [sum(0.24 * len(group) + 0.22 for group in groups) + 0.7 for groups in tasks.values()]
    with _drawing("leaderboard"):
        figure = Figure(figsize=(_WIDTH, sum(heights) + 0.5), layout="constrained")
        figure.get_layout_engine().set(hspace=0.06)  # type: ignore[union-attr,call-arg]
        grid = figure.add_gridspec(len(tasks), 1, height_ratios=heights)
        for place, (task, groups) in enumerate(tasks.items()):
            axes = figure.add_subplot(grid[place])
            axes.set_title(f"{task}  ·  {metric_label(groups[0][0].metric)} × 100")
            _dots(axes, groups, style)
        models = [name for name in style if any(row.model == name for row in rows)]
        _legend(figure, models, style, line=False)
    return figure


def _dots(
    axes: Axes, groups: Sequence[Sequence[Row]], style: Mapping[str, tuple[str, str]]
) -> None:
    place, ticks, names = 0.0, [], []
    for group in groups:
        ticks.append(place + 0.12 * (len(group) - 1))
        names.append(f"{group[0].subset}  (n = {whole(group[0].n)})")
        for row in group:
            colour, marker = style[row.model]
            low, high = 100 * row.low, 100 * row.high
            axes.plot([low, high], [place, place], color=colour, linewidth=2, alpha=0.45)
            axes.plot(
                [100 * row.mean], [place], color=colour, marker=marker, markersize=6.5,
                markeredgecolor=PALETTE["paper"], markeredgewidth=0.8, linestyle="none",
            )  # fmt: skip
            place += 0.24
        place += 0.22
    axes.set_yticks(ticks, names)
    axes.set_ylim(place - 0.22 - 0.24 + 0.25, -0.25)  # first group on top
    axes.tick_params(length=0)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.06)


def graph_figure(mention_count: npt.NDArray[Any], degree: npt.NDArray[Any]) -> Figure:
    """Draw how unevenly mentions and edges are spread: concepts by rank, both axes logarithmic."""
    with _drawing("graph"):
        figure = Figure(figsize=(_WIDTH, 2.9), layout="constrained")
        parts = (
            ("Mentions of a concept", mention_count, _SERIES[2]),
            ("Edges of a concept", degree, _SERIES[3]),
        )
        for place, (title, values, colour) in enumerate(parts):
            axes = figure.add_subplot(1, 2, place + 1)
            axes.set_title(title)
            axes.set_xlabel("rank of the concept")
            values = np.sort(np.asarray(values)[np.asarray(values) > 0])[::-1]
            if len(values):
                # 300 points draw the same curve as 300,000 and keep the page small.
                rank = np.unique(np.geomspace(1, len(values), 300).round().astype(np.int64))
                axes.loglog(rank, values[rank - 1], color=colour, linewidth=2)
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_formatter(FuncFormatter(lambda x, _: whole(round(x))))
            axes.minorticks_off()
    return figure


def _legend(
    figure: Figure, models: Sequence[str], style: Mapping[str, tuple[str, str]], *, line: bool
) -> None:
    handles = [
        Line2D(
            [], [], color=style[name][0], marker=style[name][1], markersize=6.5, label=name,
            linestyle="-" if line else "none", markeredgecolor=PALETTE["paper"],
        )
        for name in models
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside upper left", ncols=6, handletextpad=0.4)


def save_figure(figure: Figure, folder: Path, name: str) -> str:
    """Write ``<name>.svg`` and ``<name>.png``; return the SVG for the page."""
    with _drawing(name):
        figure.draw_without_rendering()  # lays out once, not for each file
        figure.set_layout_engine("none")
        figure.savefig(folder / f"{name}.png", dpi=160, metadata={"Software": None})
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
    return inline_svg((folder / f"{name}.svg").read_text(encoding="utf-8"))


def inline_svg(svg: str) -> str:
    """Make a stand-alone SVG part of a page: no prologue, no fixed size, colours as variables.

    Group ids are dropped: matplotlib gives the same ones to every figure.
    """
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    head, rest = svg.split(">", 1)
    box = re.search(r'viewBox="[^"]*"', head)
    assert box is not None
    for name, colour in PALETTE.items():
        rest = rest.replace(colour, f"var(--{name})")
    return f'<svg {box.group()} aria-hidden="true" focusable="false">{rest}'.strip()


def panel_title(key: str) -> str:
    """Return the title of a training panel."""
    return {"loss": "Loss, total", "mlm": "Loss, MLM", "alignment": "Loss, alignment"}.get(
        key, metric_label(key)
    )
