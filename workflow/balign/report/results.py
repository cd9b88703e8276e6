"""The leaderboard: its rows, and in words whether the aligned models are better or worse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from balign.errors import DataError
from balign.files import read_json
from balign.report.text import listed

ALL = "all"
SIGNIFICANT = 0.05
# What the subsets are (balign.evaluate.linking_mentions, balign.evaluate.probing).
_SUBSETS = {
    "refined": "mentions whose text is neither a training or development mention nor a name to "
    "choose from",
    "single": "mentions annotated with one identifier",
    "composite": "mentions annotated with several",
    "covered": "mentions whose concept is among those to choose from",
    "out_of_dictionary": "mentions whose concept is not, which can only be missed",
    "trivial": "queries that hold a right answer",
    "not_trivial": "queries that hold none",
}
REFERENCES = {"base": "the untouched encoder", "mlm": "the control without the graph"}


@dataclass(frozen=True)
class Row:
    """A row of the leaderboard, as docs/contracts.md has it; scores lie between 0 and 1."""

    task: str
    family: str
    subset: str
    metric: str
    primary: bool
    model: str
    mean: float
    deviation: float | None
    seeds: int
    n: int
    low: float
    high: float
    difference_base: float | None
    p_base: float | None
    difference_mlm: float | None
    p_mlm: float | None

    def difference(self, reference: str) -> float | None:
        """Return the difference from ``base`` or ``mlm``."""
        return {"base": self.difference_base, "mlm": self.difference_mlm}[reference]

    def p(self, reference: str) -> float | None:
        """Return the p of that difference."""
        return {"base": self.p_base, "mlm": self.p_mlm}[reference]

    def verdict(self, reference: str) -> str:
        """Return ``better``, ``worse``, ``even`` (not clear) or ``none`` (not compared)."""
        difference, p = self.difference(reference), self.p(reference)
        if difference is None or p is None:
            return "none"
        if p >= SIGNIFICANT or difference == 0:
            return "even"
        return "better" if difference > 0 else "worse"


@dataclass(frozen=True)
class Leaderboard:
    """All rows, the number of resamplings, and the skipped runs grouped by task and reason.

    ``leakage``: for each task a mapping with ``test_texts``, ``test_texts_in_train``,
    ``test_pmids`` and ``test_pmids_in_pretraining``, null where not known. ``published``: what
    papers report for the tasks of the rows, with ``system``, ``task``, ``subset``, ``metric``,
    ``value`` (times 100) and ``source``.
    """

    rows: tuple[Row, ...]
    bootstrap_samples: int
    skipped: tuple[tuple[str, str, tuple[str, ...]], ...]
    leakage: tuple[Mapping[str, Any], ...]
    published: tuple[Mapping[str, Any], ...]

    @property
    def models(self) -> list[str]:
        """The models, references first, then in the order of the rows."""
        found = list(dict.fromkeys(row.model for row in self.rows))
        return [*(m for m in REFERENCES if m in found), *(m for m in found if m not in REFERENCES)]

    @property
    def aligned(self) -> list[str]:
        """The models that are no reference."""
        return [model for model in self.models if model not in REFERENCES]

    @property
    def main(self) -> list[Row]:
        """The rows that decide: primary metric, all examples of a task."""
        return [row for row in self.rows if row.primary and row.subset == ALL]


def read_leaderboard(path: Path) -> Leaderboard:
    """Read leaderboard.json.

    Raises:
        DataError: if a part or a column of the contract is missing.
    """
    values = read_json(path)
    names = [field.name for field in fields(Row)]
    try:
        rows = tuple(Row(**{name: row[name] for name in names}) for row in values["rows"])
        reasons: dict[tuple[str, str], list[str]] = {}
        for one in values["skipped"]:
            reasons.setdefault((one["task"], one["reason"] or "no reason given"), []).append(
                one["model"]
            )
        samples = values["bootstrap_samples"]
        leakage = tuple(
            one
            for one in values["leakage"]
            if any(v is not None for k, v in one.items() if k != "task")
        )
        tasks = {row.task for row in rows}
        published = tuple(one for one in values["published"] if one["task"] in tasks)
    except (KeyError, TypeError) as error:
        raise DataError(
            f"not a leaderboard as docs/contracts.md has it: {error} is missing",
            where=str(path),
            hint="`balign evaluate table` writes it",
        ) from None
    skipped = tuple((*key, tuple(dict.fromkeys(models))) for key, models in reasons.items())
    return Leaderboard(rows, samples, skipped, leakage, published)


def tally(board: Leaderboard, model: str, reference: str) -> str | None:
    """Say on how many tasks a model is better or worse than a reference; None if not compared."""
    verdicts = [row.verdict(reference) for row in board.main if row.model == model]
    compared = [verdict for verdict in verdicts if verdict != "none"]
    if not compared:
        return None
    words = {
        "better": "better on",
        "worse": "worse on",
        "even": "not clearly different on",
    }
    counts = {text: compared.count(verdict) for verdict, text in words.items()}
    found = [(text, count) for text, count in counts.items() if count]
    if len(found) == 1:
        scope = {1: "the one task", 2: "both tasks"}.get(
            len(compared), f"all {len(compared)} tasks"
        )
        return f"{found[0][0]} {scope}"
    return f"{listed([f'{text} {count}' for text, count in found])} of {len(compared)} tasks"


def subset_notes(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Return (name, meaning) of the subsets in the rows that have a known meaning."""
    present = {row.subset for row in rows}
    return [(name, meaning) for name, meaning in _SUBSETS.items() if name in present]


def one_seed(rows: Sequence[Row]) -> bool:
    """Return whether any row rests on a single seed."""
    return any(row.seeds == 1 for row in rows)


def grouped(rows: Sequence[Row]) -> list[tuple[Row, list[Row]]]:
    """Group rows by (task, subset, metric), in their order; each group with its first row."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.task, row.subset, row.metric), []).append(row)
    return [(rows[0], rows) for rows in groups.values()]


def best(rows: Sequence[Row]) -> float | None:
    """Return the largest mean of the rows, None where all are equal."""
    means: Mapping[Any, float] = {row.model: row.mean for row in rows}
    high = max(means.values())
    return high if len(means) > 1 and min(means.values()) < high else None
