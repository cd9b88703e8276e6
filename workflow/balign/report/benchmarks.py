"""Reader of Snakemake's benchmark files."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cost:
    """What the jobs of a rule took: seconds added up, the largest memory in bytes."""

    rule: str
    jobs: int
    seconds: float
    memory: int | None


def read_benchmarks(folder: Path) -> list[Cost]:
    """Add up the benchmarks by rule, the longest first.

    ``<rule>.tsv`` is a rule of one job, ``<rule>/<wildcards>.tsv`` a job of a rule of several.
    The report's own is left out: it could only be that of an earlier run.

    Columns: ``s`` seconds, ``max_rss`` megabytes (``-`` or NA for a job too short to be measured).
    """
    jobs: dict[str, list[tuple[float, float | None]]] = {}
    for path in sorted(folder.glob("**/*.tsv")):
        rule = path.relative_to(folder).parts[0].removesuffix(".tsv")
        if rule == "report_render":
            continue
        with path.open(encoding="utf-8", newline="") as handle:
            for row in csv.DictReader(handle, delimiter="\t"):
                jobs.setdefault(rule, []).append((float(row["s"]), _megabytes(row["max_rss"])))
    costs = []
    for rule, measured in jobs.items():
        known = [memory for _, memory in measured if memory is not None]
        memory = round(max(known) * 1e6) if known else None
        costs.append(Cost(rule, len(measured), sum(seconds for seconds, _ in measured), memory))
    return sorted(costs, key=lambda cost: (-cost.seconds, cost.rule))


def _megabytes(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
