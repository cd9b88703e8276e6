"""How many of a citation's MeSH headings its linked concepts name.

Check tags are left out: indexers give them by rule, mostly without the text's naming them.
Headings come from reading the whole article, so that no linker of abstracts reaches 1. Citations
without any mention, most of which have no abstract and were not linked, are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from balign.evaluate.check_tag_names import CHECK_TAGS


def heading_recall(files: Sequence[tuple[Path, Path]], mesh: pl.DataFrame) -> dict[str, Any]:
    """Return the recall of headings, over all of them and over the major ones.

    Args:
        files: abstracts with ``pmid`` and ``mesh``, and the mentions found in them (Parquet).
        mesh: ``concept`` and ``mesh``, the MeSH ids that concepts carry.
    """
    known = mesh["mesh"].unique().implode()
    totals = {
        "citations": 0,
        "headings": 0,
        "in_graph": 0,
        "found": 0,
        "major": 0,
        "major_found": 0,
    }
    for abstracts, mentions in files:
        headings = (
            pl.read_parquet(abstracts, columns=["pmid", "mesh"])
            .explode("mesh")
            .drop_nulls("mesh")
            .unnest("mesh")
            .filter(~pl.col("name").is_in(CHECK_TAGS))
            .unique(["pmid", "ui"])
        )
        linked = pl.read_parquet(mentions, columns=["pmid", "concept"]).unique()
        headings = headings.join(linked.select("pmid").unique(), on="pmid", how="semi")
        linked = linked.join(mesh, on="concept").select("pmid", ui="mesh", linked=True).unique()
        joined = headings.join(linked, on=["pmid", "ui"], how="left").with_columns(
            pl.col("linked").fill_null(False)
        )
        totals["citations"] += headings["pmid"].n_unique()
        totals["headings"] += len(joined)
        totals["in_graph"] += int(joined["ui"].is_in(known).sum())
        totals["found"] += int(joined["linked"].sum())
        totals["major"] += int(joined["major"].sum())
        totals["major_found"] += int((joined["linked"] & joined["major"]).sum())
    recall = {
        "recall": totals["found"] / totals["headings"] if totals["headings"] else 0.0,
        "major_recall": totals["major_found"] / totals["major"] if totals["major"] else 0.0,
    }
    return totals | {name: round(value, 4) for name, value in recall.items()}
