"""Fine-tuning a tagger against the plain recipe of transformers' Trainer: speed at equal F1.

    python -m benchmarks.evaluate.finetune --encoder FOLDER --files FOLDER \
        [--train 800] [--test 600] [--epochs 2] [--seeds 1 2 3] [--length 128] [--threads 1]

``--files`` holds train.tsv and test.tsv of a named entity task (BC5CDR-chem-IOB). All train on the
same sentences with the same rates and steps, each (recipe, seed) as a process of its own:

- ``ours``: :mod:`balign.evaluate.finetune`, batches of like length;
- ``longest``: the Trainer as run_ner.py uses it, random batches padded to their longest sentence;
- ``fixed``: the same, padded to ``--length``, as run_ner.py does with ``--pad_to_max_length``.

Pieces a second count real word pieces, padding left out, by processor time of training alone; F1 is
seqeval's strict F1 on the test sentences.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import measure, show

RECIPES = ("ours", "longest", "fixed")
RATE, BATCH, WARMUP, DECAY = 3e-4, 16, 0.1, 0.01


def sentences(folder: Path, part: str, count: int) -> tuple[list[list[str]], list[list[str]]]:
    """Return words and tags of the first sentences of 4 to 100 words, so that none is cut."""
    from balign.evaluate.formats_iob import read_iob

    found = [one for one in read_iob(folder / f"{part}.tsv") if 4 <= len(one.words) <= 100]
    step = max(1, len(found) // count)
    found = found[::step][:count]
    return [list(one.words) for one in found], [list(one.tags) for one in found]


def processor_seconds() -> float:
    """Return the processor time of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def contest(arguments: argparse.Namespace) -> None:
    """Train one recipe with one seed; write seconds, rate and F1 to ``--result``."""
    import torch
    from seqeval.metrics import f1_score
    from seqeval.scheme import IOB2

    torch.set_num_threads(arguments.threads)
    words, tags = sentences(arguments.files, "train", arguments.train)
    test_words, gold = sentences(arguments.files, "test", arguments.test)
    labels = sorted(
        {tag for row in tags for tag in row}, key=lambda tag: (tag != "O", tag[2:], tag)
    )
    train = ours if arguments.contest == "ours" else plain
    predicted, seconds, pieces = train(arguments, words, tags, test_words, labels)
    f1 = f1_score(gold, predicted, mode="strict", scheme=IOB2)
    result = {"f1": f1, "seconds": seconds, "rate": pieces * arguments.epochs / seconds}
    arguments.result.write_text(json.dumps(result))


def ours(arguments, words, tags, test_words, labels):
    """Train by balign's engine."""
    from balign.evaluate import finetune
    from balign.evaluate.examples import Tagged
    from balign.evaluate.task_settings import FineTuning
    from balign.evaluate.token_classification import decode, windows

    encoder = finetune.open_encoder(arguments.encoder)
    train, test = (
        [Tagged(str(n), tuple(one), tuple(tag)) for n, (one, tag) in enumerate(zip(*pair))]  # noqa: B905
        for pair in ((words, tags), (test_words, [["O"] * len(one) for one in test_words]))
    )
    made = windows(encoder, train, labels, arguments.length)
    problem = finetune.Problem("words", len(labels), made.items, (), lambda _: 0.0)
    settings = FineTuning(learning_rate=RATE, batch_size=BATCH, epochs=arguments.epochs,
                          warmup=WARMUP, weight_decay=DECAY)  # fmt: skip
    began = processor_seconds()
    tuned = finetune.fine_tune(lambda: encoder, problem, settings, arguments.seed)
    seconds = processor_seconds() - began
    pieces = sum(item.length for item in made.items)
    cut = windows(encoder, test, labels, arguments.length)
    return decode(cut.joined(tuned.predict(cut.items)), labels), seconds, pieces


