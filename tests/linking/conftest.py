from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import duckdb
import polars as pl
import pytest

from balign.linking.backends import linking_index, open_linker
from balign.linking.dictionary_linker import DictionaryLinker
from balign.linking.index import build
from balign.linking.link import link_documents
from balign.linking.mentions import SCHEMA
from balign.linking.settings import DictionarySettings, LinkingSettings

Atom = tuple[str, str, bool, int, bool]  # concept, name, preferred, rank, held_out


@pytest.fixture
def make_database(tmp_path: Path) -> Callable[[Sequence[Atom]], Path]:
    """Write a kg.duckdb that has the table ``atom``, and an empty table of types."""

    def make(atoms: Sequence[Atom]) -> Path:
        path = tmp_path / "kg.duckdb"
        path.unlink(missing_ok=True)
        with duckdb.connect(str(path)) as connection:
            connection.execute(
                "CREATE TABLE atom (concept VARCHAR, name VARCHAR, preferred BOOLEAN, "
                "rank INTEGER, held_out BOOLEAN)"
            ).fetchall()
            connection.execute(
                "CREATE TABLE semantic_type (concept VARCHAR, semantic_type VARCHAR)"
            ).fetchall()
            if atoms:
                connection.executemany("INSERT INTO atom VALUES (?, ?, ?, ?, ?)", list(atoms))
        return path

    return make


@pytest.fixture
def make_index(tmp_path: Path, make_database: Callable[[Sequence[Atom]], Path]):
    """Build an index folder from atoms, through the files."""

    def make(atoms: Sequence[Atom], stop_words: str = "", **settings: object) -> Path:
        stop = tmp_path / "stop_words.txt"
        stop.write_text(stop_words, encoding="utf-8")
        output = tmp_path / "index"
        of_dictionary = DictionarySettings(stop_words=str(stop), **settings)
        linking_index(make_database(atoms), LinkingSettings(dictionary=of_dictionary), output)
        return output

    return make


@pytest.fixture
def make_corpus(tmp_path: Path):
    """Write abstracts and sentences; a citation is a list of sentences, joined by a space."""

    def make(citations: dict[int, list[str]]) -> tuple[Path, Path]:
        texts, spans = [], []
        for pmid, sentences in citations.items():
            texts.append((pmid, " ".join(sentences)))
            start = 0
            for number, sentence in enumerate(sentences):
                spans.append((pmid, number, start, start + len(sentence), "abstract"))
                start += len(sentence) + 1
        abstracts, spans_file = tmp_path / "abstracts.parquet", tmp_path / "sentences.parquet"
        pl.DataFrame(texts, schema={"pmid": pl.Int64, "text": pl.String}, orient="row").sort(
            "pmid"
        ).write_parquet(abstracts)
        schema = {
            "pmid": pl.Int64,
            "sentence": pl.Int32,
            "start": pl.Int32,
            "end": pl.Int32,
            "section": pl.String,
        }
        pl.DataFrame(spans, schema=schema, orient="row").sort("pmid", "sentence").write_parquet(
            spans_file
        )
        return abstracts, spans_file

    return make


@pytest.fixture(scope="session")
def find():
    """Return the (surface, concept) found in a text by a dictionary of name -> concept."""

    def run(
        names: dict[str, str],
        text: str,
        stop_words: Sequence[str] = (),
        sentences: Sequence[tuple[int, int]] | None = None,
        **settings: object,
    ):
        rows = sorted(names.items(), key=lambda row: row[1])
        concepts = pl.DataFrame({"concept": sorted(set(names.values()))}).with_columns(
            pl.col("concept").cast(pl.String), prior=pl.lit(0, pl.UInt8)
        )
        atoms = pl.DataFrame(
            {
                "concept": [concepts["concept"].index_of(concept) for _, concept in rows],
                "name": [name for name, _ in rows],
                "preferred": [True] * len(rows),
                "rank": [0] * len(rows),
            },
            schema={
                "concept": pl.UInt32,
                "name": pl.String,
                "preferred": pl.Boolean,
                "rank": pl.Int32,
            },
        )
        of_dictionary = DictionarySettings(**settings)
        dictionary, _ = build([atoms], concepts, list(stop_words), of_dictionary)
        linker = DictionaryLinker(dictionary, of_dictionary.abbreviations)
        spans = list(sentences) if sentences is not None else [(0, len(text))]
        found = linker.link(
            pl.DataFrame({"pmid": [1], "text": [text]}),
            pl.DataFrame(
                [(1, number, *span) for number, span in enumerate(spans)],
                schema={
                    "pmid": pl.Int64,
                    "sentence": pl.Int32,
                    "start": pl.Int32,
                    "end": pl.Int32,
                },
                orient="row",
            ),
        )
        assert found.equals(found.sort("pmid", "start", "end"))
        for start, end, surface in found.select("start", "end", "surface").iter_rows():
            assert text[start:end] == surface
        return list(found.select("surface", "concept").iter_rows())

    return run


