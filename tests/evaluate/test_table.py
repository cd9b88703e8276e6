import csv
import json

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from balign.errors import DataError
from balign.evaluate.leakage import text_overlap
from balign.evaluate.published import read_published
from balign.evaluate.show import (
    as_csv,
    as_latex,
    as_markdown,
    latex_escaped,
    leaderboard,
    notes,
    shown_rows,
    skipped_lines,
)
from balign.evaluate.table import SCHEMA, evaluate_table


def write_result(folder, task, model, seed, ranks, subsets=None, examples=None):
    """Write a result of a linking task; ``ranks`` None: a skipped one."""
    path = folder / task / model / f"seed{seed}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    result = {"task": task, "family": "linking_held_out", "model": model, "seed": seed,
              "status": "ok", "reason": None, "metrics": {"accuracy@5": 0, "accuracy@1": 0},
              "primary": "accuracy@1", "n": 0, "subsets": {"odd": {}, "none": {}}, "counts": {},
              "predictions": f"seed{seed}.parquet"}  # fmt: skip
    if ranks is None:
        result |= {"status": "skipped", "reason": "no source", "predictions": None}
    else:
        n = len(ranks)
        pl.DataFrame(
            {
                "example": examples or list(range(n)),
                "rank": pl.Series(ranks, dtype=pl.Int32),
                "subsets": [["odd"] if row % 2 else ["even"] for row in range(n)],
            }
        ).write_parquet(path.with_suffix(".parquet"))
    path.write_text(json.dumps(result))
    return path


def make(tmp_path, results, published=None):
    outputs = {"csv": tmp_path / "leaderboard.csv", "json": tmp_path / "leaderboard.json"}
    evaluate_table(results, 500, published=published, **outputs)
    return json.loads(outputs["json"].read_text()), list(csv.DictReader(outputs["csv"].open()))


@pytest.fixture
def results(tmp_path):
    base = [1, 1, None, None, 3, 3, None, None]
    better = [1, 1, 1, 1, 1, 1, None, None]
    return [
        write_result(tmp_path, "t", "zeta", 1, base),
        write_result(tmp_path, "t", "mlm", 1, base),
        write_result(tmp_path, "t", "base", 1, base),
        write_result(tmp_path, "t", "bali", 1, better),
        write_result(tmp_path, "t", "bali", 2, base),
        write_result(tmp_path, "absent", "base", 1, None),
        write_result(tmp_path, "absent", "mlm", 1, None),
    ]


def test_rows(tmp_path, results):
    values, rows = make(tmp_path, results)
    assert values["bootstrap_samples"] == 500
    found = [(row["subset"], row["metric"], row["model"]) for row in values["rows"]]
    assert found == [
        (subset, metric, model)
        for subset in ("all", "odd")  # the subset without examples has no row
        for metric in ("accuracy@1", "accuracy@5")
        for model in ("base", "mlm", "bali", "zeta")
    ]
    assert [list(row) for row in rows] == [list(SCHEMA)] * 16
    row = values["rows"][2]
    assert row["mean"] == pytest.approx((6 / 8 + 2 / 8) / 2)
    assert row["deviation"] == pytest.approx(np.std([6 / 8, 2 / 8], ddof=1))
    assert (row["seeds"], row["n"], row["primary"]) == (2, 8, True)
    assert row["difference_base"] == row["difference_mlm"] == pytest.approx(0.25)
    assert row["low"] <= row["mean"] <= row["high"]
    assert values["rows"][10]["n"] == 4


def test_references(tmp_path, results):
    values, rows = make(tmp_path, results)
    base, mlm, _, zeta = values["rows"][:4]
    assert base["deviation"] is None
    assert base["difference_base"] is None
    assert base["p_base"] is None
    assert (mlm["difference_base"], mlm["p_base"], mlm["p_mlm"]) == (0, 1, None)
    assert (zeta["difference_mlm"], zeta["p_mlm"]) == (0, 1)
    assert rows[0]["p_base"] == ""


