"""The examples of a task that fine-tunes: files found, read, drawn from, and cut into folds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from balign.draw import draw_key
from balign.errors import DataError
from balign.evaluate import formats_documents as documents
from balign.evaluate import formats_iob as iob
from balign.evaluate import formats_questions as questions
from balign.evaluate import formats_table as table
from balign.evaluate.examples import Example, One, Splits, Tagged
from balign.evaluate.leakage import text_overlap
from balign.evaluate.outcome import Run, TaskSkipped
from balign.evaluate.passages import marked_pairs, tagged_sentences
from balign.evaluate.task_settings import (
    ChoiceTask,
    FineTunedTask,
    LabelsTask,
    RelationTask,
    ScoreTask,
    TextTask,
    TokenTask,
)

_PASSAGES: dict[str, Callable[[Path], list[documents.Passage]]] = {
    "pubtator": documents.read_pubtator,
    "bioc_xml": documents.read_bioc_xml,
    "bioc_json": documents.read_bioc_json,
    "ddi_xml": documents.read_ddi_xml,
}


def read_tagged(task: TokenTask, run: Run) -> Splits[Tagged]:
    """Return the sentences of a task of family ``token_classification``.

    Raises:
        TaskSkipped: if a file of the user's folder is not there.
        DataError: if a file breaks its format, or a part has no examples.
        SourceError: if the source has no such file.
    """
    _need_files(task)

    def read(path: Path) -> list[Tagged]:
        if task.format == "iob":
            found = iob.read_iob(path, task.word_column, task.tag_column)
        elif task.format == "jsonl":
            keys = (str(task.columns.text), str(task.columns.label))
            name = None if task.columns.id is None else str(task.columns.id)
            found = iob.read_tagged_jsonl(path, *keys, name)
        else:
            found = list(tagged_sentences(_PASSAGES[task.format](path)))
        return list(iob.only_types(found, task.entity_types, task.as_type))

    return _splits(task, run, read)


def read_answered(
    task: RelationTask | TextTask | LabelsTask | ChoiceTask | ScoreTask, run: Run
) -> Splits[Example]:
    """Return the examples of a task of any other family.

    Args:
        task: the task.
        run: where its files are; the seed names the fold of a task with folds.

    Raises:
        TaskSkipped: if a file of the user's folder is not there.
        DataError: if a file breaks its format, or a part has no examples.
        SourceError: if the source has no such file.
    """
    _need_files(task)
    if isinstance(task, TextTask) and task.format == "pubmedqa":
        return _pubmedqa(task, run)
    splits = _splits(task, run, lambda path: _read(task, path))
    if isinstance(task, TextTask) and task.folds:
        everything = [*splits.train, *splits.dev]
        order = sorted(everything, key=lambda one: draw_key(task.draw_seed, one.id + one.text))
        held_out = {id(one) for one in order[(run.seed - 1) % task.folds :: task.folds]}
        train = [one for one in everything if id(one) not in held_out]
        dev = [one for one in everything if id(one) in held_out]
        splits = Splits(train, dev, splits.test)
    return splits


def part_counts(splits: Splits[One]) -> dict[str, int]:
    """Return the sizes of training and development, and how many test texts are among them."""
    seen = (one.whole for part in (splits.train, splits.dev) for one in part)
    overlap = text_overlap(seen, (one.whole for one in splits.test))
    return {"train": len(splits.train), "development": len(splits.dev), **overlap}


def _read(
    task: RelationTask | TextTask | LabelsTask | ChoiceTask | ScoreTask, path: Path
) -> list[Example]:
    if isinstance(task, RelationTask) and task.format in _PASSAGES:
        if len(task.pair.markers) != 4:
            raise DataError(f"task {task.name}: format {task.format} takes four markers")
        passages = _PASSAGES[task.format](path)
        return list(marked_pairs(passages, task.arguments, task.pair.markers))
    plain = {
        "bioasq": questions.read_bioasq,
        "medqa": questions.read_medqa,
        "medmcqa": questions.read_medmcqa,
    }
    if task.format in plain:
        return plain[task.format](path)
    answer: Callable[[Any, str], Example] = table.one_label
    if isinstance(task, LabelsTask):
        answer = table.many_labels(task.separator)
    elif isinstance(task, ScoreTask):
        answer = table.number
    header = getattr(task, "header", True)
    return table.read_examples(path, task.format, header, task.columns, answer)


def _pubmedqa(task: TextTask, run: Run) -> Splits[Example]:
    """Return the official test set and, of the others, one of ten folds to develop on."""
    everything = [one for path in _paths(task, run, task.files.train)
                  for one in questions.read_pubmedqa(path)]  # fmt: skip
    truth_path = _paths(task, run, task.files.test)[0]
    truth = questions.read_pubmedqa_truth(truth_path)
    train, test = questions.pubmedqa_split(everything, truth, str(truth_path))
    folds = questions.pubmedqa_folds(everything, truth, task.folds or 10)
    held_out = folds[(run.seed - 1) % len(folds)]
    dev = [one for one in train if one.id in held_out]
    train = [one for one in train if one.id not in held_out]
    return _limited(task, Splits(train, dev, test))


def _splits(task: FineTunedTask, run: Run, read: Callable[[Path], list[One]]) -> Splits[One]:
    parts = {}
    for part in ("train", "dev", "test"):
        names: tuple[str, ...] = getattr(task.files, part)
        parts[part] = [one for path in _paths(task, run, names) for one in read(path)]
    if not task.files.dev and not getattr(task, "folds", None):
        count = max(1, round(task.dev_share * len(parts["train"])))
        chosen = set(_drawn(parts["train"], count, task.draw_seed))
        parts["dev"] = [one for row, one in enumerate(parts["train"]) if row in chosen]
        parts["train"] = [one for row, one in enumerate(parts["train"]) if row not in chosen]
    return _limited(task, Splits(**parts))


def _limited(task: FineTunedTask, splits: Splits[One]) -> Splits[One]:
    """Draw from parts that are larger than the task wants; the file's order stays."""

    def limited(part: Sequence[One], most: int | None, name: str) -> list[One]:
        if not part and not (name == "dev" and getattr(task, "folds", None)):
            raise DataError(f"task {task.name} has no examples in its part {name}")
        if most is None or len(part) <= most:
            return list(part)
        return [part[row] for row in sorted(_drawn(part, most, task.draw_seed))]

    return Splits(
        limited(splits.train, task.max_train, "train"),
        limited(splits.dev, task.max_dev, "dev"),
        limited(splits.test, task.max_test, "test"),
    )


def _drawn(part: Sequence[One], count: int, seed: int) -> list[int]:
    """Return the positions of examples drawn by a hash of position and text."""
    keys = [draw_key(seed, f"{row}\t{one.text}") for row, one in enumerate(part)]
    return sorted(range(len(part)), key=keys.__getitem__)[:count]


def _paths(task: FineTunedTask, run: Run, names: Sequence[str]) -> list[Path]:
    """Return the paths of files of the task's source or folder."""
    if task.path is None:
        if run.source is None:
            raise DataError(f"task {task.name} reads a source", hint="give --source MANIFEST.json")
        return [run.source.path(name) for name in names]
    return [Path(task.path) / name for name in names]


def _need_files(task: FineTunedTask) -> None:
    """Skip a task whose folder lacks some of its files."""
    if task.path is None:
        return
    names = [*task.files.train, *task.files.dev, *task.files.test]
    missing = [name for name in dict.fromkeys(names) if not (Path(task.path) / name).exists()]
    if missing:
        raise TaskSkipped(f"not in {task.path}: {', '.join(missing)}. {task.obtain or ''}".strip())
