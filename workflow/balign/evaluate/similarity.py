"""Family ``similarity``: cosine of the vectors of two texts against people's judgement.

UMNSRS (Pakhomov et al., 2010): pairs of terms judged by physicians. Nothing is learnt.
"""

from __future__ import annotations

import math

import numpy as np
import polars as pl

from balign.embedding import embed_names, load_encoder
from balign.errors import DataError
from balign.evaluate.outcome import Outcome, Run, TaskSkipped
from balign.evaluate.zero_shot_settings import SimilarityTask


def run(task: SimilarityTask, run: Run) -> Outcome:
    """Embed both texts of each pair.

    Raises:
        TaskSkipped: if the user's folder has no such file.
        DataError: if the file is not a table with the task's columns.
    """
    pairs = read_pairs(task, run)
    encoder = load_encoder(run.model)
    texts = [*pairs["first"], *pairs["second"]]
    vectors = embed_names(encoder, texts, "texts embedded", task.pooling, task.max_tokens)
    first, second = np.split(vectors.astype(np.float64), 2)
    # In steps of 1e-5, so that rounding in the encoder makes no order of equals.
    cosine = np.rint((first * second).sum(axis=1) * 1e5) / 1e5
    predictions = pairs.with_row_index("example").with_columns(
        pl.col("example").cast(pl.Int64), predicted=pl.Series(cosine)
    )
    distinct = len({tuple(sorted(pair)) for pair in pairs.select("first", "second").iter_rows()})
    return Outcome(predictions, ("spearman", "pearson"), counts={"distinct_pairs": distinct})


def read_pairs(task: SimilarityTask, run: Run) -> pl.DataFrame:
    """Return ``first``, ``second`` and ``gold`` in the order of the file.

    Raises:
        TaskSkipped: if the user's folder has no such file.
        DataError: if it is not a table with these columns, or a judgement is no number.
    """
    folder = run.source.folder if run.source else run.folder
    if folder is None:
        raise DataError("this task reads pairs", hint="give --source MANIFEST.json")
    path = folder / task.file
    if not path.is_file():
        raise TaskSkipped(f"no file {path}: {task.obtain or 'put it there'}")
    first, second, gold = task.columns
    separator = "\t" if path.suffix == ".tsv" else ","
    try:
        table = pl.read_csv(path, separator=separator, infer_schema=False)
        pairs = table.select(
            first=pl.col(first).str.strip_chars(),
            second=pl.col(second).str.strip_chars(),
            gold=pl.col(gold).cast(pl.Float64),
        )
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(
            f"not a table with the columns {', '.join(task.columns)}: {error}", where=str(path)
        ) from None
    for row, pair in enumerate(pairs.iter_rows(), 1):
        if None in pair or "" in pair or not math.isfinite(pair[2]):
            raise DataError("a text or a judgement is missing", where=f"{path}, row {row}")
    if pairs.is_empty():
        raise DataError("the table has no row", where=str(path))
    return pairs
