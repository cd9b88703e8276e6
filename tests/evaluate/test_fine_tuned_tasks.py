"""Every family that fine-tunes, from files to scores, with a tiny encoder."""

import json
import os
from pathlib import Path

import polars as pl
import pytest
from pydantic import TypeAdapter
from seqeval.metrics import f1_score as entity_f1
from seqeval.scheme import IOB2
from sklearn.metrics import f1_score

from balign.config import load_config
from balign.errors import DataError
from balign.evaluate.families import FAMILIES
from balign.evaluate.outcome import Run, TaskSkipped, facts_path
from balign.evaluate.predict import evaluate_predict
from balign.evaluate.score import evaluate_score
from balign.evaluate.settings import Task
from balign.evaluate.task_data import read_answered, read_tagged

MIRROR = Path(os.environ.get("BALIGN_MIRROR", "none"))
SHORT = {"learning_rate": 5e-3, "batch_size": 8, "epochs": 2, "max_tokens": 48}


@pytest.fixture
def evaluated(encoder_folder, tmp_path):
    """Run a task to its end; return the result and the predictions."""

    def run(task, source=None, seed=1):
        output = tmp_path / f"out/seed{seed}.parquet"
        evaluate_predict(task, FAMILIES[task.family], model_name="base", model=encoder_folder,
                         seed=seed, output=output, source=source)  # fmt: skip
        evaluate_score(output, output.with_suffix(".json"))
        return json.loads(output.with_suffix(".json").read_text()), pl.read_parquet(output)

    return run


def made(tmp_path, name, **values):
    """A task of files in tmp_path."""
    own = {"name": name, "path": str(tmp_path), "seeds": [1], "fine_tuning": SHORT, **values}
    return TypeAdapter(Task).validate_python(own)


def shipped(tmp_path, name, **values):
    """A task of the shipped list, made short, with its files in tmp_path."""
    config = tmp_path / "config.yaml"
    limits = {"max_train": 24, "max_dev": 12, "max_test": 16, "fine_tuning": {**SHORT, "epochs": 1}}
    task = {"name": name, "path": str(tmp_path), **limits, **values}
    config.write_text(json.dumps({"evaluate": {"tasks": [task]}}))
    return load_config([config]).evaluate.tasks[0]


def write(path, text):
    path.write_text(text, encoding="utf-8")


def test_named_entities(evaluated, tmp_path):
    words = [("the", "O"), ("mice", "B-Animal"), ("had", "O"), ("heart", "B-Disease"),
             ("attack", "I-Disease")]  # fmt: skip
    block = "".join(f"{word}\t{tag}\n" for word, tag in words)
    other = "women\tB-Animal\nand\tO\nasthma\tB-Disease\n"
    for part, count in (("train", 20), ("devel", 4), ("test", 6)):
        write(tmp_path / f"{part}.tsv", (block + "\n" + other + "\n") * count)
    files = {"train": ["train.tsv"], "dev": ["devel.tsv"], "test": ["test.tsv"]}
    task = made(tmp_path, "ner", family="token_classification", format="iob", files=files,
                fine_tuning={**SHORT, "epochs": 6})  # fmt: skip
    result, predictions = evaluated(task)
    gold, predicted = (predictions[name].to_list() for name in ("gold_tags", "predicted_tags"))
    assert result["metrics"]["entity_f1"] == pytest.approx(
        entity_f1(gold, predicted, mode="strict", scheme=IOB2)
    )
    assert result["metrics"]["entity_f1"] > 0.5  # words and tags go together
    assert (result["primary"], result["n"]) == ("entity_f1", 12)
    assert result["training"]["best_pass"] == 1 + result["training"]["dev"].index(
        max(result["training"]["dev"])
    )


