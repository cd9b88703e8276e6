import duckdb
import polars as pl
import pytest

from balign.draw import draw_key
from balign.errors import DataError
from balign.evaluate import linking, linking_held_out, linking_mentions
from balign.evaluate.linking import NAME_SCHEMA, Query, distinct_names, draw_candidates, link
from balign.evaluate.outcome import Run, TaskSkipped, subset_rows
from balign.evaluate.zero_shot_settings import HeldOutLinkingTask, MentionLinkingTask
from balign.sources.manifest import open_source

QUERIES = [
    Query("Heart Attack", ("C001",), subsets=("refined",)),
    Query("heart attack", ("C002",), "D2"),
    Query("asthma", ("C001", "C002")),
    Query("asthma", ()),
    Query("asthma", ("C999",)),
]
CANDIDATES = pl.DataFrame(
    {
        "concept": ["C002", "C001", "C002", "C003"],
        "name": ["mice", "heart attack", "asthma", "heart attack"],
    }
)


def held_out(**values):
    return HeldOutLinkingTask(name="held-out", family="linking_held_out", **values)


def mentions(**values):
    values = {"source": "tiny-corpus", "entity_type": "Disease", **values}
    return MentionLinkingTask(name="mentions", family="linking_mentions", **values)


def test_equal_names_link_to_their_concepts(encoder_folder):
    found = link(encoder_folder, QUERIES, CANDIDATES)
    # C001 and C003 own the same name: the lower concept wins.
    assert found["predicted"].to_list() == ["C001", "C001", "C002", "C002", "C002"]
    assert found["rank"].to_list() == [1, 3, 1, None, None]
    assert found["correct"].to_list() == [True, False, True, False, False]
    assert found["name"][:3].to_list() == ["heart attack", "heart attack", "asthma"]
    assert found["score"][0] == pytest.approx(1)
    assert found["subsets"].to_list() == [["refined"], [], [], [], []]
    assert found["example"].to_list() == [0, 1, 2, 3, 4]


def test_order_of_candidates_does_not_matter(encoder_folder):
    first = link(encoder_folder, QUERIES, CANDIDATES)
    assert link(encoder_folder, QUERIES, CANDIDATES.reverse()).equals(first)


def test_very_many_names_are_mapped_from_a_file(encoder_folder, monkeypatch):
    first = link(encoder_folder, QUERIES, CANDIDATES)
    monkeypatch.setattr(linking, "_NAMES_IN_MEMORY", 2)
    monkeypatch.setattr(linking, "_NAMES_A_BLOCK", 3)
    assert link(encoder_folder, QUERIES, CANDIDATES).equals(first)


def test_word_orders_of_a_name_count_once():
    names = pl.DataFrame(
        [
            ("C1", "Infarction, Myocardial", 2),
            ("C1", "Myocardial infarction", 1),
            ("C1", "myocardial-infarction", 3),
            ("C1", "infarction", 0),
            ("C2", "Infarction, Myocardial", 0),
        ],
        schema=NAME_SCHEMA,
        orient="row",
    )
    assert distinct_names(names).select("concept", "name").rows() == [
        ("C1", "infarction"),
        ("C1", "Myocardial infarction"),
        ("C2", "Infarction, Myocardial"),
    ]


def test_held_out_synonyms(encoder_folder, database):
    outcome = linking_held_out.run(held_out(), Run(encoder_folder, 1, database))
    assert outcome.predictions["query"].to_list() == ["Heart attack, acute", "asthma disease"]
    assert outcome.predictions["gold"].to_list() == [["C001"], ["C002"]]
    # Nothing held out is among the candidates.
    assert outcome.counts == {"candidate_names": 9, "candidate_concepts": 5}


def test_candidates_are_the_right_concepts_names_and_drawn_ones(encoder_folder, database):
    outcome = linking_held_out.run(held_out(candidates=6), Run(encoder_folder, 1, database))
    assert outcome.counts["candidate_names"] == 6
    outcome = linking_held_out.run(held_out(candidates=1), Run(encoder_folder, 1, database))
    assert outcome.counts == {"candidate_names": 4, "candidate_concepts": 2}
    outcome = linking_held_out.run(held_out(candidates=None), Run(encoder_folder, 1, database))
    assert outcome.counts["candidate_names"] == 9


