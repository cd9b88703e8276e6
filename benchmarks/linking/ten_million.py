"""The dictionary at UMLS's size: ten million generated names, and real abstracts linked with them.

    python -m benchmarks.linking.ten_million --abstracts ... --sentences ... [--names 10000000]

Names have one to six words, drawn from the abstracts' own words by a skewed law, so that beginnings
of names are common in the text; a concept has three names. The same seed gives the same
names. Building, and linking, are processes of their own.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import numpy as np
import polars as pl

from benchmarks.measure import measure, show

_BATCH = 500_000


def generate(abstracts: list[Path], count: int, seed: int, database: Path) -> None:
    """Write a kg.duckdb that has the table of names alone."""
    random = np.random.default_rng(seed)
    texts = pl.concat([pl.read_parquet(path, columns=["text"]) for path in abstracts])
    found = texts["text"].str.extract_all(r"[A-Za-z0-9-]{2,}").explode().drop_nulls()
    words = found.value_counts(sort=True).sort("count", found.name, descending=[True, False])
    forms = words.to_series(0).to_list()
    with duckdb.connect(str(database)) as graph:
        graph.execute(
            "CREATE TABLE atom (concept VARCHAR, name VARCHAR, preferred BOOLEAN, rank INTEGER, "
            "held_out BOOLEAN)"
        ).fetchall()
        graph.execute(
            "CREATE TABLE semantic_type (concept VARCHAR, semantic_type VARCHAR)"
        ).fetchall()
        for first in range(0, count, _BATCH):
            size = min(_BATCH, count - first)
            length = random.choice(np.arange(1, 7), size, p=[0.08, 0.3, 0.28, 0.18, 0.1, 0.06])
            drawn = (random.random(int(length.sum())) ** 3 * len(forms)).astype(np.int64).tolist()
            ends = np.cumsum(length).tolist()
            names = [
                " ".join(forms[i] for i in drawn[end - size_of : end])
                for end, size_of in zip(ends, length.tolist(), strict=True)
            ]
            batch = pl.DataFrame(  # noqa: F841, read by DuckDB
                {
                    "concept": [f"C{number // 3:08d}" for number in range(first, first + size)],
                    "name": names,
                    "rank": [number % 3 for number in range(first, first + size)],
                }
            )
            graph.execute(
                "INSERT INTO atom SELECT concept, name, rank = 0, rank, false FROM batch"
            ).fetchall()


def build(folder: Path) -> None:
    """Build the index."""
    from balign.linking.backends import build_index
    from balign.linking.settings import LinkingSettings

    (folder / "index").mkdir()
    build_index("dictionary", folder / "kg.duckdb", LinkingSettings(), folder / "index")


def link(folder: Path, abstracts: list[Path], sentences: list[Path]) -> None:
    """Link the abstracts; write the seconds of processor time."""
    from balign.linking.backends import open_linker
    from balign.linking.link import link_documents
    from balign.linking.settings import LinkingSettings

    spans = pl.concat([pl.read_parquet(path) for path in sentences])
    spans = spans.select("pmid", "sentence", "start", "end").sort("pmid", "sentence")
    texts = pl.concat([pl.read_parquet(path, columns=["pmid", "text"]) for path in abstracts])
    texts = texts.filter(pl.col("pmid").is_in(spans["pmid"].unique().implode())).sort("pmid")
    settings = LinkingSettings()
    linker = open_linker("dictionary", folder / "index", settings)
    began = time.process_time()
    mentions, _ = link_documents(linker, texts, spans, settings)
    found = {"seconds": time.process_time() - began, "documents": len(texts)}
    (folder / "link.json").write_text(json.dumps(found | {"mentions": len(mentions)}))


def main() -> None:
    """Generate, build, link, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--abstracts", type=Path, nargs="+", required=True)
    parser.add_argument("--sentences", type=Path, nargs="+", required=True)
    parser.add_argument("--names", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=13)
    parser.add_argument("--folder", type=Path, help="where to put 2 GB, kept; else temporary")
    parser.add_argument("--run", choices=("build", "link"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run == "build":
        build(arguments.folder)
        return
    if arguments.run == "link":
        link(arguments.folder, arguments.abstracts, arguments.sentences)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        generate(arguments.abstracts, arguments.names, arguments.seed, folder / "kg.duckdb")
        command = [sys.executable, "-m", "benchmarks.linking.ten_million", "--folder", str(folder)]
        command += ["--abstracts", *map(str, arguments.abstracts)]
        command += ["--sentences", *map(str, arguments.sentences)]
        built = measure([*command, "--run", "build"])
        linked = measure([*command, "--run", "link"])
        found = json.loads((folder / "link.json").read_text())
        size = sum(path.stat().st_size for path in (folder / "index").iterdir()) / 2**20
    rate = found["documents"] / found["seconds"]
    rows: list[list[object]] = [
        ["build", built.seconds, built.cpu_seconds, built.peak_mib, ""],
        ["link", linked.seconds, linked.cpu_seconds, linked.peak_mib, f"{rate:,.0f} documents/s"],
    ]
    show(
        f"{arguments.names:,} names: index {size:,.0f} MiB, {found['mentions']:,} mentions in "
        f"{found['documents']:,} documents",
        ["", "seconds", "processor seconds", "peak MiB", ""],
        rows,
    )


if __name__ == "__main__":
    main()