def test_order_of_results_in_files_does_not_change_figures(tmp_path, results):
    first, _ = make(tmp_path, results)
    second, _ = make(tmp_path, results[::-1])
    assert first["rows"] == second["rows"]


def test_skipped(tmp_path, results):
    values, _ = make(tmp_path, results)
    wanted = {"task": "absent", "model": "base", "seed": 1, "reason": "no source"}
    assert values["skipped"][0] == wanted
    assert skipped_lines(values["skipped"]) == ["skipped: absent (base, mlm): no source"]


def test_everything_skipped(tmp_path):
    values, rows = make(tmp_path, [write_result(tmp_path, "t", "base", 1, None)])
    assert values["rows"] == rows == []


def test_f1(tmp_path):
    path = tmp_path / "seed1.json"
    columns = {"gold:x": [True, True, False], "predicted:x": [True, False, False]}
    pl.DataFrame({"example": [1, 2, 3], **columns}).write_parquet(tmp_path / "p.parquet")
    result = {"task": "t", "family": "check_tags", "model": "base", "seed": 1, "status": "ok",
              "metrics": {"micro_f1": 0, "macro_f1": 0}, "primary": "micro_f1", "subsets": {},
              "counts": {}, "predictions": "p.parquet"}  # fmt: skip
    path.write_text(json.dumps(result))
    values, _ = make(tmp_path, [path])
    assert [row["mean"] for row in values["rows"]] == pytest.approx([2 / 3, 2 / 3])


def test_results_of_other_examples_are_not_compared(tmp_path):
    results = [
        write_result(tmp_path, "t", "base", 1, [1, 1]),
        write_result(tmp_path, "t", "mlm", 1, [1, 1], examples=[0, 5]),
    ]
    with pytest.raises(DataError, match="different examples"):
        make(tmp_path, results)


def test_a_run_given_twice(tmp_path):
    path = write_result(tmp_path, "t", "base", 1, [1])
    with pytest.raises(DataError, match="two results of task t, model base, seed 1"):
        make(tmp_path, [path, path])


def test_terminal_table(tmp_path, results):
    values, _ = make(tmp_path, results)
    console = Console(width=90, record=True)
    console.print(leaderboard(values["rows"], console.width))
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    header, first = lines[2], lines.index("t, all: accuracy@1")
    row = lines[first + 3]
    assert row.startswith("bali ") and "+25.0 (" in row
    mean = "50.0 ± 35.4"
    assert row.index(mean) + len(mean) == header.index("mean") + len("mean")


def test_long_names_of_models_are_folded(tmp_path):
    values, _ = make(tmp_path, [write_result(tmp_path, "t", "a-model-of-a-long-name", 1, [1])])
    console = Console(width=50, record=True)
    console.print(leaderboard(values["rows"], console.width))
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    assert max(map(len, lines)) <= 50
    first = lines.index("t, all: accuracy@1")
    assert "100.0 to 100.0" in lines[first + 1]
    assert lines[first + 1].split()[0] + lines[first + 2] == "a-model-of-a-long-name"


PUBLISHED = """
published:
  - {system: Big_Model & 50%, task: t, metric: accuracy@1, value: 71.6, source: "A et al., 2020"}
  - {system: Other, task: elsewhere, metric: accuracy, value: 40, source: B}
"""


@pytest.fixture
def board(tmp_path, results):
    path = tmp_path / "published.yaml"
    path.write_text(PUBLISHED)
    return make(tmp_path, results, path)


def test_published_figures_stand_apart(board):
    values, rows = board
    assert [one["system"] for one in values["published"]] == ["Big_Model & 50%", "Other"]
    assert {row["model"] for row in values["rows"]} == {"base", "mlm", "bali", "zeta"}
    assert {row["model"] for row in rows} == {"base", "mlm", "bali", "zeta"}


