import json

import polars as pl
import pytest

from balign.errors import DataError
from balign.evaluate.families import FAMILIES, seeds_of
from balign.evaluate.settings import (
    CheckTagTask,
    EvaluateSettings,
    HeldOutLinkingTask,
    MentionLinkingTask,
)
from balign.evaluate.task import evaluate_task

HELD_OUT = HeldOutLinkingTask(name="held-out", family="linking_held_out")
MENTIONS = MentionLinkingTask(
    name="mentions", family="linking_mentions", source="tiny-corpus", entity_type="Disease"
)
KEYS = {"task", "family", "model", "seed", "status", "reason", "metrics", "primary", "n",
        "subsets", "counts", "predictions", "digest", "seconds"}  # fmt: skip


def evaluate(task, model, output, **values):
    values = {"model_name": "base", "seed": 1, **values}
    evaluate_task(task, model=model, output=output, **values)
    return json.loads(output.read_text())


def test_every_family_of_the_settings_is_registered():
    assert {task.family for task in EvaluateSettings().tasks} <= set(FAMILIES)


def test_seeds():
    assert seeds_of(HELD_OUT) == (1,)
    assert seeds_of(CheckTagTask(name="x", family="check_tags", seeds=(3, 4))) == (3, 4)


def test_result_and_predictions(encoder_folder, database, tmp_path):
    output = tmp_path / "out" / "seed1.json"
    result = evaluate(HELD_OUT, encoder_folder, output, database=database)
    assert set(result) == KEYS
    assert (result["status"], result["reason"], result["primary"]) == ("ok", None, "accuracy@1")
    assert result["n"] == 2
    predictions = pl.read_parquet(output.with_name(result["predictions"]))
    assert result["metrics"]["accuracy@1"] == predictions["correct"].mean()
    assert sorted(path.name for path in output.parent.iterdir()) == ["seed1.json", "seed1.parquet"]


def test_subsets_are_scored(encoder_folder, database, corpus, tmp_path):
    result = evaluate(MENTIONS, encoder_folder, tmp_path / "seed1.json", database=database,
                      source=corpus)  # fmt: skip
    assert result["n"] == 6
    assert {name: one["n"] for name, one in result["subsets"].items()} == {
        "refined": 3, "single": 5, "composite": 1, "covered": 5}  # fmt: skip
    assert set(result["subsets"]["single"]["metrics"]) == {"accuracy@1", "accuracy@5"}


def test_check_tags(encoder_folder, abstracts, tmp_path):
    task = CheckTagTask(name="tags", family="check_tags", train_citations=16,
                        development_citations=10, test_citations=20)  # fmt: skip
    result = evaluate(task, encoder_folder, tmp_path / "seed2.json", abstracts=abstracts, seed=2)
    assert (result["seed"], result["n"], result["predictions"]) == (2, 20, "seed2.parquet")
    assert result["primary"] == "micro_f1"


def test_the_same_run_gives_the_same_files(encoder_folder, database, tmp_path):
    outputs = [tmp_path / str(n) / "seed1.json" for n in range(2)]
    first, second = (evaluate(HELD_OUT, encoder_folder, o, database=database) for o in outputs)
    first.pop("seconds"), second.pop("seconds")
    assert first == second
    assert len({o.with_suffix(".parquet").read_bytes() for o in outputs}) == 1


def test_digest_follows_settings(encoder_folder, database, tmp_path):
    other = HELD_OUT.model_copy(update={"seed": 99})
    digests = {
        evaluate(one, encoder_folder, tmp_path / "seed1.json", database=database)["digest"]
        for one in (HELD_OUT, other)
    }
    assert len(digests) == 2


def test_model_by_its_manifest(encoder_folder, database, tmp_path):
    manifest = encoder_folder / "MANIFEST.json"  # only its place counts
    result = evaluate(HELD_OUT, manifest, tmp_path / "seed1.json", database=database)
    assert result["status"] == "ok"


def test_a_skipped_source_is_said_and_no_failure(
    encoder_folder, database, skipped_corpus, tmp_path
):
    output = tmp_path / "seed1.json"
    result = evaluate(MENTIONS, encoder_folder, output, database=database, source=skipped_corpus)
    assert set(result) == KEYS
    assert result["status"] == "skipped"
    assert result["reason"] == "source absent-corpus was skipped: no place answered"
    assert (result["predictions"], result["metrics"]) == (None, {})
    assert not output.with_suffix(".parquet").exists()


def test_a_missing_input_is_named(encoder_folder, database, tmp_path):
    with pytest.raises(DataError, match="also reads: source") as error:
        evaluate(MENTIONS, encoder_folder, tmp_path / "seed1.json", database=database)
    assert "--source" in error.value.hint
    assert not list(tmp_path.glob("seed1*"))
