"""The leaderboard for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table


def leaderboard_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return the rows of leaderboard.json as a table, in percent."""
    table = Table(title="Leaderboard, in percent")
    for heading in ("task", "subset", "metric", "model"):
        table.add_column(heading, overflow="fold")
    for heading in ("n", "mean", "95 % interval", "seeds", "from base (p)", "from mlm (p)"):
        table.add_column(heading, justify="right", no_wrap=True)
    previous: tuple[str, str, str] | None = None
    for row in rows:
        group = (row["task"], row["subset"], row["metric"])
        if previous is not None and group != previous:
            table.add_section()
        deviation = "" if row["deviation"] is None else f" ± {100 * row['deviation']:.1f}"
        table.add_row(
            *(group if group != previous else ("", "", "")),
            row["model"],
            f"{row['n']:,}",
            f"{100 * row['mean']:.1f}{deviation}",
            f"{100 * row['low']:.1f} to {100 * row['high']:.1f}",
            str(row["seeds"]),
            _difference(row, "base"),
            _difference(row, "mlm"),
        )
        previous = group
    return table


def _difference(row: Mapping[str, Any], reference: str) -> str:
    difference = row[f"difference_{reference}"]
    if difference is None:
        return ""
    return f"{100 * difference:+.1f} ({row[f'p_{reference}']:.3f})"


def skipped_lines(skipped: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return one line for each task that was skipped."""
    models: dict[tuple[str, str], list[str]] = {}
    for one in skipped:
        models.setdefault((one["task"], one["reason"]), []).append(one["model"])
    return [
        f"skipped: {task} ({', '.join(dict.fromkeys(names))}): {reason}"
        for (task, reason), names in models.items()
    ]