def test_relations_do_not_count_the_negative_class(evaluated, tmp_path):
    kinds = [("<< mice >> had [[ asthma ]]", "HAS"), ("<< women >> and [[ mice ]]", "false"),
             ("[[ attack ]] of << heart >>", "PART")]  # fmt: skip
    for part, count in (("train", 16), ("dev", 4), ("test", 6)):
        rows = [json.dumps({"text": text, "label": label}) for text, label in kinds * count]
        write(tmp_path / f"{part}.txt", "\n".join(rows))
    task = made(tmp_path, "re", family="relation_classification", format="jsonl",
                negative=["false"], files={"train": ["train.txt"], "dev": ["dev.txt"],
                                           "test": ["test.txt"]})  # fmt: skip
    result, predictions = evaluated(task)
    filled = predictions.with_columns(pl.col("gold", "predicted").fill_null("false"))
    expected = f1_score(filled["gold"].to_list(), filled["predicted"].to_list(),
                        labels=["HAS", "PART"], average="micro")  # fmt: skip
    assert result["metrics"]["relation_f1"] == pytest.approx(expected)
    assert expected > 0.6
    assert result["counts"]["test_relations"] == 12
    assert (result["counts"]["test_texts"], result["counts"]["test_texts_in_train"]) == (18, 18)


def test_ddi_and_gad_from_their_files(evaluated, tmp_path):
    pair = (
        '<entity id="a" charOffset="0-3" type="drug"/>'
        '<entity id="b" charOffset="9-14" type="drug"/>'
    )
    for part in ("Train", "Test"):
        (tmp_path / part).mkdir()
        sentences = "".join(
            f'<sentence id="s{n}" text="mice and asthma">{pair}'
            f'<pair e1="a" e2="b" ddi="{"true" if n % 2 else "false"}" type="effect"/></sentence>'
            for n in range(30)
        )
        write(tmp_path / part / "x.xml", f"<document>{sentences}</document>")
    result, predictions = evaluated(shipped(tmp_path, "ddi"))
    assert (result["status"], result["n"]) == ("ok", 16)
    assert set(predictions["gold"].drop_nulls()) == {"effect"}
    for part in ("train", "dev", "test"):
        rows = [f"{n}\tthe @GENE$ of @DISEASE$ {n}\t{n % 2}" for n in range(30)]
        write(tmp_path / f"{part}.tsv", "\n".join(rows))
    result, _ = evaluated(shipped(tmp_path, "gad"))
    assert (result["primary"], result["n"]) == ("relation_f1", 16)


def test_bioasq_and_medqa_and_medmcqa(evaluated, tmp_path):
    def question(n):
        body, answer = ("mice", "yes") if n % 2 else ("women", "no")
        return {"id": f"q{n}", "type": "yesno", "body": body, "exact_answer": answer,
                "snippets": [{"text": "asthma"}]}  # fmt: skip

    for part in ("train", "test"):
        write(
            tmp_path / f"{part}.json", json.dumps({"questions": [question(n) for n in range(40)]})
        )
    result, _ = evaluated(shipped(tmp_path, "bioasq-yesno"))
    assert (result["primary"], result["n"], result["counts"]["labels"]) == ("accuracy", 16, 2)
    rows = [{"question": "who", "options": {"A": "mice", "B": "heart", "C": "women"},
             "answer_idx": "ABC"[n % 3]} for n in range(30)]  # fmt: skip
    for part in ("train", "dev", "test"):
        write(tmp_path / f"phrases_no_exclude_{part}.jsonl", "\n".join(map(json.dumps, rows)))
    result, predictions = evaluated(shipped(tmp_path, "medqa-usmle"))
    assert (result["primary"], result["n"]) == ("accuracy", 16)
    assert set(predictions["predicted"]) <= {0, 1, 2}
    rows = [{"question": "who", "opa": "mice", "opb": "heart", "opc": "women", "opd": "attack",
             "cop": 1 + n % 4, "id": str(n)} for n in range(40)]  # fmt: skip
    for part in ("train", "dev"):
        write(tmp_path / f"{part}.json", "\n".join(map(json.dumps, rows)))
    result, _ = evaluated(shipped(tmp_path, "medmcqa"))
    assert (result["status"], result["n"]) == ("ok", 16)


