"""Readers of question sets."""

import json
import os
from pathlib import Path

import pytest

from balign.errors import DataError
from balign.evaluate.formats_questions import (
    pubmedqa_folds,
    pubmedqa_split,
    read_bioasq,
    read_medmcqa,
    read_medqa,
    read_pubmedqa,
    read_pubmedqa_truth,
)

MIRROR = Path(os.environ.get("BALIGN_MIRROR", "none"))


def write(path, value):
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def pubmedqa(count=40):
    labels = ("yes", "no", "maybe")
    return {
        str(1000 + n): {"QUESTION": f"Is it {n}?", "CONTEXTS": ["One.", "Two."],
                        "final_decision": labels[n % 7 % 3]}
        for n in range(count)
    }  # fmt: skip


def test_pubmedqa(tmp_path):
    values = pubmedqa()
    questions = read_pubmedqa(write(tmp_path / "q.json", values))
    assert (questions[0].text, questions[0].second) == ("Is it 0?", "One. Two.")
    truth = {pmid: values[pmid]["final_decision"] for pmid in list(values)[:20]}
    path = write(tmp_path / "t.json", truth)
    train, test = pubmedqa_split(questions, read_pubmedqa_truth(path), "here")
    assert [one.id for one in test] == list(truth)
    assert len(train) == 20
    folds = pubmedqa_folds(questions, truth, 5)
    assert sum(map(len, folds)) == len(set().union(*folds)) == 20
    with pytest.raises(DataError, match="the ground truth has") as error:
        pubmedqa_split(questions, {**truth, "7": "yes"}, "here")
    assert "different releases" in error.value.hint


@pytest.mark.parametrize(
    "change", [{"final_decision": "perhaps"}, {"CONTEXTS": "text"}, {"QUESTION": None}]
)
def test_pubmedqa_errors_name_the_question(tmp_path, change):
    values = pubmedqa()
    values["1003"] |= change
    path = write(tmp_path / "q.json", values)
    with pytest.raises(DataError) as error:
        read_pubmedqa(path)
    assert error.value.where == f"{path}, 1003"
    with pytest.raises(DataError, match="ground truth"):
        read_pubmedqa_truth(path)


@pytest.mark.skipif(not MIRROR.is_dir(), reason="BALIGN_MIRROR is not set")
def test_the_official_test_set_is_what_the_official_script_draws():
    folder = next(MIRROR.rglob("ori_pqal.json")).parent
    questions = read_pubmedqa(folder / "ori_pqal.json")
    truth = read_pubmedqa_truth(folder / "test_ground_truth.json")
    train, test = pubmedqa_split(questions, truth, "")
    assert (len(train), len(test)) == (500, 500)
    folds = pubmedqa_folds(questions, truth, 10)
    # The script draws the test set first: that it is the official one shows that the draw is, and
    # the folds are the next numbers of the same draw.
    assert set().union(*folds) == {one.id for one in train}
    assert [len(fold) for fold in folds] == [50] * 10


def test_bioasq(tmp_path):
    question = {"id": "q1", "type": "yesno", "body": "Does it?", "exact_answer": "Yes",
                "snippets": [{"text": "It does."}, {"text": "Often."}]}  # fmt: skip
    other = {"id": "q2", "type": "list", "body": "Which?", "exact_answer": [["a"]]}
    path = write(tmp_path / "x.json", {"questions": [other, question]})
    found = read_bioasq(path)
    assert [(one.text, one.second, one.labels) for one in found] == [
        ("Does it?", "It does. Often.", ("yes",))
    ]
    for change in ({"exact_answer": "maybe"}, {"snippets": ["x"]}, {"body": 3}):
        write(path, {"questions": [other, question | change]})
        with pytest.raises(DataError) as error:
            read_bioasq(path)
        assert error.value.where == f"{path}, questions[1]"
    with pytest.raises(DataError, match="not a BioASQ file"):
        read_bioasq(write(path, [1]))


def test_medqa(tmp_path):
    value = {"question": "Which?", "options": {"B": "two", "A": "one"}, "answer_idx": "B"}
    path = write(tmp_path / "x", json.dumps(value) + "\n")
    assert read_medqa(path)[0].options == ("one", "two")
    assert read_medqa(path)[0].labels == ("1",)
    old = {**value, "answer": "one"}
    old.pop("answer_idx")
    assert read_medqa(write(path, old))[0].labels == ("0",)
    for change in ({"answer_idx": "C"}, {"options": ["one"]}):
        with pytest.raises(DataError) as error:
            read_medqa(write(path, json.dumps(value) + "\n" + json.dumps(value | change)))
        assert error.value.where == f"{path}, line 2"


def test_medmcqa_counts_from_one_or_from_zero(tmp_path):
    value = {"question": "Which?", "opa": "a", "opb": "b", "opc": "c", "opd": "d", "id": "x"}
    path = tmp_path / "x"

    def labels(*cops):
        write(path, "\n".join(json.dumps({**value, "cop": cop}) for cop in cops))
        return [int(one.labels[0]) for one in read_medmcqa(path)]

    assert labels(1, 4, 2) == [0, 3, 1]
    assert labels(0, 3, 2) == [0, 3, 2]
    for cops in ([0, 4], [None], [5], [True]):
        with pytest.raises(DataError):
            labels(*cops)