GRAPH = {
    # concept: names by rank, semantic type and its source, other identifiers
    "C0018801": (
        ("Heart failure", "cardiac failure"), ("Disease or Syndrome", "UMLS"), ("MESH:D006333",)
    ),
    "MESH:D001249": (("Asthma", "bronchial asthma"), ("MESH_TREE:C08", "mesh"), ("OMIM:600807",)),
    "MESH:D000068": (("Aspirin", "asthma"), ("MESH_TREE:D02.1", "mesh"), ("CHEBI:15365",)),
    "HGNC:11998": (("TP53 gene",), ("gene", "hgnc"), ("NCBIGENE:7157",)),
}  # fmt: skip


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """Write a kg.duckdb with the tables that the linkers and the counts read."""
    path = tmp_path / "graph.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            """
            CREATE TABLE concept (concept VARCHAR, preferred_name VARCHAR, source VARCHAR);
            CREATE TABLE atom (concept VARCHAR, name VARCHAR, preferred BOOLEAN, rank INTEGER,
                held_out BOOLEAN);
            CREATE TABLE semantic_type (concept VARCHAR, semantic_type VARCHAR, source VARCHAR);
            CREATE TABLE definition (concept VARCHAR, definition VARCHAR, source VARCHAR);
            CREATE TABLE xref (concept VARCHAR, identifier VARCHAR);
            INSERT INTO atom VALUES ('MESH:D001249', 'held out wheeze', false, 9, true);
            """
        )
        for concept, (names, kind, others) in GRAPH.items():
            connection.execute("INSERT INTO concept VALUES (?, ?, 'one')", [concept, names[0]])
            connection.execute("INSERT INTO semantic_type VALUES (?, ?, ?)", [concept, *kind])
            for rank, name in enumerate(names):
                values = [concept, name, rank == 0, rank, False]
                connection.execute("INSERT INTO atom VALUES (?, ?, ?, ?, ?)", values)
            for other in others:
                connection.execute("INSERT INTO xref VALUES (?, ?)", [concept, other])
    return path


@pytest.fixture
def link_with(graph: Path, tmp_path: Path, root: Path):
    """Index the graph with some settings, link some citations, and check the contract."""

    def run(citations: dict[int, list[str]], **settings: object):
        stop = {"stop_words": str(root / "resources/stop_words.txt")}
        wanted = LinkingSettings(**{"dictionary": stop, **settings})
        folder = tmp_path / "index"
        linking_index(graph, wanted, folder)
        linker = open_linker(wanted.backend, folder, wanted)
        texts, spans = [], []
        for pmid, sentences in sorted(citations.items()):
            texts.append((pmid, "\n".join(sentences)))
            start = 0
            for number, sentence in enumerate(sentences):
                spans.append((pmid, number, start, start + len(sentence)))
                start += len(sentence) + 1
        documents = pl.DataFrame(texts, schema={"pmid": pl.Int64, "text": pl.String}, orient="row")
        places = {"pmid": pl.Int64, "sentence": pl.Int32, "start": pl.Int32, "end": pl.Int32}
        sentences = pl.DataFrame(spans, schema=places, orient="row")
        mentions, dropped = link_documents(linker, documents, sentences, wanted)
        assert mentions.schema == SCHEMA
        assert mentions.equals(mentions.sort("pmid", "start", "end"))
        text_of = dict(texts)
        place = {(pmid, number): (start, end) for pmid, number, start, end in spans}
        for row in mentions.iter_rows(named=True):
            assert text_of[row["pmid"]][row["start"] : row["end"]] == row["surface"]
            first, last = place[row["pmid"], row["sentence"]]
            assert first <= row["start"] < row["end"] <= last
        return mentions, {reason: count for reason, count in dropped.items() if count}

    return run