def test_hoc_is_scored_by_documents(evaluated, tmp_path):
    for part in ("train", "dev", "test"):
        rows = [
            f"{n // 2}_s{n % 2}\t{'mice' if n % 4 < 2 else 'women'} {n}\t"
            + ("0_1,1_0" if n % 4 < 2 else "0_0,1_1")
            for n in range(32)
        ]
        write(tmp_path / f"{part}.tsv", "\n".join(["index\tsentence\tlabels", *rows]))
    result, predictions = evaluated(shipped(tmp_path, "hoc", max_test=None))
    assert (result["primary"], result["n"]) == ("micro_f1", 16)
    assert result["counts"]["test_texts"] == 32
    gold, predicted = (
        predictions.select(f"{kind}:0", f"{kind}:1").to_numpy() for kind in ("gold", "predicted")
    )
    assert result["metrics"]["micro_f1"] == pytest.approx(
        f1_score(gold, predicted, average="micro", zero_division=0)
    )
    assert set(result["metrics"]) == {"micro_f1", "document_f1", "macro_f1"}
    result, _ = evaluated(shipped(tmp_path, "hoc", threshold="dev"))
    assert result["metrics"]["micro_f1"] > 0


def test_biosses(evaluated, tmp_path):
    for part in ("train", "dev", "test"):
        rows = [f"{n}\tmice {n}\twomen\t{n % 5}.5" for n in range(16)]
        write(tmp_path / f"{part}.tsv", "\n".join(["index\tsentence1\tsentence2\tscore", *rows]))
    result, predictions = evaluated(shipped(tmp_path, "biosses"))
    assert (result["primary"], result["n"]) == ("pearson", 16)
    assert -1 <= result["metrics"]["spearman"] <= 1
    assert predictions["gold"].max() == 4.5