def test_published_figures_are_shown_under_ours_of_the_same_task(board):
    values, _ = board
    shown = shown_rows(values)
    names = [row.get("system", row.get("model")) for row in shown]
    assert names == ["base", "mlm", "bali", "zeta", "Big_Model & 50%"]
    assert shown_rows(values, everything=True)[-1]["system"] == "Other"
    assert "published: Big_Model & 50%: A et al., 2020" in notes(values, shown)
    console = Console(width=100, record=True)
    console.print(leaderboard(shown, console.width))
    assert "Big_Model & 50% (published)" in console.export_text()


def test_csv_tells_the_origin(board):
    rows = list(csv.DictReader(as_csv(shown_rows(board[0])).splitlines()))
    assert [row["origin"] for row in rows] == ["this run"] * 4 + ["published"]
    assert (rows[-1]["mean"], rows[-1]["n"], rows[-1]["p_base"]) == ("0.716", "", "")
    assert float(rows[2]["mean"]) == pytest.approx(0.5)


def test_markdown(board):
    lines = as_markdown(shown_rows(board[0])).splitlines()
    assert len({line.count("|") - line.count(r"\|") for line in lines}) == 1
    assert lines[1].count("---") == 4
    assert r"| Big\_Model & 50% (published) |" in lines[-1]


def test_latex_is_escaped(board):
    text = as_latex(shown_rows(board[0]))
    assert r"Big\_Model \& 50\% (published) &  & 71.6 &  &  &  &  \\" in text
    assert r"50.0 $\pm$ 35.4" in text
    assert text.count(r"\midrule") == 1
    assert {line.count(" & ") for line in text.splitlines() if line.endswith(r"\\")} == {9}


def test_latex_escapes_each_special_sign():
    assert latex_escaped(r"a\b~c^d_{#$") == (
        r"a\textbackslash{}b\textasciitilde{}c\textasciicircum{}d\_\{\#\$"
    )


@pytest.mark.parametrize("text", ["", "published: [{system: x}]", "published: 3", "published: ["])
def test_a_wrong_file_of_published_figures(tmp_path, text):
    path = tmp_path / "published.yaml"
    path.write_text(text)
    with pytest.raises(DataError, match="not a file of published figures"):
        read_published(path)


def test_the_shipped_published_figures(root):
    found = read_published(root / "resources/published.yaml")
    assert len({(one.system, one.task, one.subset, one.metric) for one in found}) == len(found)
    values = {(one.system, one.task): one.value for one in found}
    assert values["KeBioLM", "ddi"] == 81.9
    assert values["BioLinkBERT-large", "medqa-usmle"] == 44.6
    assert values["GEBERT-GAT", "ncbi-disease-linking"] == 70.6


def test_text_overlap_looks_at_letters_and_digits():
    train = ["Aspirin (75 mg) helps.", "other"]
    counts = text_overlap(train, ["aspirin 75-mg HELPS", "new", "Other!", "aspirin75"])
    assert counts == {"test_texts": 4, "test_texts_in_train": 2}


def test_leakage_is_told(tmp_path):
    path = write_result(tmp_path, "t", "base", 1, [1, 1])
    counts = {"test_texts": 2000, "test_texts_in_train": 3, "test_pmids": 5}
    counts["test_pmids_in_pretraining"] = 0
    path.write_text(json.dumps(json.loads(path.read_text()) | {"counts": counts}))
    values, _ = make(tmp_path, [path, write_result(tmp_path, "s", "base", 1, [1])])
    assert values["leakage"][0] == {"task": "t", **counts}
    assert values["leakage"][1]["test_texts"] is None
    assert notes(values, []) == [
        "leakage: t: 3 of 2,000 test texts are in the training part too; "
        "0 of 5 test citations are in the text of pre-training"
    ]


def test_a_file_that_is_no_result(tmp_path):
    path = tmp_path / "seed1.json"
    path.write_text("[]")
    with pytest.raises(DataError, match="not a result"):
        make(tmp_path, [path])