def test_fewer_queries_are_a_draw_that_the_seed_fixes(encoder_folder, database):
    def queries(seed):
        task = held_out(queries=1, seed=seed)
        return linking_held_out.run(task, Run(encoder_folder, 1, database)).predictions["query"][0]

    assert queries(13) == queries(13)
    assert len({queries(seed) for seed in range(12)}) == 2


def test_draw_key():
    assert draw_key(1, "a") == draw_key(1, "a")
    assert len({draw_key(seed, text) for seed in (1, 2) for text in "ab"}) == 4


def test_a_held_out_name_of_two_concepts_is_one_query(encoder_folder, database):
    with duckdb.connect(str(database)) as graph:
        graph.execute(
            "INSERT INTO atom VALUES "
            "('C004', 'asthma disease', 'mesh', '', 'MH', false, 2, true, 0)"
        )
    outcome = linking_held_out.run(held_out(), Run(encoder_folder, 1, database))
    assert outcome.predictions["gold"].to_list() == [["C001"], ["C002", "C004"]]


def test_a_graph_that_holds_nothing_out(encoder_folder, database):
    with duckdb.connect(str(database)) as graph:
        graph.execute("UPDATE atom SET held_out = false")
    with pytest.raises(DataError, match="holds no synonym out"):
        linking_held_out.run(held_out(), Run(encoder_folder, 1, database))


def test_a_file_that_is_no_database(encoder_folder, tmp_path):
    path = tmp_path / "kg.duckdb"
    path.write_text("not a database")
    with pytest.raises(DataError, match="cannot be opened"):
        linking_held_out.run(held_out(), Run(encoder_folder, 1, path))


def test_a_database_without_the_tables(encoder_folder, tmp_path):
    path = tmp_path / "kg.duckdb"
    duckdb.connect(str(path)).close()
    with pytest.raises(DataError, match="lacks a table"):
        linking_held_out.run(held_out(), Run(encoder_folder, 1, path))


def run_mentions(encoder_folder, database, corpus, **values):
    source = open_source(corpus)
    return linking_mentions.run(mentions(**values), Run(encoder_folder, 1, database, (), source))


def test_mentions(encoder_folder, database, corpus):
    outcome = run_mentions(encoder_folder, database, corpus)
    rows = {row["query"]: row for row in outcome.predictions.to_dicts()}
    # Case variants are one mention; the one without an identifier is left out.
    assert list(rows) == [
        "asthma",
        "heart attack",
        "lungs out of order",
        "megrim",
        "rare thing",
        "sick heart attack asthma",
    ]
    assert {name: row["gold"] for name, row in rows.items()} == {
        "asthma": ["C002"],
        "heart attack": ["C001"],
        "lungs out of order": ["C002"],
        "megrim": ["MESH:D3"],  # the id is the concept itself
        "rare thing": [],
        "sick heart attack asthma": ["C001", "C002"],
    }
    assert rows["asthma"]["correct"]
    assert rows["heart attack"]["correct"]
    assert {name: row["subsets"] for name, row in rows.items()} == {
        "asthma": ["single", "covered"],  # in the dictionary
        "heart attack": ["single", "covered"],
        "lungs out of order": ["single", "refined", "covered"],
        "megrim": ["single", "covered"],  # seen in training, in another case
        "rare thing": ["single", "refined", "out_of_dictionary"],  # seen, but as a chemical
        "sick heart attack asthma": ["composite", "refined", "covered"],
    }
    assert outcome.counts == {
        "annotations": 8,
        "annotations_without_identifier": 1,
        "candidate_names": 7,
        "candidate_concepts": 4,
        "queries_not_covered": 1,
    }


def test_candidates_are_in_the_wanted_branches(encoder_folder, database, corpus):
    outcome = run_mentions(encoder_folder, database, corpus, tree_prefixes=("C08",))
    assert outcome.counts["candidate_concepts"] == 1
    assert set(outcome.predictions["predicted"]) == {"C002"}


def test_a_concept_of_two_mesh_ids_is_right_for_both(encoder_folder, database, corpus):
    with duckdb.connect(str(database)) as graph:
        graph.execute("INSERT INTO xref VALUES ('C002', 'MESH:C999')")
    outcome = run_mentions(encoder_folder, database, corpus)
    assert outcome.counts["queries_not_covered"] == 0


