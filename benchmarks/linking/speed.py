"""The dictionary against scispaCy's linker, QuickUMLS and a bare Aho-Corasick pass: speed, memory.

    python -m benchmarks.linking.speed --database kg.duckdb \
        --abstracts results/demo/corpus/abstracts/*.parquet \
        --sentences results/demo/corpus/sentences/*.parquet \
        [--peers PYTHON] [--quickumls PYTHON] [--documents 200] [--concepts N]

Names are those of the graph's HPO, MONDO, MeSH and ChEBI; the graph must have these sources. Every
contestant is a process of its own on one core. ``floor`` looks up all names, in small letters, with
pyahocorasick in the same texts, in small letters, and throws away what it finds: no borders of
words, no choice, no table of mentions. ``scispacy`` is its EntityLinker over a KnowledgeBase and a
TF-IDF index of the same names, in a blank English pipeline whose entities are the dictionary's spans (no
model that finds biomedical spans can be installed from the package index); it and ``quickumls`` get
the first ``--documents`` documents. ``--concepts`` gives these two the names of every n-th concept
alone, which favours them: scispaCy takes hours to build an index of all.

The time to build and that to link are measured inside each process, without the start of Python;
seconds are processor time, so that other work on the machine counts little.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SOURCES = ("hpo", "mondo", "mesh", "chebi")


def prepare(
    database: Path, abstracts: list[Path], sentences: list[Path], every: int, folder: Path
) -> None:
    """Write kg.duckdb with the chosen names, documents.parquet and sentences.parquet."""
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
        some = graph.sql(
            "SELECT concept, name, rank FROM atom WHERE NOT held_out "
            f"AND hash(concept) % {every} = 0 ORDER BY ALL"
        )
        some.pl().write_parquet(folder / "some_names.parquet")
    texts = pl.concat([pl.read_parquet(path, columns=["pmid", "text"]) for path in abstracts])
    spans = pl.concat([pl.read_parquet(path) for path in sentences])
    spans = spans.select("pmid", "sentence", "start", "end")
    spans = spans.unique(["pmid", "sentence"]).sort("pmid", "sentence")
    texts = texts.filter(pl.col("pmid").is_in(spans["pmid"].unique().implode()))
    texts.unique("pmid").sort("pmid").write_parquet(folder / "documents.parquet")
    spans.write_parquet(folder / "sentences.parquet")


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    began = time.process_time()
    found = call()
    return found, time.process_time() - began


def run_dictionary(folder: Path, documents: int) -> dict[str, Any]:
    """Build our index and link all documents, as ``balign linking`` does."""
    import polars as pl

    from balign.linking.backends import build_index, open_linker
    from balign.linking.link import link_documents
    from balign.linking.settings import LinkingSettings

    settings = LinkingSettings()
    index = folder / "index"
    if not index.exists():
        index.mkdir()
        _, build = _timed(lambda: build_index("dictionary", folder / "kg.duckdb", settings, index))
        return {"build": build, "bytes": sum(path.stat().st_size for path in index.iterdir())}
    texts = pl.read_parquet(folder / "documents.parquet")
    spans = pl.read_parquet(folder / "sentences.parquet")
    linker = open_linker("dictionary", index, settings)
    (mentions, _), seconds = _timed(lambda: link_documents(linker, texts, spans, settings))
    mentions.write_parquet(folder / "mentions.parquet")
    return {"link": seconds, "documents": len(texts), "mentions": len(mentions)}


def run_floor(folder: Path, documents: int) -> dict[str, Any]:
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

    automaton, build = _timed(make)
    table = pl.read_parquet(folder / "documents.parquet")
    texts = table["text"].str.to_lowercase().to_list()

    def scan() -> int:
        hits = 0
        for text in texts:
            for _ in automaton.iter(text):
                hits += 1
        return hits

    hits, seconds = _timed(scan)
    ours = pl.read_parquet(folder / "mentions.parquet").filter(
        pl.col("pmid").is_in(table["pmid"].head(documents).implode())
    )
    seen = {
        (pmid, end - length + 1, end + 1)
        for pmid, text in zip(table["pmid"].head(documents), texts, strict=False)
        for end, length in automaton.iter(text)
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


def run_scispacy(folder: Path, documents: int) -> dict[str, Any]:
    """Build scispaCy's index of the names and run its EntityLinker over our spans."""
    import polars as pl

    spacy = importlib.import_module("spacy")
    generation = importlib.import_module("scispacy.candidate_generation")
    linking = importlib.import_module("scispacy.linking")
    knowledge = importlib.import_module("scispacy.linking_utils")
    names = pl.read_parquet(folder / "some_names.parquet").sort("concept", "rank")
    known = set(names["concept"])
    with (folder / "kb.jsonl").open("w") as handle:
        for concept, group in names.group_by("concept", maintain_order=True):
            row = {
                "concept_id": concept[0],
                "canonical_name": group["name"][0],
                "aliases": group["name"].to_list(),
                "types": [],
            }
            handle.write(json.dumps(row) + "\n")
    base = knowledge.KnowledgeBase(str(folder / "kb.jsonl"))
    # It refuses to build where it could not save half floats (scipy from 1.11 on, that is Python
    # 3.11); nothing is saved here.
    generation.scipy_supports_sparse_float16 = lambda: True
    (aliases, vectorizer, index), build = _timed(
        lambda: generation.create_tfidf_ann_index(None, base)
    )
    generator = generation.CandidateGenerator(index, vectorizer, aliases, base)
    pipeline = spacy.blank("en")
    linker = linking.EntityLinker(pipeline, candidate_generator=generator)
    texts = pl.read_parquet(folder / "documents.parquet").head(documents)
    ours = pl.read_parquet(folder / "mentions.parquet").filter(
        pl.col("pmid").is_in(texts["pmid"].implode())
    )
    spans: dict[int, list[tuple[int, int, str]]] = {}
    for pmid, start, end, concept in ours.select("pmid", "start", "end", "concept").iter_rows():
        spans.setdefault(pmid, []).append((start, end, concept))

    def link() -> list[tuple[str, str | None]]:
        pairs = []
        for pmid, text in texts.iter_rows():
            doc = pipeline(text)
            made = [
                (doc.char_span(a, b, label="E", alignment_mode="expand"), c)
                for a, b, c in spans.get(pmid, ())
            ]
            ents = spacy.util.filter_spans([span for span, _ in made])
            doc.set_ents(ents)
            linker(doc)
            wanted = {(span.start, span.end): concept for span, concept in made}
            for ent in doc.ents:
                best = ent._.kb_ents[0][0] if ent._.kb_ents else None
                pairs.append((wanted[ent.start, ent.end], best))
        return pairs

    pairs, seconds = _timed(link)
    return {
        "build": build,
        "link": seconds,
        "documents": len(texts),
        "mentions": len(pairs),
        "agreement": sum(a == b for a, b in pairs if a in known)
        / max(1, sum(a in known for a, _ in pairs)),
    }


