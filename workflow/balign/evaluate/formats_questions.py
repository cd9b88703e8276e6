"""Readers of question sets: PubMedQA, BioASQ yes/no, MedQA and MedMCQA."""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from balign.errors import DataError
from balign.evaluate.examples import Example
from balign.evaluate.formats_text import json_lines, read_json_file, string, strings

_OPTIONS = ("opa", "opb", "opc", "opd")
_DECISIONS = ("yes", "no", "maybe")


def read_pubmedqa(path: Path) -> list[Example]:
    """Return the questions of ``ori_pqal.json``: PMID -> question, contexts, decision.

    The text is the question, the second text its contexts (the abstract without its conclusion).

    Raises:
        DataError: if it is no such file.
    """
    found = []
    for pmid, value in _objects(path).items():
        where = f"{path}, {pmid}"
        contexts = strings(value, "CONTEXTS", where)
        label = string(value, "final_decision", where)
        if label not in _DECISIONS:
            raise DataError(f"not yes, no or maybe: '{label}'", where=where)
        question = string(value, "QUESTION", where)
        found.append(Example(pmid, question, " ".join(contexts), (label,)))
    return found


def read_pubmedqa_truth(path: Path) -> dict[str, str]:
    """Return PMID -> label of ``test_ground_truth.json``, which names the official test set.

    Raises:
        DataError: if it is no such file.
    """
    values = read_json_file(path)
    if not isinstance(values, dict) or not set(map(str, values.values())) <= set(_DECISIONS):
        raise DataError("not PubMedQA's ground truth: PMID to yes, no or maybe", where=str(path))
    return values


def pubmedqa_split(
    questions: Sequence[Example], truth: Mapping[str, str], where: str
) -> tuple[list[Example], list[Example]]:
    """Return the questions to train on and those of the official test set.

    Both come in the order of PubMedQA's own script, which draws by Python's ``random`` with seed
    0: a test set that it draws is the official one (a test holds us to that), and so the folds that
    :func:`pubmedqa_folds` draws next are the official ones.

    Raises:
        DataError: if a question of the ground truth is missing or has another label.
    """
    labels = {one.id: one.labels[0] for one in questions}
    for pmid, label in truth.items():
        if labels.get(pmid) != label:
            raise DataError(
                f"question {pmid} has the label {labels.get(pmid)}, the ground truth has {label}",
                where=where,
                hint="the two files are of different releases",
            )
    test = [one for one in questions if one.id in truth]
    return [one for one in questions if one.id not in truth], test


def pubmedqa_folds(
    questions: Sequence[Example], test: Collection[str], count: int
) -> list[set[str]]:
    """Return the PMIDs of each fold of cross-validation, as PubMedQA's ``split_dataset.py`` does.

    The script shuffles the questions of each label, deals them out to two halves of which the
    second is the test set, and deals the first half out to ten folds in the same way; where the
    last fold is short it takes one question from each other fold.

    Args:
        questions: all questions, those of the test set included, in the file's order.
        test: PMIDs of the test set; if they are not the second half, the other questions are dealt
            out as the file has them.
        count: folds.
    """
    rng = random.Random(0)
    everything = [(one.id, one.labels[0]) for one in questions]
    first, second = _deal(everything, 2, rng)
    if {pmid for pmid, _ in second} != set(test):
        first = [one for one in everything if one[0] not in test]
    return [{pmid for pmid, _ in fold} for fold in _deal(first, count, rng)]


def _deal(
    questions: Sequence[tuple[str, str]], parts: int, rng: random.Random
) -> list[list[tuple[str, str]]]:
    found: list[list[tuple[str, str]]] = [[] for _ in range(parts)]
    for label in _DECISIONS:
        these = [one for one in questions if one[1] == label]
        rng.shuffle(these)
        size = math.ceil(len(these) / parts)
        for part in range(parts):
            end = len(these) if part == parts - 1 else (part + 1) * size
            found[part] += these[part * size : end]
    if len(found[-1]) != len(found[0]):
        for other in found[:-1]:
            picked = rng.choice(other)
            found[-1].append(picked)
            other.remove(picked)
    return found