def pubmedqa(tmp_path, count=60):
    labels = ("yes", "no", "maybe")
    values = {
        str(n): {"QUESTION": f"{'mice' if n % 2 else 'women'}?", "CONTEXTS": ["asthma"],
                 "final_decision": labels[n % 3]} for n in range(count)}  # fmt: skip
    write(tmp_path / "ori_pqal.json", json.dumps(values))
    truth = {pmid: one["final_decision"] for pmid, one in list(values.items())[: count // 2]}
    write(tmp_path / "test_ground_truth.json", json.dumps(truth))
    return truth


def test_pubmedqa_is_scored_by_the_official_labels(evaluated, tmp_path):
    truth = pubmedqa(tmp_path)
    result, predictions = evaluated(shipped(tmp_path, "pubmedqa", max_test=None), seed=3)
    right = sum(truth[row["id"]] == row["predicted"] for row in predictions.iter_rows(named=True))
    assert result["n"] == len(truth)
    assert result["metrics"]["accuracy"] == pytest.approx(right / len(truth))


def test_a_seed_names_its_fold(encoder_folder, tmp_path):
    pubmedqa(tmp_path)
    task = shipped(tmp_path, "pubmedqa", max_train=None, max_dev=None, folds=5)
    parts = [read_answered(task, Run(encoder_folder, seed)) for seed in range(1, 7)]
    dev = [{one.id for one in part.dev} for part in parts]
    assert len(set.union(*dev[:5])) == sum(map(len, dev[:5])) == 30
    assert dev[5] == dev[0]
    for part, held_out in zip(parts, dev, strict=True):
        assert {one.id for one in part.train}.isdisjoint(held_out)
        assert len(part.train) + len(held_out) == 30


def test_folds_of_any_format(encoder_folder, tmp_path):
    write(tmp_path / "a", "".join(f"{n}\tx{n}\ty\n" for n in range(20)))
    task = made(tmp_path, "t", family="sequence_classification", format="tsv", header=False,
                columns={"id": 0, "text": 1, "label": 2}, folds=4,
                files={"train": ["a"], "test": ["a"]})  # fmt: skip
    parts = [read_answered(task, Run(encoder_folder, seed)) for seed in (1, 2, 3, 4)]
    assert sorted(one.id for part in parts for one in part.dev) == sorted(map(str, range(20)))
    assert [len(part.train) for part in parts] == [15] * 4


def test_draws_do_not_depend_on_the_model_and_dev_is_held_out(encoder_folder, tmp_path):
    write(tmp_path / "a", "".join(f"w{n}\tO\n\n" for n in range(50)))
    task = made(tmp_path, "t", family="token_classification", format="iob", max_train=10,
                dev_share=0.2, files={"train": ["a"], "test": ["a"]})  # fmt: skip
    first, second = (
        read_tagged(task, Run(Path(name), seed)) for name, seed in (("a", 1), ("b", 2))
    )
    assert first == second
    assert (len(first.train), len(first.dev), len(first.test)) == (10, 10, 50)
    assert {one.words for one in first.train}.isdisjoint({one.words for one in first.dev})
    assert [one.words for one in first.test] == [(f"w{n}",) for n in range(50)]


def test_files_that_are_not_there_skip_the_task(evaluated, tmp_path):
    write(tmp_path / "train.tsv", "a\tO\n")
    task = shipped(tmp_path, "ncbi-disease")
    result, predictions = evaluated(task)
    assert result["status"] == "skipped"
    for part in ("devel.tsv, test.tsv", str(tmp_path), "https://github.com/cambridgeltl"):
        assert part in result["reason"]
    assert predictions.is_empty()
    with pytest.raises(TaskSkipped, match="not in"):
        read_tagged(task, Run(tmp_path, 1))


def test_a_part_without_examples_and_a_wrong_number_of_markers(encoder_folder, tmp_path):
    write(tmp_path / "a", "a\tO\n")
    write(tmp_path / "b", "\n")
    task = made(tmp_path, "t", family="token_classification", format="iob",
                files={"train": ["a"], "dev": ["a"], "test": ["b"]})  # fmt: skip
    with pytest.raises(DataError, match="no examples in its part test"):
        read_tagged(task, Run(encoder_folder, 1))
    task = made(tmp_path, "t", family="relation_classification", format="pubtator",
                pair={"markers": ["@A$", "@B$"]},
                files={"train": ["a"], "test": ["b"]})  # fmt: skip
    with pytest.raises(DataError, match="takes four markers"):
        read_answered(task, Run(encoder_folder, 1))


@pytest.mark.skipif(not MIRROR.is_dir(), reason="BALIGN_MIRROR is not set")
@pytest.mark.parametrize(
    ("name", "inside"),
    [
        ("bc5cdr-chem", "BC5CDR-chem-IOB"),
        ("bc5cdr-disease", "BC5CDR-disease-IOB"),
        ("bc2gm", "BC2GM-IOB"),
        ("chemprot", "chemprot"),
        ("pubmedqa", "pubmedqa/data"),
    ],
)
def test_the_real_files(evaluated, tmp_path, name, inside):
    folder = next(path for path in MIRROR.rglob("*") if str(path).endswith(inside.split("/")[-1])
                  and all(part in str(path) for part in inside.split("/")))  # fmt: skip
    result, predictions = evaluated(shipped(tmp_path, name, path=str(folder)))
    assert (result["status"], result["n"]) == ("ok", 16)
    assert len(predictions) == 16
    assert facts_path(tmp_path / "out/seed1.parquet").exists()


@pytest.mark.skipif(not MIRROR.is_dir(), reason="BALIGN_MIRROR is not set")
def test_the_real_pubtator_files_as_entities_and_relations(evaluated, tmp_path):
    folder = next(MIRROR.rglob("train_corpus.txt")).parent
    values = {
        "format": "pubtator",
        "files": {"train": ["train_corpus.txt"], "dev": ["dev_corpus.txt"],
                  "test": ["test_corpus.txt"]},
        "max_train": 16, "max_dev": 8, "max_test": 16,
    }  # fmt: skip
    entities = made(
        folder, "ner", family="token_classification", entity_types=["Disease"], **values
    )
    result, predictions = evaluated(entities)
    assert {tag for row in predictions["gold_tags"] for tag in row} <= {
        "O",
        "B-Disease",
        "I-Disease",
    }
    relations = made(folder, "cid", family="relation_classification", negative=["false"],
                     arguments=["Chemical", "Disease"], **values)  # fmt: skip
    result, _ = evaluated(relations)
    assert (result["primary"], result["n"]) == ("relation_f1", 16)
