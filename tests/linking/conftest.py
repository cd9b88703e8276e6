from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import duckdb
import polars as pl
import pytest

from balign.linking.dictionary import Dictionary
from balign.linking.index import build, linking_index
from balign.linking.link import find_mentions
from balign.linking.settings import LinkingSettings

Atom = tuple[str, str, bool, int, bool]  # concept, name, preferred, rank, held_out


@pytest.fixture
def make_database(tmp_path: Path) -> Callable[[Sequence[Atom]], Path]:
    """Write a kg.duckdb that has the table ``atom`` alone."""

    def make(atoms: Sequence[Atom]) -> Path:
        path = tmp_path / "kg.duckdb"
        path.unlink(missing_ok=True)
        with duckdb.connect(str(path)) as connection:
            connection.execute(
                "CREATE TABLE atom (concept VARCHAR, name VARCHAR, preferred BOOLEAN, "
                "rank INTEGER, held_out BOOLEAN)"
            ).fetchall()
            if atoms:
                connection.executemany("INSERT INTO atom VALUES (?, ?, ?, ?, ?)", list(atoms))
        return path

    return make


@pytest.fixture
def make_index(tmp_path: Path, make_database: Callable[[Sequence[Atom]], Path]):
    """Build an index folder from atoms, through the files."""

    def make(atoms: Sequence[Atom], stop_words: str = "", **settings: int) -> Path:
        stop = tmp_path / "stop_words.txt"
        stop.write_text(stop_words, encoding="utf-8")
        output = tmp_path / "index"
        linking_index(
            make_database(atoms), LinkingSettings(stop_words=str(stop), **settings), output
        )
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

    def run(names: dict[str, str], text: str, stop_words: Sequence[str] = (), **limits: int):
        atoms = pl.DataFrame(
            [(concept, name, True, 0) for name, concept in names.items()],
            schema={
                "concept": pl.String,
                "name": pl.String,
                "preferred": pl.Boolean,
                "rank": pl.Int32,
            },
            orient="row",
        )
        index = build(
            atoms,
            list(stop_words),
            limits.get("min_characters", 3),
            limits.get("max_tokens", 12),
        )
        dictionary = Dictionary(
            index.vocabulary,
            index.edges,
            index.concept,
            index.sharing,
            index.concepts,
            limits.get("max_tokens", 12),
        )
        sentences = pl.DataFrame(
            {"pmid": [1], "sentence": [0], "start": [0], "text": [text]},
            schema_overrides={"sentence": pl.Int32, "start": pl.Int32},
        )
        found = find_mentions(dictionary, sentences)
        for start, end, surface in found.select("start", "end", "surface").iter_rows():
            assert text[start:end] == surface
        return list(found.select("surface", "concept").iter_rows())

    return run
