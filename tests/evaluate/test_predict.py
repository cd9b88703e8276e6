import json

import polars as pl
import pytest

from balign.digest import reached_modules
from balign.errors import DataError
from balign.evaluate.families import FAMILIES, seeds_of
from balign.evaluate.outcome import facts_path
from balign.evaluate.predict import evaluate_predict
from balign.evaluate.score import evaluate_score
from balign.evaluate.settings import (
    CheckTagTask,
    EvaluateSettings,
    HeldOutLinkingTask,
    MentionLinkingTask,
)

HELD_OUT = HeldOutLinkingTask(name="held-out", family="linking_held_out")
MENTIONS = MentionLinkingTask(
    name="mentions", family="linking_mentions", source="tiny-corpus", entity_type="Disease"
)
KEYS = {"task", "family", "model", "seed", "status", "reason", "metrics", "primary", "n",
        "subsets", "counts", "training", "predictions", "digest", "seconds"}  # fmt: skip


def predict(task, model, output, **values):
    values = {"model_name": "base", "seed": 1, **values}
    evaluate_predict(task, FAMILIES[task.family], model=model, output=output, **values)
    return json.loads(facts_path(output).read_text())


def evaluate(task, model, output, **values):
    predictions = output.with_suffix(".parquet")
    predict(task, model, predictions, **values)
    evaluate_score(predictions, output)
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
    names = ["seed1.facts.json", "seed1.json", "seed1.parquet"]
    assert sorted(path.name for path in output.parent.iterdir()) == names


def test_subsets_are_scored(encoder_folder, database, corpus, tmp_path):
    result = evaluate(MENTIONS, encoder_folder, tmp_path / "seed1.json", database=database,
                      source=corpus)  # fmt: skip
    assert result["n"] == 6
    assert {name: one["n"] for name, one in result["subsets"].items()} == {
        "refined": 3, "single": 5, "composite": 1, "covered": 5,
        "out_of_dictionary": 1}  # fmt: skip
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
    assert (result["predictions"], result["metrics"], result["primary"]) == (None, {}, None)
    assert pl.read_parquet(output.with_suffix(".parquet")).is_empty()


def test_a_missing_input_is_named(encoder_folder, database, tmp_path):
    with pytest.raises(DataError, match="also reads: source") as error:
        evaluate(MENTIONS, encoder_folder, tmp_path / "seed1.json", database=database)
    assert "--source" in error.value.hint
    assert not list(tmp_path.glob("seed1*"))


def test_digest_does_not_follow_other_seeds_of_the_task(encoder_folder, abstracts, tmp_path):
    sizes = {"train_citations": 8, "development_citations": 5, "test_citations": 5}
    digests = {
        predict(
            CheckTagTask(name="tags", family="check_tags", seeds=seeds, **sizes),
            encoder_folder,
            tmp_path / "seed1.parquet",
            abstracts=abstracts,
        )["digest"]
        for seeds in ((1,), (1, 2))
    }
    assert len(digests) == 1


def test_a_family_imports_no_metric():
    for module in {"balign.evaluate.predict", *(one.module for one in FAMILIES.values())}:
        assert "balign.evaluate.metrics" not in reached_modules(module), module


def test_a_line_in_the_table_of_families_makes_no_prediction_stale():
    for module in {"balign.evaluate.predict", *(one.module for one in FAMILIES.values())}:
        assert "balign.evaluate.families" not in reached_modules(module), module


@pytest.fixture
def scored(tmp_path):
    """Predictions with facts, as a family gives them; returns a function that scores them."""

    def score(facts, **options):
        path = tmp_path / "seed1.parquet"
        pl.DataFrame({"example": [1, 2], "rank": [1, 2]}).write_parquet(path)
        base = {"task": "t", "model": "m", "seed": 1, "status": "ok", "counts": {"a": 1}}
        base |= {"metrics": ["accuracy@1"], "subsets": []}
        facts_path(path).write_text(json.dumps(base | facts))
        evaluate_score(path, tmp_path / "seed1.json", **options)
        return json.loads((tmp_path / "seed1.json").read_text())

    return score


def test_predictions_without_the_columns_of_a_metric(scored):
    with pytest.raises(DataError, match="lack what their metrics read"):
        scored({"metrics": ["entity_f1"]})
    with pytest.raises(DataError, match="no_such_metric"):
        scored({"metrics": ["no_such_metric"]})


def test_predictions_that_are_not_there(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        evaluate_score(tmp_path / "seed1.parquet", tmp_path / "seed1.json")


def test_test_citations_in_the_text_of_pretraining_are_counted(scored, tmp_path):
    guard, selection = tmp_path / "guard.json", tmp_path / "selection.parquet"
    rows = {"pmid": [1, 2, 3, 3], "reason": [None, "guarded", None, None]}
    pl.DataFrame(rows).write_parquet(selection)
    guard.write_text(json.dumps({"pmids": [1, 2, 3, 4]}))
    counts = scored({}, guard=guard, selection=selection)["counts"]
    assert counts == {"a": 1, "test_pmids": 4, "test_pmids_in_pretraining": 2}
    guard.write_text(json.dumps({"pmids": []}))
    assert scored({}, guard=guard, selection=selection)["counts"] == {"a": 1}
