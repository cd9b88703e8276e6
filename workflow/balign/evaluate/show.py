"""The leaderboard for people: in a terminal, as CSV, Markdown or LaTeX.

Figures of papers stand under ours of the same task, subset and metric, marked as published, without
examples, seeds or tests; no figure is computed from both.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

from rich.console import Group, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from balign.evaluate.leakage import leakage_line

Row = Mapping[str, Any]

_HEADINGS = (
    "task",
    "subset",
    "metric",
    "model",
    "n",
    "mean",
    "95 % interval",
    "seeds",
    "from base (p)",
    "from mlm (p)",
)
_GROUP = 3  # columns that rows of a group share
_WORDS = 4  # columns of words; the others hold figures
_GAP = 2  # characters between the columns of a terminal
_HEADLINE = ("all", "refined")  # subsets shown unless all are asked for


def shown_rows(board: Mapping[str, Any], everything: bool = False) -> list[Row]:
    """Return the rows to show, those of papers after ours of the same task, subset and metric.

    Args:
        board: leaderboard.json.
        everything: all metrics and subsets, not each task's first metric alone; and of papers also
            the figures for tasks that are not ours.
    """
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in board["rows"]:
        if everything or (row["primary"] and row["subset"] in _HEADLINE):
            groups.setdefault(_group(row), []).append(row)
    for one in board.get("published", ()):
        if everything or _group(one) in groups:
            groups.setdefault(_group(one), []).append(one)
    return [row for rows in groups.values() for row in rows]


def _group(row: Row) -> tuple[str, str, str]:
    return row["task"], row["subset"], row["metric"]


def is_published(row: Row) -> bool:
    """Return whether a row is a paper's."""
    return "system" in row


def cells(row: Row) -> tuple[str, ...]:
    """Return what stands in the columns, figures times 100."""
    group = _group(row)
    if is_published(row):
        return (*group, f"{row['system']} (published)", "", f"{row['value']:.1f}", "", "", "", "")
    deviation = "" if row["deviation"] is None else f" ± {100 * row['deviation']:.1f}"
    return (
        *group,
        row["model"],
        f"{row['n']:,}",
        f"{100 * row['mean']:.1f}{deviation}",
        f"{100 * row['low']:.1f} to {100 * row['high']:.1f}",
        str(row["seeds"]),
        _difference(row, "base"),
        _difference(row, "mlm"),
    )


def _difference(row: Row, reference: str) -> str:
    difference = row[f"difference_{reference}"]
    if difference is None:
        return ""
    return f"{100 * difference:+.1f} ({row[f'p_{reference}']:.3f})"


def leaderboard(rows: Sequence[Row], width: int) -> Group:
    """Return rows for a terminal: a heading and a table for each task, subset and metric.

    Args:
        rows: those to show.
        width: characters of a line; long names of models are folded to fit.
    """
    headings = _HEADINGS[_GROUP:]
    every = [cells(row)[_GROUP:] for row in rows]
    # Where nothing is compared there is no column for it.
    used = [place for place in range(len(headings)) if any(one[place] for one in every)]
    widths = [max(len(headings[p]), *(len(one[p]) for one in every)) for p in used]
    if widths:
        widths[0] = max(8, min(widths[0], width - sum(widths[1:]) - _GAP * len(widths)))

    def table(header: bool = False) -> Table:
        found = Table(box=None, padding=(0, _GAP, 0, 0), show_header=header)
        for place, size in zip(used, widths, strict=True):
            justify: JustifyMethod = "right" if place else "left"
            found.add_column(
                headings[place], justify=justify, width=size, overflow="fold", no_wrap=place > 0
            )
        return found

    parts: list[RenderableType] = [Text("Leaderboard, in percent\n"), table(header=True)]
    for (task, subset, metric), some in groupby(rows, key=_group):
        found = table()
        for row in some:
            values = cells(row)[_GROUP:]
            style = "dim" if is_published(row) else None
            found.add_row(*(values[place] for place in used), style=style)
        parts += [Text(f"\n{task}, {subset}: {metric}", style="bold"), found]
    return Group(*parts)


def as_csv(rows: Sequence[Row]) -> str:
    """Return rows as CSV: plain numbers between 0 and 1, ``origin`` and ``source`` of each."""
    figures = ("n", "mean", "deviation", "low", "high", "seeds", "difference_base", "p_base",
               "difference_mlm", "p_mlm")  # fmt: skip
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("origin", "task", "subset", "metric", "model", *figures, "source"))
    for row in rows:
        group = _group(row)
        if is_published(row):
            blank = [""] * (len(figures) - 2)
            value = round(row["value"] / 100, 6)
            writer.writerow(("published", *group, row["system"], "", value, *blank, row["source"]))
        else:
            writer.writerow(("this run", *group, row["model"], *(row[one] for one in figures), ""))
    return stream.getvalue()


def as_markdown(rows: Sequence[Row]) -> str:
    """Return rows as a Markdown table."""

    def escaped(text: str) -> str:
        return re.sub(r"([\\`*_|<>\[\]~])", r"\\\1", text)

    lines = [_HEADINGS, ["---"] * _WORDS + ["--:"] * (len(_HEADINGS) - _WORDS)]
    lines += [[escaped(cell) for cell in cells(row)] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


def latex_escaped(text: str) -> str:
    """Return text that LaTeX sets as it is written."""
    return "".join(_LATEX.get(sign, sign) for sign in text)


def as_latex(rows: Sequence[Row]) -> str:
    """Return rows as a tabular of the LaTeX package booktabs."""

    def line(values: Sequence[str]) -> str:
        return " & ".join(map(latex_escaped, values)) + r" \\"

    columns = "l" * _WORDS + "r" * (len(_HEADINGS) - _WORDS)
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", line(_HEADINGS)]
    for _, some in groupby(rows, key=_group):
        lines += [r"\midrule", *(line(cells(row)) for row in some)]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


FORMS: Mapping[str, Callable[[Sequence[Row]], str]] = {
    "csv": as_csv,
    "markdown": as_markdown,
    "latex": as_latex,
}


def notes(board: Mapping[str, Any], rows: Sequence[Row]) -> list[str]:
    """Return what else a reader must know: sources of papers' figures, leakage, what is missing."""
    cited = dict.fromkeys(
        f"published: {row['system']}: {row['source']}" for row in rows if is_published(row)
    )
    known = [{k: v for k, v in one.items() if v is not None} for one in board.get("leakage", ())]
    leaked = [line for one in known if (line := leakage_line(one["task"], one))]
    return [*cited, *(f"leakage: {line}" for line in leaked), *skipped_lines(board["skipped"])]


def skipped_lines(skipped: Sequence[Row]) -> list[str]:
    """Return one line for each task that was skipped."""
    models: dict[tuple[str, str], list[str]] = {}
    for one in skipped:
        models.setdefault((one["task"], one["reason"]), []).append(one["model"])
    return [
        f"skipped: {task} ({', '.join(dict.fromkeys(names))}): {reason}"
        for (task, reason), names in models.items()
    ]
