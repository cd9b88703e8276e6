"""Family ``check_tags``: fine-tune the encoder to predict MeSH check tags of citations.

Indexers give every citation the check tags that apply (NLM, MeSH Indexing Principles): species,
sex, age groups. Labels are the tags common enough in the given citations, whatever the split.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from balign.draw import draw_key
from balign.errors import DataError
from balign.evaluate.check_tag_names import CHECK_TAGS
from balign.evaluate.finetune import Problem, fine_tune, open_encoder
from balign.evaluate.heads import Item
from balign.evaluate.labels import (
    BoolMatrix,
    best_thresholds,
    label_columns,
    log_odds,
    sigmoid,
)
from balign.evaluate.leakage import text_overlap
from balign.evaluate.outcome import Outcome, Run
from balign.evaluate.settings import CheckTagTask
from balign.evaluate.task_settings import FineTuning
from balign.evaluate.texts import text_items

log = logging.getLogger(__name__)

_MIN_SHARE = 0.02  # 12 positives among 600 test citations
_HEAD_RATE = 10  # the new head learns so many times faster than the encoder


@dataclass(frozen=True)
class Citations:
    """Citations with labels.

    Attributes:
        pmids: int64 ``[n]``.
        texts: title and abstract, ``[n]``.
        tags: ``[n, labels]``.
    """

    pmids: npt.NDArray[np.int64]
    texts: list[str]
    tags: BoolMatrix

    def take(self, rows: npt.NDArray[np.int64]) -> Citations:
        """Return the citations at some positions."""
        return Citations(self.pmids[rows], [self.texts[row] for row in rows], self.tags[rows])


def run(task: CheckTagTask, run: Run) -> Outcome:
    """Fine-tune on the training citations, set thresholds on development, predict test.

    Raises:
        DataError: if there are too few indexed citations.
    """
    citations, labels = read_citations(run.abstracts)
    train, development, test = split(citations, task)
    log.info("%d citations, %d labels: %s", len(citations.pmids), len(labels), ", ".join(labels))
    encoder = open_encoder(run.model)

    def items(part: Citations) -> list[Item]:
        texts = [(text, "") for text in part.texts]
        targets = part.tags.astype(np.float32).tolist()
        return text_items(encoder, texts, targets, task.max_tokens, "mean")

    problem = Problem(
        "labels", len(labels), items(train), (), lambda _: 0.0, bias=log_odds(train.tags)
    )
    settings = FineTuning(
        learning_rate=task.learning_rate,
        head_rate=_HEAD_RATE,
        batch_size=task.batch_size,
        epochs=task.epochs,
        dropout=0,
        precision="fp32",
    )
    tuned = fine_tune(lambda: encoder, problem, settings, run.seed)
    thresholds = best_thresholds(sigmoid(tuned.predict(items(development))), development.tags)
    predicted = sigmoid(tuned.predict(items(test))) >= thresholds
    columns = label_columns(labels, test.tags, predicted)
    predictions = pl.DataFrame({"example": test.pmids, **columns}).sort("example")
    counts = {
        "citations": len(citations.pmids),
        "labels": len(labels),
        "train": len(train.pmids),
        "development": len(development.pmids),
        **text_overlap([*train.texts, *development.texts], test.texts),
    }
    return Outcome(predictions, ("micro_f1", "macro_f1"), counts=counts, training=tuned.facts)


def read_citations(files: Sequence[Path]) -> tuple[Citations, list[str]]:
    """Return the citations that have an abstract and MeSH headings, and the labels.

    A label is a check tag that at least 2 % of these citations have; so it depends on the corpus
    and not on the split.

    Raises:
        DataError: if a file cannot be read, or there is no such citation.
    """
    wanted = ["pmid", "text", "abstract", "mesh"]
    try:
        frame = pl.concat([pl.read_parquet(file, columns=wanted) for file in files])
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(
            f"abstracts cannot be read: {error}", where=", ".join(map(str, files))
        ) from None
    frame = frame.filter(
        pl.col("mesh").list.len() > 0, pl.col("abstract").str.len_chars() > 0
    ).sort("pmid")
    if frame.is_empty():
        raise DataError(
            "no citation has both an abstract and MeSH headings", where=", ".join(map(str, files))
        )
    names = pl.col("mesh").list.eval(pl.element().struct.field("name"))
    tags = frame.select(names.list.contains(tag).alias(tag) for tag in CHECK_TAGS).to_numpy()
    common = tags.mean(axis=0) >= _MIN_SHARE
    labels = [tag for tag, kept in zip(CHECK_TAGS, common, strict=True) if kept]
    return Citations(frame["pmid"].to_numpy(), frame["text"].to_list(), tags[:, common]), labels


def split(citations: Citations, task: CheckTagTask) -> tuple[Citations, Citations, Citations]:
    """Return train, development and test, drawn by a hash of the PMID.

    Test is drawn first, then development: other sizes of training leave both as they are.

    Raises:
        DataError: if there are fewer citations than the task wants.
    """
    sizes = (task.test_citations, task.development_citations, task.train_citations)
    if len(citations.pmids) < sum(sizes):
        raise DataError(
            f"task {task.name} wants {sum(sizes)} indexed citations with abstract, "
            f"there are {len(citations.pmids)}",
            hint="lower train_citations, development_citations or test_citations",
        )
    keys = [draw_key(task.split_seed, str(pmid)) for pmid in citations.pmids.tolist()]
    order = np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64)
    test, development, train = np.split(order[: sum(sizes)], np.cumsum(sizes)[:2])
    return citations.take(train), citations.take(development), citations.take(test)