def run_quickumls(folder: Path, documents: int) -> dict[str, Any]:
    """Install the names as a UMLS release into QuickUMLS and match with its default settings."""
    import polars as pl

    release, installed = folder / "META", folder / "quickumls"
    release.mkdir(exist_ok=True)
    names = pl.read_parquet(folder / "some_names.parquet")
    numbers = {one: f"C{i:07d}" for i, one in enumerate(names["concept"].unique().sort())}
    rows = [
        f"{numbers[concept]}|ENG|P||PF||Y||||||MSH|PT||{name}|0|N||\n"
        for concept, name, _ in names.iter_rows()
    ]
    (release / "MRCONSO.RRF").write_text("".join(rows))
    types = "".join(f"{one}|T047|||||\n" for one in numbers.values())
    (release / "MRSTY.RRF").write_text(types)
    command = [sys.executable, "-m", "quickumls.install", str(release), str(installed), "-L"]
    began = time.monotonic()
    subprocess.run([*command, "-E", "unqlite"], check=True, stdout=subprocess.DEVNULL)
    build = time.monotonic() - began
    matcher = importlib.import_module("quickumls").QuickUMLS(str(installed))
    texts = pl.read_parquet(folder / "documents.parquet").head(documents)["text"].to_list()
    found, seconds = _timed(lambda: sum(len(matcher.match(text)) for text in texts))
    return {"build": build, "link": seconds, "documents": len(texts), "mentions": found}


RUNS = {
    "dictionary": run_dictionary,
    "floor": run_floor,
    "scispacy": run_scispacy,
    "quickumls": run_quickumls,
}


def _rows(folder: Path, pythons: dict[str, str], documents: int) -> Iterator[list[object]]:
    from benchmarks.measure import measure

    environment = {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "NMSLIB_THREADS": "1"}
    for name in ("dictionary", "dictionary", *(one for one in RUNS if one != "dictionary")):
        if name not in pythons:
            continue
        result = folder / f"{name}.json"
        command = [pythons[name], "-m", "benchmarks.linking.speed", "--run", name]
        command += ["--folder", str(folder), "--documents", str(documents)]
        try:
            cost = measure([*command, "--result", str(result)], environment)
        except subprocess.CalledProcessError as error:
            yield [name, "failed", f"status {error.returncode}", "", "", "", ""]
            continue
        found = json.loads(result.read_text())
        linked = "link" in found
        row: list[object] = [name + (" link" if name == "dictionary" and linked else "")]
        row.append(f"{found['build']:.1f}" if "build" in found else "")
        row += (
            [f"{found['link']:.2f}", f"{found['documents'] / found['link']:,.1f}"]
            if linked
            else [
                "",
                "",
            ]
        )
        row += [found.get("documents", ""), found.get("mentions", ""), f"{cost.peak_mib:,.0f}"]
        row.append(f"{100 * found['agreement']:.1f} %" if "agreement" in found else "")
        yield row


def main() -> None:
    """Run the contestants one after another and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", type=Path)
    parser.add_argument("--abstracts", type=Path, nargs="+", default=[])
    parser.add_argument("--sentences", type=Path, nargs="+", default=[])
    parser.add_argument("--peers", help="Python that has scispacy, spacy and pyahocorasick")
    parser.add_argument("--quickumls", help="Python that has quickumls and a spaCy model")
    parser.add_argument("--documents", type=int, default=200)
    parser.add_argument("--concepts", type=int, default=1, help="take every n-th concept")
    parser.add_argument("--run", choices=RUNS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help="work folder, kept")
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        found = RUNS[arguments.run](arguments.folder, arguments.documents)
        arguments.result.write_text(json.dumps(found))
        return
    from benchmarks.measure import show

    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        prepare(
            arguments.database, arguments.abstracts, arguments.sentences, arguments.concepts, folder
        )
        pythons = {"dictionary": sys.executable}
        if arguments.peers:
            pythons |= {"floor": arguments.peers, "scispacy": arguments.peers}
        if arguments.quickumls:
            pythons["quickumls"] = arguments.quickumls
        rows = []
        for row in _rows(folder, pythons, arguments.documents):
            rows.append(row)
            print(row, flush=True)
    columns = ["linker", "build s", "link s", "documents/s", "documents", "mentions", "peak MiB"]
    show("Linkers, processor seconds", [*columns, "agrees with us"], rows)


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    main()