@pytest.mark.parametrize("values", [{"entity_type": "Plant"}, {"tree_prefixes": ("Z",)}])
def test_nothing_to_link(encoder_folder, database, corpus, values):
    with pytest.raises(DataError, match="nothing to link"):
        run_mentions(encoder_folder, database, corpus, **values)


def test_a_corpus_without_test_file(encoder_folder, database, skipped_corpus):
    with pytest.raises(DataError, match="expected one file 'test"):
        run_mentions(encoder_folder, database, skipped_corpus)


def test_drawn_candidates_keep_every_name_of_the_gold_and_add_the_same_others():
    rows = [(f"C{one // 2}", f"name {one}", one % 2) for one in range(40)]
    names = pl.DataFrame(rows, schema=NAME_SCHEMA, orient="row")
    drawn = draw_candidates(names, {"C3", "C7"}, 10, seed=1)
    assert len(drawn) == 10
    assert set(names.filter(pl.col("concept").is_in(["C3", "C7"]))["name"]) <= set(drawn["name"])
    again = draw_candidates(names.reverse(), {"C3", "C7"}, 10, seed=1)
    assert set(again["name"]) == set(drawn["name"])
    assert set(draw_candidates(names, {"C3"}, 10, seed=2)["name"]) != set(drawn["name"])
    assert len(draw_candidates(names, {"C3", "C7"}, 2, seed=1)) == 4
    assert len(draw_candidates(names, set(), None, seed=1)) == 40


def test_out_of_dictionary_mentions_are_apart(encoder_folder, database, corpus):
    outcome = linking_mentions.run(
        mentions(), Run(encoder_folder, 1, database, source=open_source(corpus))
    )
    rows = subset_rows(outcome.predictions, "out_of_dictionary")
    assert len(rows) == outcome.counts["queries_not_covered"] == 1
    assert not rows["correct"].any()


def test_supplementary_records_are_in_the_branches_of_their_headings(
    encoder_folder, database, corpus
):
    with duckdb.connect(str(database)) as graph:
        graph.execute("INSERT INTO edge VALUES ('MESH:C999', 'mapped_to', 'C002', 'mesh')")
        graph.execute("INSERT INTO concept VALUES ('MESH:C999', 'rare wheeze', 'mesh')")
        graph.execute(
            "INSERT INTO atom VALUES ('MESH:C999', 'rare wheeze', 'm', '', 'NM', true, 0, false, 0)"
        )
    outcome = linking_mentions.run(
        mentions(), Run(encoder_folder, 1, database, source=open_source(corpus))
    )
    assert subset_rows(outcome.predictions, "out_of_dictionary").is_empty()


NCBI = "9\t0\t9\tmegrim or\tModifier\tD3+OMIM:77\n"


def test_a_corpus_in_a_folder_of_the_user(encoder_folder, database, tmp_path):
    files = {"train": ["a.txt"], "dev": ["b.txt"], "test": ["c.txt"]}
    folder = tmp_path / "own"
    folder.mkdir()
    settings = mentions(source=None, path=str(folder), files=files, entity_type=None,
                             obtain="see the page")  # fmt: skip
    given = Run(model=encoder_folder, seed=1, database=database, folder=folder)
    with pytest.raises(TaskSkipped, match=r"has no c\.txt: see the page"):
        linking_mentions.run(settings, given)
    for name in ("a.txt", "b.txt"):
        (folder / name).write_text("")
    (folder / "c.txt").write_text(NCBI)
    with duckdb.connect(str(database)) as graph:
        graph.execute("INSERT INTO xref VALUES ('C002', 'OMIM:77')")
    outcome = linking_mentions.run(settings, given)
    assert outcome.predictions["gold"].to_list() == [["C002", "MESH:D3"]]
    assert outcome.predictions["identifier"].to_list() == ["D3|OMIM:77"]


def test_pooling_is_the_tasks(encoder_folder, database):
    scores = {
        linking_held_out.run(
            held_out(pooling=pooling), Run(model=encoder_folder, seed=1, database=database)
        ).predictions["score"].sum()
        for pooling in ("mean", "cls", "first_last")
    }  # fmt: skip
    assert len(scores) == 3
