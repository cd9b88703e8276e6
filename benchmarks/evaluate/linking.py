"""Zero-shot linking at UMLS's size: the nearest of seven million names, exactly; time and memory.

    python -m benchmarks.evaluate.linking [--names 7000000] [--queries 1000] [--model FOLDER]

Random unit vectors stand for the names (three a concept) and lie in a file; queries are names with
noise. Searching is a process of its own: `ours` is balign.embedding.nearest_concepts with the file
mapped, `faiss` is faiss-cpu's IndexFlatIP, which holds the vectors in memory and gives names, of
which we take the concepts. On a part both are compared with brute force: one matrix product and
a full sort. Of the peak, `own MiB` is without the pages of the mapped file, which the system takes
back where it needs memory. With --model the rate of embedding names is measured apart and the
whole derived.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from benchmarks.measure import measure, show

_WIDTH = 384
_A_CONCEPT = 3
_PART = 100_000  # vectors made, or added to FAISS, at once
_BRUTE = 300_000  # names of the part that is compared with brute force
_DEEP = 64  # names asked of FAISS, from which five concepts are taken


def generate(folder: Path, count: int, queries: int) -> None:
    """Write names.npy and queries.npy."""
    rng = np.random.default_rng(13)
    names = np.lib.format.open_memmap(folder / "names.npy", "w+", np.float32, (count, _WIDTH))
    for first in range(0, count, _PART):
        some = rng.standard_normal((min(_PART, count - first), _WIDTH), dtype=np.float32)
        names[first : first + len(some)] = some / np.linalg.norm(some, axis=1, keepdims=True)
    drawn = np.sort(rng.integers(0, count, queries))
    noisy = names[drawn] + 0.05 * rng.standard_normal((queries, _WIDTH), dtype=np.float32)
    np.save(folder / "queries.npy", noisy / np.linalg.norm(noisy, axis=1, keepdims=True))
    np.save(folder / "gold.npy", drawn // _A_CONCEPT)


def search(folder: Path, way: str, count: int) -> None:
    """Find five concepts for each query and write them."""
    names = np.load(folder / "names.npy", mmap_mode="r")[:count]
    queries = np.load(folder / "queries.npy")
    concept_of = np.arange(len(names), dtype=np.int64) // _A_CONCEPT
    own = watch_memory()
    began = time.perf_counter()
    if way == "ours":
        from balign.embedding import nearest_concepts

        found = nearest_concepts(queries, names, concept_of, 5).concepts
    elif way == "faiss":
        import faiss

        index = faiss.IndexFlatIP(_WIDTH)
        for first in range(0, len(names), _PART):
            index.add(np.ascontiguousarray(names[first : first + _PART]))
        _, best = index.search(queries, _DEEP)
        found = five_concepts(concept_of[best])
    else:
        order = np.argsort(-(queries @ names.T), axis=1, kind="stable")[:, :_DEEP]
        found = five_concepts(concept_of[order])
    np.save(folder / f"{way}-{count}.npy", found)
    seconds = time.perf_counter() - began
    (folder / f"{way}-{count}.json").write_text(json.dumps([seconds, own[0]]))


def watch_memory() -> list[float]:
    """Return a list whose only item is kept at the peak of this process's own memory, in MiB."""
    peak = [0.0]

    def watch() -> None:
        while True:
            status = Path("/proc/self/status").read_text()
            kib = int(status.split("RssAnon:")[1].split()[0])
            peak[0] = max(peak[0], kib / 1024)
            time.sleep(0.1)

    threading.Thread(target=watch, daemon=True).start()
    return peak


def five_concepts(concepts: np.ndarray) -> np.ndarray:
    """Return the first five distinct concepts of each row."""
    return np.array([list(dict.fromkeys(row))[:5] for row in concepts.tolist()])


def embedding_rate(model: Path, database: Path | None, count: int) -> float:
    """Return names embedded in a second: names of the graph, or made ones."""
    from balign.embedding import embed_names, load_encoder

    if database:
        import duckdb

        with duckdb.connect(str(database), read_only=True) as graph:
            rows = graph.sql(f"SELECT name FROM atom ORDER BY md5(name) LIMIT {count}").fetchall()
        names = [row[0] for row in rows]
    else:
        names = [f"disorder number {n:x} of the metabolism" for n in range(count)]
    encoder = load_encoder(model)
    embed_names(encoder, names[:100], "names embedded")
    began = time.perf_counter()
    embed_names(encoder, names, "names embedded")
    return len(names) / (time.perf_counter() - began)


def main() -> None:
    """Run the benchmark, or one of its processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--names", type=int, default=7_000_000)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--model", type=Path, help="Encoder, to measure the rate of embedding.")
    parser.add_argument("--database", type=Path, help="kg.duckdb, for real names.")
    parser.add_argument("--embed", type=int, default=5000, help="Names embedded to measure.")
    parser.add_argument("--folder", type=Path, help="Where the vectors go; 10.8 GB for 7 million.")
    parser.add_argument("--no-faiss", action="store_true", help="FAISS wants them all in memory.")
    parser.add_argument("--search", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.search:
        search(options.folder, options.search[0], int(options.search[1]))
        return
    if options.folder:
        options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.folder) as made:
        folder = Path(made)
        generate(folder, options.names, options.queries)
        part = min(_BRUTE, options.names)
        rows = []
        runs = [("brute", part), ("ours", part), ("faiss", part), ("ours", options.names)]
        runs += [] if options.no_faiss else [("faiss", options.names)]
        for way, count in runs:
            command = [sys.executable, "-m", "benchmarks.evaluate.linking", "--folder", str(folder)]
            cost = measure([*command, "--search", way, str(count)], dict(os.environ))
            seconds, own = json.loads((folder / f"{way}-{count}.json").read_text())
            found = np.load(folder / f"{way}-{count}.npy")
            other = np.load(
                folder / (f"brute-{part}.npy" if count == part else f"ours-{count}.npy")
            )
            gold = np.load(folder / "gold.npy")[:, None]
            rows.append(
                (
                    way,
                    count,
                    seconds,
                    options.queries / seconds,
                    cost.peak_mib,
                    own,
                    float((found[:, :1] == gold).mean()),
                    float((found == gold).any(axis=1).mean()),
                    float((found == other).mean()),
                )
            )
        columns = ("search", "names", "seconds", "queries/s", "peak MiB", "own MiB", "Acc@1",
                   "Acc@5", "agree")  # fmt: skip
        show(f"Nearest of N names, {options.queries:,} queries", columns, rows)
        searched = next(row[2] for row in rows if row[:2] == ("ours", options.names))
    if options.model:
        rate = embedding_rate(options.model, options.database, options.embed)
        whole = options.names / rate + searched
        figures = (rate, options.names / rate / 3600, searched / 3600, whole / 3600)
        columns = ("names embedded/s", "all names, h", "search, h", "whole, h (derived)")
        show(f"Linking at {options.names:,} names", columns, [figures])


if __name__ == "__main__":
    main()
