"""Merge and selection at PubMed's size: generated tables of 40 million citations, no peer.

    python -m benchmarks.corpus.merge [--citations 40000000] [--folder FOLDER]

The tables hold only the columns that the two steps read: 1,274 baseline files of consecutive PMIDs
and 400 files of updates whose citations, three in four of them revisions, and deletions lie
anywhere. One abstract in a hundred is a copy. The time to generate them is not counted.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from balign.corpus.merge import FATES_SCHEMA
from balign.files import write_json
from benchmarks.measure import Cost, measure, show

BASELINE, UPDATES = 1274, 400


def generate(folder: Path, citations: int) -> tuple[int, int]:
    """Write parsed files; return the number of rows and of live citations."""
    rng = np.random.default_rng(13)
    size = citations * 9 // 10 // BASELINE
    top = size * BASELINE
    alive = np.zeros(2 * citations, dtype=bool)
    rows = 0
    folder.mkdir(parents=True)
    for number in range(1, BASELINE + UPDATES + 1):
        if number <= BASELINE:
            pmid = np.arange((number - 1) * size + 1, number * size + 1)
            deleted = np.zeros(size, dtype=bool)
        else:
            count = citations // 10 // UPDATES
            new = np.arange(top + 1, top + count // 4 + 1)
            top += len(new)
            pmid = np.concatenate([new, rng.choice(top, count - len(new), replace=False) + 1])
            deleted = np.zeros(count, dtype=bool)
            deleted[-count // 100 :] = True
        # A PMID may be in a file twice: the deletions stand at its end, as in PubMed.
        alive[pmid[~deleted]] = True
        alive[pmid[deleted]] = False
        kind = pa.array(["citation", "deletion"]).take(pa.array(deleted.astype(np.int8)))
        version = pa.array(np.ones(len(pmid), dtype=np.int32))
        table = pa.table({"kind": kind, "pmid": pmid, "version": version})
        pq.write_table(table, folder / f"pubmed26n{number:04d}.parquet", compression="zstd")
        rows += len(pmid)
    return rows, int(alive.sum())


def generate_abstracts(parsed: Path, fates: Path, folder: Path) -> None:
    """Write the columns of the live citations that the selection reads."""
    folder.mkdir()
    rng = np.random.default_rng(13)
    source = pq.ParquetFile(fates)
    assert source.schema_arrow.names == FATES_SCHEMA.names
    for number, path in enumerate(sorted(parsed.iterdir())):
        fate = source.read_row_group(number, columns=["fate"])["fate"].to_numpy()
        pmid = np.sort(pq.read_table(path, columns=["pmid"])["pmid"].to_numpy()[fate == "live"])
        digest = pmid * np.int64(0x9E3779B97F4A7C1)  # spread, one for one
        digest = np.where(rng.random(len(pmid)) < 0.01, digest // 100, digest)
        count = len(pmid)
        table = pa.table(
            {
                "pmid": pmid,
                "languages": pa.array([["eng"]] * count, pa.list_(pa.string())),
                "year": rng.integers(1960, 2026, count).astype(np.int32),
                "publication_types": pa.array([["Journal Article"]] * count, pa.list_(pa.string())),
                "characters": rng.integers(0, 2000, count).astype(np.int32),
                "digest": digest,
            }
        )
        pq.write_table(table, folder / path.name, compression="zstd")


def run(citations: int, work: Path) -> None:
    """Generate, merge, select, and print what the two took."""
    parsed, abstracts, out = work / "parsed", work / "abstracts", work / "out"
    rows, live = generate(parsed, citations)
    balign = [sys.executable, "-m", "balign", "corpus"]
    files = [str(path) for path in sorted(parsed.iterdir())]
    outputs = ["--live", str(out / "live.parquet"), "--fates", str(out / "fates.parquet")]
    merged = measure([*balign, "merge", *files, *outputs])
    found = pq.read_metadata(out / "live.parquet").num_rows
    if found != live:
        raise SystemExit(f"{found:,} live citations, expected {live:,}")
    generate_abstracts(parsed, out / "fates.parquet", abstracts)
    write_json(out / "guard.json", {"task": "t", "pmids": list(range(1, 40_000, 8))})
    files = [str(path) for path in sorted(abstracts.iterdir())]
    (out / "config.yaml").write_text("{}")  # the defaults
    options = {"guard": "guard.json", "config": "config.yaml", "output": "selection.parquet"}
    choice = [text for name, file in options.items() for text in (f"--{name}", str(out / file))]
    selected = measure([*balign, "select", *files, *choice])

    def row(step: str, count: int, cost: Cost) -> tuple[object, ...]:
        return step, count, cost.seconds, cost.cpu_seconds, count / cost.seconds, cost.peak_mib

    columns = ("step", "rows", "seconds", "CPU seconds", "rows a second", "peak MiB")
    name = f"{BASELINE + UPDATES:,} files"
    show(name, columns, [row("merge", rows, merged), row("select", live, selected)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--citations", type=int, default=40_000_000)
    parser.add_argument("--folder", type=Path, help="where 3 GB fit (default: a temporary folder)")
    given = parser.parse_args()
    place = Path(tempfile.mkdtemp(dir=given.folder))
    try:
        run(given.citations, place)
    finally:
        shutil.rmtree(place)
