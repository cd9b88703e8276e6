"""A tiny graph, a tiny corpus and tiny citations, all written by hand."""

import json

import duckdb
import polars as pl
import pytest

ATOMS = [
    # concept, name, rank, held_out
    ("C001", "heart attack", 0, False),
    ("C001", "myocardial infarction", 1, False),
    ("C001", "Heart attack, acute", 2, True),
    ("C002", "asthma", 0, False),
    ("C002", "bronchial asthma", 1, False),
    ("C002", "asthma disease", 2, True),
    ("MESH:D3", "migraine", 0, False),
    ("MESH:D3", "sick headache", 1, False),
    ("C004", "water", 0, False),
    ("C004", "dihydrogen oxide", 1, False),
    ("C005", "shared synonym", 0, False),
]
TREES = [("C001", "C14.1"), ("C001", "C14.2"), ("C002", "C08.1"), ("MESH:D3", "C10.1"),
         ("C004", "D01.1"), ("C005", "F03.1")]  # fmt: skip

EDGES = [
    ("C001", "is_a", "C005"),
    ("C002", "is_a", "C005"),
    ("C004", "may_treat", "C002"),
]


@pytest.fixture
def database(tmp_path):
    """kg.duckdb with the tables that evaluation reads."""
    path = tmp_path / "kg.duckdb"
    with duckdb.connect(str(path)) as graph:
        graph.execute("CREATE TABLE concept (concept TEXT, preferred_name TEXT, source TEXT)")
        graph.execute(
            "CREATE TABLE atom (concept TEXT, name TEXT, source TEXT, code TEXT, term_type TEXT, "
            "preferred BOOLEAN, rank INTEGER, held_out BOOLEAN, restriction INTEGER)"
        )
        graph.execute("CREATE TABLE semantic_type (concept TEXT, semantic_type TEXT, source TEXT)")
        graph.execute("CREATE TABLE edge (head TEXT, relation TEXT, tail TEXT, source TEXT)")
        graph.execute("CREATE TABLE relation (relation TEXT, label TEXT, edges INTEGER)")
        graph.executemany("INSERT INTO edge VALUES (?, ?, ?, 'mesh')", EDGES)
        for name in ("is_a", "may_treat"):
            graph.execute("INSERT INTO relation VALUES (?, ?, 1)", [name, name.replace("_", " ")])
        graph.execute("CREATE TABLE xref (concept TEXT, identifier TEXT)")
        for concept, name, rank, held_out in ATOMS:
            graph.execute(
                "INSERT INTO atom VALUES (?, ?, 'mesh', '', 'MH', ?, ?, ?, 0)",
                [concept, name, rank == 0, rank, held_out],
            )
            if rank == 0:
                graph.execute("INSERT INTO concept VALUES (?, ?, 'mesh')", [concept, name])
        for concept, tree in TREES:
            graph.execute("INSERT INTO semantic_type VALUES (?, ?, 'mesh')",
                          [concept, f"MESH_TREE:{tree}"])  # fmt: skip
        for concept, code in [("C001", "D1"), ("C002", "D2"), ("C004", "D4"), ("C005", "D5")]:
            graph.execute("INSERT INTO xref VALUES (?, ?)", [concept, f"MESH:{code}"])
        graph.execute("INSERT INTO xref VALUES ('C001', 'HP:0001658')")
    return path


TEST_CORPUS = """\
1|t|Heart attack and water.
1|a|Of Asthma | a|t|trap.
1\t0\t12\tHeart attack\tDisease\tD1
1\t17\t22\twater\tChemical\tD4
1\t27\t33\tAsthma\tDisease\tD2
1\t27\t33\tasthma\tDisease\tD2
1\t40\t44\tsick\tDisease\t-1
1\tCID\tD4\tD1

2|t|More
2|a|
2\t0\t22\tsick heart attack asthma\tDisease\tD1|D2\tsick heart attack|asthma
2\t5\t9\tlungs out of order\tDisease\tD2
2\t5\t9\trare thing\tDisease\tC999
2\t5\t9\tmegrim\tDisease\tD3
"""


def write_manifest(folder, status="ok", reason=None):
    """Write MANIFEST.json over the files of a folder."""
    names = sorted(path.name for path in folder.iterdir()) if status == "ok" else []
    files = {name: {"sha256": "0" * 64, "bytes": 1, "place": "here"} for name in names}
    values = {"name": folder.name, "version": "1", "format": "pubtator", "licence": "none",
              "homepage": "", "status": status, "reason": reason, "files": files}  # fmt: skip
    path = folder / "MANIFEST.json"
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


@pytest.fixture
def corpus(tmp_path):
    """A fetched PubTator corpus; returns its manifest."""
    folder = tmp_path / "tiny-corpus"
    folder.mkdir()
    (folder / "test_corpus.txt").write_text(TEST_CORPUS, encoding="utf-8")
    (folder / "train_corpus.txt").write_text("3\t0\t6\tMegrim\tDisease\tD3\n", encoding="utf-8")
    (folder / "dev_corpus.txt").write_text("4\t0\t6\trare thing\tChemical\t-1\n", encoding="utf-8")
    return write_manifest(folder)


@pytest.fixture
def skipped_corpus(tmp_path):
    """An optional corpus that could not be had; returns its manifest."""
    folder = tmp_path / "absent-corpus"
    folder.mkdir()
    return write_manifest(folder, "skipped", "no place answered")


def citation(pmid, tags, text, abstract="..."):
    """One row of abstracts/*.parquet, as far as evaluation reads it."""
    mesh = [{"ui": "D0", "name": tag, "major": False, "qualifiers": ["x"]} for tag in tags]
    return {"pmid": pmid, "text": text, "abstract": abstract, "mesh": mesh}


@pytest.fixture
def abstracts(tmp_path):
    """Two files of citations whose check tags follow from one word of the text."""
    kinds = [
        (["Humans", "Female", "Liver"], "the women were"),
        (["Humans", "Child"], "the children had"),
        (["Animals", "Mice"], "the mice ran"),
    ]
    rows = [citation(pmid, *kinds[pmid % 3]) for pmid in range(1, 241)]
    rows += [citation(900, [], "no headings"), citation(901, ["Humans"], "title only", None)]
    rows += [citation(902, ["Cats"], "a rare tag")]
    files = []
    for number in range(2):
        path = tmp_path / f"part{number}.parquet"
        pl.DataFrame(rows[number::2]).write_parquet(path)
        files.append(path)
    return files
