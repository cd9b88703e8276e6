from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from balign.errors import DataError
from balign.report.examples import (
    draw_neighbourhoods,
    draw_sentences,
    free_names,
    top_concepts,
)
from balign.report.graph import open_graph
from balign.report.overview import read_text


def test_free_names_are_neither_restricted_nor_held_out(make_run) -> None:
    database = make_run().kg / "kg.duckdb"
    names = free_names(database, ["C1", "C2", "C9", "unknown"])
    assert names == {"C1": "Asthma", "C2": "Lung disease"}
    assert free_names(database, []) == {}


def test_drawn_sentences_are_the_text(make_run) -> None:
    run = make_run()
    drawn = draw_sentences(run.corpus, run.linking, run.kg / "kg.duckdb", ["one"], 10, 13)
    texts = {"".join(piece.text for piece in one.pieces) for one in drawn}
    assert texts == {
        "Asthma in children",
        "We saw <script>alert(1)</script> & asthma.",
        "Zebra sign was rare.",
    }
    (zebra,) = [one for one in drawn if one.pieces[0].text == "Zebra"]
    assert (zebra.links[0].concept, zebra.links[0].name) == ("C9", None)


def test_draw_depends_on_the_seed_alone(make_run) -> None:
    run = make_run()

    def draw(seed: int) -> list[str]:
        files = ["one"]
        found = draw_sentences(run.corpus, run.linking, run.kg / "kg.duckdb", files, 1, seed)
        return [one.pieces[0].text for one in found]

    assert draw(1) == draw(1)
    assert len({tuple(draw(seed)) for seed in range(12)}) > 1


def test_overlapping_mentions_of_two_linkers(make_run) -> None:
    run = make_run()
    path = run.linking / "mentions/one.parquet"
    rows = pl.read_parquet(path)
    longer = rows.filter(pl.col("surface") == "Asthma").with_columns(
        end=pl.col("end") + 3, surface=pl.lit("Asthma in"), linker=pl.lit("other")
    )
    pl.concat([rows, longer]).sort("pmid", "start", "end").write_parquet(path)
    drawn = draw_sentences(run.corpus, run.linking, run.kg / "kg.duckdb", ["one"], 10, 13)
    assert "Asthma in children" in {"".join(piece.text for piece in one.pieces) for one in drawn}


def test_wrong_offsets_are_an_error(make_run) -> None:
    run = make_run()
    path = run.linking / "mentions/one.parquet"
    pl.read_parquet(path).with_columns(pl.col("start") + 1, pl.col("end") + 1).write_parquet(path)
    with pytest.raises(DataError, match="not where its offsets say"):
        draw_sentences(run.corpus, run.linking, run.kg / "kg.duckdb", ["one"], 3, 13)


def test_neighbourhoods_read_in_both_directions(make_run) -> None:
    run = make_run()
    drawn = draw_neighbourhoods(open_graph(run.graph), run.kg / "kg.duckdb", 10, 13)
    found = {one.concept: one for one in drawn}
    assert set(found) == {"C1", "C3"}  # C2 is not mentioned, C9 has no free name
    asthma = found["C1"]
    assert [(one.label, one.outward, one.names) for one in asthma.relations] == [
        ("is a", True, ("Lung disease",))
    ]
    assert (asthma.neighbours, asthma.unnamed, asthma.mentions) == (2, 1, 2)
    np.save(run.graph / "mention_count.npy", np.zeros(4, dtype=np.int64))
    drawn = draw_neighbourhoods(open_graph(run.graph), run.kg / "kg.duckdb", 10, 13)
    (disease,) = [one for one in drawn if one.concept == "C2"]
    assert disease.relations[0].outward is False
    assert disease.relations[0].names == ("<script>alert(1)</script>", "Asthma")


def test_top_concepts_keep_to_the_licence(make_run) -> None:
    run = make_run()
    graph = open_graph(run.graph)
    top = top_concepts(graph, graph.mention_count, run.kg / "kg.duckdb", 10)
    assert top == [("Asthma", 2), ("<script>alert(1)</script>", 1), ("C9", 1)]


def test_files_of_an_earlier_run_do_not_count(make_run) -> None:
    run = make_run()
    for folder in (run.corpus / "abstracts", run.corpus / "sentences", run.linking / "mentions"):
        (folder / "old.parquet").write_bytes((folder / "one.parquet").read_bytes())
    facts = read_text(run.corpus, run.linking)
    assert (facts.files, facts.live, facts.sentences, facts.mentions) == (("one",), 1, 3, 4)


def test_graph_that_does_not_fit_is_an_error(make_run) -> None:
    run = make_run()
    np.save(run.graph / "mention_count.npy", np.zeros(3, dtype=np.int64))
    with pytest.raises(DataError, match="do not fit together"):
        open_graph(run.graph)