def read_bioasq(path: Path) -> list[Example]:
    """Return the yes/no questions of a BioASQ task b file, with their snippets as second text.

    Questions of other types are left out.

    Raises:
        DataError: if it is no such file, or a yes/no question has another answer.
    """
    values = read_json_file(path)
    questions = values.get("questions") if isinstance(values, dict) else None
    if not isinstance(questions, list):
        raise DataError("not a BioASQ file: no list 'questions'", where=str(path))
    found = []
    for place, value in enumerate(questions):
        where = f"{path}, questions[{place}]"
        if not isinstance(value, dict):
            raise DataError("a question must be an object", where=where)
        if value.get("type") != "yesno":
            continue
        answer = value.get("exact_answer")
        answer = answer[0] if isinstance(answer, list) and answer else answer
        if not isinstance(answer, str) or answer.strip().lower() not in ("yes", "no"):
            raise DataError(f"exact_answer is neither yes nor no: {answer!r}", where=where)
        snippets = value.get("snippets", [])
        if not isinstance(snippets, list) or not all(isinstance(one, dict) for one in snippets):
            raise DataError("'snippets' must be a list of objects", where=where)
        texts = [string(one, "text", where) for one in snippets]
        name = string(value, "id", where)
        body = string(value, "body", where)
        found.append(Example(name, body, " ".join(texts), (answer.strip().lower(),)))
    return found


def read_medqa(path: Path) -> list[Example]:
    """Return the questions of a MedQA JSONL file (``question``, ``options``, ``answer_idx``).

    Raises:
        DataError: if a line is no such question, or its answer is none of the options.
    """
    found = []
    for number, value in json_lines(path):
        where = f"{path}, line {number}"
        options = value.get("options")
        if not isinstance(options, dict) or not all(isinstance(v, str) for v in options.values()):
            raise DataError("'options' must be an object: letter to answer", where=where)
        letters = sorted(options)
        answer = value.get("answer_idx")
        if answer is None:  # files of the first release have the answer's text alone
            text = string(value, "answer", where)
            answer = next((letter for letter in letters if options[letter] == text), None)
        if answer not in letters:
            raise DataError(f"the answer {answer!r} is none of {', '.join(letters)}", where=where)
        answers = tuple(options[letter] for letter in letters)
        right = (str(letters.index(answer)),)
        question = string(value, "question", where)
        found.append(Example(str(number), question, labels=right, options=answers))
    return found


def read_medmcqa(path: Path) -> list[Example]:
    """Return the questions of a MedMCQA JSONL file (``opa`` to ``opd``, ``cop``).

    ``cop`` counts from 1 in the publisher's files and from 0 in Hugging Face's; a file with a 0
    counts from 0.

    Raises:
        DataError: if a line is no such question, or has no answer, as in the publisher's test set.
    """
    rows: list[tuple[str, Mapping[str, Any], int]] = []
    for number, value in json_lines(path):
        where = f"{path}, line {number}"
        given = value.get("cop")
        if not isinstance(given, int) or isinstance(given, bool) or not 0 <= given <= 4:
            raise DataError(
                f"'cop', the right answer, is {given!r}",
                where=where,
                hint="the publisher's test set has no answers; score its dev set",
            )
        rows.append((where, value, given))
    first = 0 if any(given == 0 for _, _, given in rows) else 1
    found = []
    for row, (where, value, given) in enumerate(rows):
        if given - first > 3:
            raise DataError("'cop' is 4 in a file that counts from 0", where=where)
        options = tuple(string(value, key, where) for key in _OPTIONS)
        name = str(value.get("id", row))
        question = string(value, "question", where)
        found.append(Example(name, question, labels=(str(given - first),), options=options))
    return found


def _objects(path: Path) -> dict[str, dict[str, Any]]:
    values = read_json_file(path)
    if not isinstance(values, dict) or not all(isinstance(one, dict) for one in values.values()):
        raise DataError("not a JSON object of objects", where=str(path))
    return values