def plain(arguments, words, tags, test_words, labels):
    """Train as transformers' example run_ner.py does."""
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(arguments.encoder)
    fixed = arguments.contest == "fixed"
    padding = "max_length" if fixed else False
    options = {"is_split_into_words": True, "truncation": True, "max_length": arguments.length}
    rows = []
    encoded = tokenizer(words, padding=padding, **options)
    for row, ids in enumerate(encoded["input_ids"]):
        before, target = None, []
        for word in encoded.word_ids(row):
            first = word is not None and word != before
            target.append(labels.index(tags[row][word]) if first else -100)
            before = word
        mask = encoded["attention_mask"][row]
        rows.append({"input_ids": ids, "attention_mask": mask, "labels": target})
    transformers.set_seed(arguments.seed)
    model = transformers.AutoModelForTokenClassification.from_pretrained(
        arguments.encoder, num_labels=len(labels), use_safetensors=True
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer = transformers.Trainer(
            model=model,
            args=transformers.TrainingArguments(
                output_dir=folder, per_device_train_batch_size=BATCH, learning_rate=RATE,
                num_train_epochs=arguments.epochs, warmup_steps=WARMUP, weight_decay=DECAY,
                seed=arguments.seed, save_strategy="no", report_to=[], disable_tqdm=True,
            ),
            train_dataset=rows,
            data_collator=transformers.DataCollatorForTokenClassification(tokenizer),
        )  # fmt: skip
        began = processor_seconds()
        trainer.train()
        seconds = processor_seconds() - began
    model.eval()
    predicted = []
    with torch.inference_mode():
        for one in test_words:
            batch = tokenizer([one], return_tensors="pt", **options)
            best = model(**batch.to(model.device)).logits[0].argmax(-1).tolist()
            found: dict[int, str] = {}
            for place, word in enumerate(batch.word_ids(0)):
                if word is not None:
                    found.setdefault(word, labels[best[place]])
            predicted.append([found.get(word, "O") for word in range(len(one))])
    return predicted, seconds, sum(sum(row["attention_mask"]) for row in rows)


def main() -> None:
    """Run every recipe with every seed and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--files", type=Path, required=True)
    parser.add_argument("--train", type=int, default=800)
    parser.add_argument("--test", type=int, default=600)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--contest", choices=RECIPES)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--result", type=Path)
    arguments = parser.parse_args()
    if arguments.contest:
        contest(arguments)
        return
    rows = []
    rates = {}
    with tempfile.TemporaryDirectory() as folder:
        for recipe in RECIPES:
            costs, results = [], []
            for seed in arguments.seeds:
                result = Path(folder) / f"{recipe}{seed}.json"
                own = ["--contest", recipe, "--seed", str(seed), "--result", str(result)]
                command = [
                    sys.executable,
                    "-m",
                    "benchmarks.evaluate.finetune",
                    *sys.argv[1:],
                    *own,
                ]
                threads = {"OMP_NUM_THREADS": str(arguments.threads)}
                paths = os.pathsep.join(["workflow", os.environ.get("PYTHONPATH", "")])
                costs.append(measure(command, {**threads, "PYTHONPATH": paths}))
                results.append(json.loads(result.read_text()))
            rates[recipe] = statistics.mean(one["rate"] for one in results)
            f1 = [100 * one["f1"] for one in results]
            rows.append(
                (
                    recipe,
                    statistics.mean(one["seconds"] for one in results),
                    rates[recipe],
                    rates["ours"] / rates[recipe],
                    f"{statistics.mean(f1):.1f} ± {statistics.stdev(f1) if len(f1) > 1 else 0:.1f}",
                    max(cost.peak_mib for cost in costs),
                )
            )
    title = f"{arguments.train:,} sentences, {arguments.epochs} passes, seeds {arguments.seeds}"
    columns = ("recipe", "processor s", "pieces/s", "ours is x faster", "F1", "peak MiB")
    show(title, columns, rows)


if __name__ == "__main__":
    main()
