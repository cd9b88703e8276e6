"""The dictionary against scispaCy's linker, QuickUMLS and a bare Aho-Corasick pass: speed, memory.

    python -m benchmarks.linking.speed --database kg.duckdb \
        --abstracts results/demo/corpus/abstracts/*.parquet \
        --sentences results/demo/corpus/sentences/*.parquet \
        [--peers PYTHON] [--quickumls PYTHON] [--documents 200] [--construction 200]

Names are those of the graph's HPO, MONDO, MeSH and ChEBI, the same for all; the graph must have
these sources. Every contestant is a process of its own. ``dictionary`` links all documents, and
then, as the peers of :mod:`benchmarks.linking.peers` do, a sample of ``--documents`` of them (every
n-th). ``floor`` looks up all names, in small letters, with pyahocorasick in all documents, in small
letters, and throws away what it finds: no borders of words, no choice, no table of mentions.
``scispacy`` is its EntityLinker where the spans cost nothing: the dictionary's, in a blank English
pipeline; ``scispacy pipeline`` runs spaCy's small English model before it, as users run a model of
scispaCy's (none of which is on the package index; they have the same components), and then takes
the same spans.

The time to build and that to link are measured inside each process, without the start of Python;
seconds are processor time of all threads, so that other work on the machine counts little.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.linking.peers import timed

SOURCES = ("hpo", "mondo", "mesh", "chebi")


def prepare(
    database: Path, abstracts: list[Path], sentences: list[Path], documents: int, folder: Path
) -> None:
    """Write kg.duckdb with the chosen names, names, documents, their sample, and sentences."""
    import duckdb
    import polars as pl

    with duckdb.connect(str(folder / "kg.duckdb")) as graph:
        graph.execute(f"ATTACH '{database}' AS old (READ_ONLY)").fetchall()
        listed = ", ".join(f"'{name}'" for name in SOURCES)
        graph.execute(
            f"CREATE TABLE atom AS SELECT * FROM old.atom WHERE source IN ({listed})"
        ).fetchall()
        graph.execute("CREATE TABLE semantic_type AS SELECT * FROM old.semantic_type").fetchall()
        names = graph.sql("SELECT concept, name, rank FROM atom WHERE NOT held_out ORDER BY ALL")
        names.pl().write_parquet(folder / "names.parquet")
    texts = pl.concat([pl.read_parquet(path, columns=["pmid", "text"]) for path in abstracts])
    spans = pl.concat([pl.read_parquet(path) for path in sentences])
    spans = spans.select("pmid", "sentence", "start", "end")
    spans = spans.unique(["pmid", "sentence"]).sort("pmid", "sentence")
    texts = texts.filter(pl.col("pmid").is_in(spans["pmid"].unique().implode()))
    texts = texts.unique("pmid").sort("pmid")
    texts.write_parquet(folder / "documents.parquet")
    sample = texts.gather_every(max(1, len(texts) // documents)).head(documents)
    sample.write_parquet(folder / "sample.parquet")
    spans.write_parquet(folder / "sentences.parquet")


def run_dictionary(folder: Path) -> dict[str, Any]:
    """Build our index, link all documents and the sample, as ``balign linking`` does."""
    import polars as pl

    from balign.linking.backends import build_index, open_linker
    from balign.linking.link import link_documents
    from balign.linking.settings import LinkingSettings

    settings = LinkingSettings()
    index = folder / "index"
    if not index.exists():
        index.mkdir()
        _, build = timed(lambda: build_index("dictionary", folder / "kg.duckdb", settings, index))
        return {"build": build}
    texts = pl.read_parquet(folder / "documents.parquet")
    sample = pl.read_parquet(folder / "sample.parquet")
    spans = pl.read_parquet(folder / "sentences.parquet")
    of_sample = spans.filter(pl.col("pmid").is_in(sample["pmid"].implode()))
    linker = open_linker("dictionary", index, settings)
    (mentions, _), seconds = timed(lambda: link_documents(linker, texts, spans, settings))
    (some, _), of_some = timed(lambda: link_documents(linker, sample, of_sample, settings))
    mentions.write_parquet(folder / "mentions.parquet")
    return {
        "link": seconds,
        "documents": len(texts),
        "mentions": len(mentions),
        "sample": {"link": of_some, "documents": len(sample), "mentions": len(some)},
    }


def run_floor(folder: Path) -> dict[str, Any]:
    """Pass an Aho-Corasick automaton over the texts; check on some that it sees our mentions."""
    import polars as pl

    automaton_of = importlib.import_module("ahocorasick").Automaton
    names = set(pl.read_parquet(folder / "names.parquet")["name"].str.to_lowercase())

    def make() -> Any:
        automaton = automaton_of()
        for name in names:
            automaton.add_word(name, len(name))
        automaton.make_automaton()
        return automaton

    automaton, build = timed(make)
    table = pl.read_parquet(folder / "documents.parquet")
    texts = table["text"].str.to_lowercase().to_list()

    def scan() -> int:
        hits = 0
        for text in texts:
            for _ in automaton.iter(text):
                hits += 1
        return hits

    hits, seconds = timed(scan)
    sample = pl.read_parquet(folder / "sample.parquet")
    ours = pl.read_parquet(folder / "mentions.parquet").filter(
        pl.col("pmid").is_in(sample["pmid"].implode())
    )
    seen = {
        (pmid, end - length + 1, end + 1)
        for pmid, text in sample.iter_rows()
        for end, length in automaton.iter(text.lower())
    }
    same = [
        (pmid, start, end) in seen
        for pmid, start, end, surface in ours.select("pmid", "start", "end", "surface").iter_rows()
        if surface.lower() in names
    ]
    return {
        "build": build,
        "link": seconds,
        "documents": len(texts),
        "mentions": hits,
        "agreement": sum(same) / max(1, len(same)),
    }


RUNS = {"dictionary": run_dictionary, "floor": run_floor}


def _row(name: str, found: dict[str, Any], peak: str) -> list[object]:
    link = found.get("link")
    return [
        name,
        f"{found['build']:,.1f}" if "build" in found else "",
        f"{link:,.2f}" if link else "",
        f"{found['documents'] / link:,.1f}" if link else "",
        found.get("documents", ""),
        found.get("mentions", ""),
        peak,
        f"{100 * found['agreement']:.1f} %" if "agreement" in found else "",
    ]


def _rows(folder: Path, pythons: dict[str, str], construction: int) -> Iterator[list[object]]:
    from benchmarks.measure import measure

    environment = {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    for name in ("dictionary", "dictionary", "floor", "scispacy", "quickumls"):
        if name not in pythons:
            continue
        result = folder / f"{name}.json"
        command = [pythons[name], "-m"]
        command += (
            ["benchmarks.linking.speed", "--run", name]
            if name in RUNS
            else ["benchmarks.linking.peers", name, "--construction", str(construction)]
        )
        try:
            cost = measure(
                [*command, "--folder", str(folder), "--result", str(result)], environment
            )
        except subprocess.CalledProcessError as error:
            yield [name, "failed", f"status {error.returncode}", "", "", "", "", ""]
            continue
        found = json.loads(result.read_text())
        yield _row(name, found, f"{cost.peak_mib:,.0f}")
        if "sample" in found:
            yield _row(f"{name}, sample", found["sample"], "")
        if "link_with_pipeline" in found:
            whole = {"link": found["link_with_pipeline"], "documents": found["documents"]}
            yield _row(f"{name} pipeline", whole, "")


def main() -> None:
    """Run the contestants one after another and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", type=Path)
    parser.add_argument("--abstracts", type=Path, nargs="+", default=[])
    parser.add_argument("--sentences", type=Path, nargs="+", default=[])
    parser.add_argument("--peers", help="Python that has scispacy, spacy and pyahocorasick")
    parser.add_argument("--quickumls", help="Python that has quickumls and a spaCy model")
    parser.add_argument("--documents", type=int, default=200)
    parser.add_argument("--construction", type=int, default=200, help="see the peers' module")
    parser.add_argument("--run", choices=RUNS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help="work folder, kept")
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        arguments.result.write_text(json.dumps(RUNS[arguments.run](arguments.folder)))
        return
    from benchmarks.measure import show

    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        prepare(
            arguments.database, arguments.abstracts, arguments.sentences, arguments.documents,
            folder,
        )  # fmt: skip
        pythons = {"dictionary": sys.executable}
        if arguments.peers:
            pythons |= {"floor": arguments.peers, "scispacy": arguments.peers}
        if arguments.quickumls:
            pythons["quickumls"] = arguments.quickumls
        rows = []
        for row in _rows(folder, pythons, arguments.construction):
            rows.append(row)
            print(row, flush=True)
    columns = ["linker", "build s", "link s", "documents/s", "documents", "mentions", "peak MiB"]
    show("Linkers, processor seconds", [*columns, "agrees with us"], rows)


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    main()
