from __future__ import annotations

import pytest

from balign.report.results import Leaderboard, Row, best, one_seed, tally


def row(model: str, base: tuple[float, float] | None = None, **more: object) -> Row:
    difference, p = base or (None, None)
    values: dict[str, object] = {
        "task": "t", "family": "f", "subset": "all", "metric": "accuracy@1", "primary": True,
        "model": model, "mean": 0.5, "deviation": None, "seeds": 1, "n": 10, "low": 0.4,
        "high": 0.6, "difference_base": difference, "p_base": p, "difference_mlm": None,
        "p_mlm": None, **more,
    }  # fmt: skip
    return Row(**values)  # type: ignore[arg-type]


def board(*rows: Row) -> Leaderboard:
    return Leaderboard(rows, 1000, (), (), ())


@pytest.mark.parametrize(
    ("difference", "p", "verdict"),
    [
        (0.02, 0.01, "better"),
        (-0.02, 0.01, "worse"),
        (0.02, 0.05, "even"),
        (-0.3, 0.9, "even"),
        (0.0, 0.001, "even"),
    ],
)
def test_verdict(difference: float, p: float, verdict: str) -> None:
    one = row("bali", (difference, p))
    assert one.verdict("base") == verdict
    assert one.verdict("mlm") == "none"


def test_tally_counts_main_rows_only() -> None:
    up, down, even = (0.1, 0.001), (-0.1, 0.001), (0.1, 0.5)
    rows = [row("bali", up, task="a"), row("bali", down, task="b"), row("bali", even, task="c")]
    aside = [
        row("bali", up, task="a", subset="refined"),
        row("bali", up, task="a", metric="accuracy@5", primary=False),
    ]
    expected = "better on 1, worse on 1 and not clearly different on 1 of 3 tasks"
    assert tally(board(*rows, *aside), "bali", "base") == expected
    assert tally(board(*rows[:1]), "bali", "base") == "better on the one task"
    assert (
        tally(board(rows[0], row("bali", up, task="b")), "bali", "base") == "better on both tasks"
    )
    worse = [row("bali", down, task=task) for task in "abcd"]
    assert tally(board(*worse), "bali", "base") == "worse on all 4 tasks"
    assert tally(board(*rows), "bali", "mlm") is None


def test_models_are_in_order_references_first() -> None:
    found = board(row("sapbert"), row("mlm"), row("bali"), row("base"))
    assert found.models == ["base", "mlm", "sapbert", "bali"]
    assert found.aligned == ["sapbert", "bali"]


def test_best_is_none_where_all_are_equal() -> None:
    assert best([row("base"), row("bali")]) is None
    assert best([row("base"), row("bali", mean=0.6)]) == 0.6
    assert best([row("base")]) is None


def test_one_seed() -> None:
    assert one_seed([row("base", seeds=3), row("bali")])
    assert not one_seed([row("base", seeds=3)])
