"""The leaderboard for people: in a terminal, as CSV, Markdown or LaTeX.

Figures of papers stand under ours of the same task, subset and metric, marked as published, without
examples, seeds or tests; no figure is computed from both.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

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
_WORDS = 4  # columns of words; the others hold figures
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
            groups.setdefault((row["task"], row["subset"], row["metric"]), []).append(row)
    for one in board.get("published", ()):
        group = (one["task"], one["subset"], one["metric"])
        if everything or group in groups:
            groups.setdefault(group, []).append(one)
    return [row for rows in groups.values() for row in rows]


def is_published(row: Row) -> bool:
    """Return whether a row is a paper's."""
    return "system" in row


def cells(row: Row) -> tuple[str, ...]:
    """Return what stands in the columns, figures times 100."""
    group = (row["task"], row["subset"], row["metric"])
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


def leaderboard_table(rows: Sequence[Row]) -> Table:
    """Return rows as a table for a terminal."""
    every = [cells(row) for row in rows]
    # Where nothing is compared there is no column for it.
    used = [place for place in range(len(_HEADINGS)) if any(one[place] for one in every)]
    # Without frames eight columns of ours fit into 120 characters.
    table = Table(title="Leaderboard, in percent", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for place in used:
        if place < _WORDS:
            table.add_column(_HEADINGS[place], overflow="fold", min_width=8)
        else:
            table.add_column(_HEADINGS[place], justify="right", no_wrap=True)
    previous: tuple[str, ...] | None = None
    for row, found in zip(rows, every, strict=True):
        group = found[:3]
        if previous is not None and group != previous:
            table.add_section()
        words = (*(group if group != previous else ("", "", "")), *found[3:])
        style = "dim" if is_published(row) else None
        table.add_row(*(words[place] for place in used), style=style)
        previous = group
    return table


def as_csv(rows: Sequence[Row]) -> str:
    """Return rows as CSV: plain numbers between 0 and 1, ``origin`` and ``source`` of each."""
    figures = ("n", "mean", "deviation", "low", "high", "seeds", "difference_base", "p_base",
               "difference_mlm", "p_mlm")  # fmt: skip
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("origin", "task", "subset", "metric", "model", *figures, "source"))
    for row in rows:
        group = (row["task"], row["subset"], row["metric"])
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
    previous: tuple[str, ...] | None = None
    for row in rows:
        found = cells(row)
        if found[:3] != previous:
            lines.append(r"\midrule")
        lines.append(line(found))
        previous = found[:3]
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
