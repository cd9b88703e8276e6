from __future__ import annotations

import json
from pathlib import Path

import pytest

from balign.errors import DataError
from balign.report.training import Model, loss_keys, read_model, score_keys

LINES = (
    {"step": 5, "split": "train", "loss": 4.0, "mlm": 3.0, "alignment": 1.0, "skipped": 0,
     "learning_rate_new": 1e-4, "sentences_per_second": 10.0, "data_wait_share": 0.1},
    {"step": 5, "split": "validation", "loss": 3.5, "mlm": 3.1, "recall_at_1": 0.2, "seconds": 3.0},
    {"step": 10, "split": "train", "loss": 3.0, "mlm": 2.5, "alignment": 0.5, "skipped": 1,
     "sentences_per_second": 14.0},
)  # fmt: skip


def model(**run: object) -> Model:
    return Model("bali", run, LINES)


def test_keys_are_sorted_into_losses_scores_and_speeds() -> None:
    assert loss_keys([model()]) == ["loss", "mlm", "alignment"]
    assert score_keys([model()]) == ["recall_at_1"]
    assert model().speeds == {"sentences_per_second": 12.0}


def test_curves() -> None:
    assert model().curve("train", "loss") == ([5, 10], [4.0, 3.0])
    assert model().curve("validation", "alignment") == ([], [])
    assert model().last("train", "mlm") == 2.5
    assert model().last("validation", "alignment") is None
    assert model().steps == 10


def test_facts_of_the_run() -> None:
    one = model(settings={"objective": "bali"}, seconds=93, skipped=1, encoder={"name": "minilm"})
    assert (one.setting("objective"), one.setting("encoder")) == ("bali", None)
    assert (one.seconds, one.skipped) == (93.0, 1)
    assert (model().seconds, model().skipped, model().steps) == (None, 0, 10)


@pytest.mark.parametrize(
    "line",
    ["not json", '{"step": 1}', '{"step": 1.5, "split": "train"}', '{"step": 1, "split": "x"}'],
)
def test_bad_line_is_named(tmp_path: Path, line: str) -> None:
    good = json.dumps(LINES[0])
    (tmp_path / "metrics.jsonl").write_text(f"{good}\n{line}\n")
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(DataError) as caught:
        read_model(tmp_path)
    assert caught.value.where == f"{tmp_path / 'metrics.jsonl'}, line 2"
