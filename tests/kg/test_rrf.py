from __future__ import annotations

import pytest

from balign.errors import DataError
from balign.kg.release import COLUMNS
from balign.kg.settings import HeldOutSettings, KgSettings, RrfSettings


def settings_for(folder, **rrf) -> KgSettings:
    return KgSettings(
        sources=(),
        rrf=RrfSettings(path=str(folder), **rrf),
        held_out=HeldOutSettings(count=0),
    )


@pytest.fixture
def rrf_graph(write_rrf, built):
    def build(files, **rrf):
        return built([], settings_for(write_rrf(files), **rrf))

    return build


def rows(connection, query):
    return connection.execute(query).fetchall()


def test_text_is_kept_as_it_is(rrf_files, rrf_graph):
    graph = rrf_graph(rrf_files)
    assert rows(graph, "SELECT concept, name FROM atom ORDER BY concept, rank") == [
        ("C0000003", "None"),
        ("C0018681", "Headache"),
        ("C0018681", '"Headache'),
        ("C0018681", "Kephalgia"),
        ("C0018681", "Sjögren pain"),
        ("C0030193", "Pain"),
        ("C0030193", "Head pain entry"),
        ("C0030193", "NA"),
    ]
    assert rows(graph, "SELECT concept, preferred_name, source FROM concept") == [
        ("C0000003", "None", "OTHER"),
        ("C0018681", "Headache", "MSH"),
        ("C0030193", "Pain", "MSH"),
    ]
    assert rows(graph, "SELECT DISTINCT source, restriction FROM atom ORDER BY source") == [
        ("HPO", 0),
        ("MSH", 0),
        ("OTHER", 3),
    ]


def test_edges_read_head_has_relation_to_tail_and_inverses_fold(rrf_files, rrf_graph):
    graph = rrf_graph(rrf_files)
    assert rows(graph, "SELECT head, relation, tail, source FROM edge") == [
        ("C0000003", "RO", "C0030193", "MSH"),
        ("C0000003", "is_a", "C0018681", "MSH"),
        ("C0000003", "treats", "C0030193", "MSH"),
        ("C0018681", "CHD", "C0030193", "MSH"),
    ]


def test_filters_and_counts(rrf_files, rrf_graph, tmp_path):
    import json

    graph = rrf_graph(rrf_files, languages=("ENG", "FRE"), suppress=("N", "O"), sources=("MSH",))
    names = {name for (name,) in rows(graph, "SELECT name FROM atom")}
    assert {"céphalée", "Cephalodynia"} < names
    assert "Kephalgia" not in names
    assert ("Mal de tête.",) in rows(graph, "SELECT definition FROM definition")
    counts = json.loads((tmp_path / "out" / "counts.json").read_text())["rrf"]
    assert counts["MRCONSO"] == {"lines": 11, "rows of other sources": 4}
    assert counts["MRREL"] == {
        "lines": 12,
        "rows of excluded relations": 1,
        "self loops": 1,
        "rows of a concept without a kept name": 7,
        "rows folded into an edge with another row": 1,
    }


def test_types_definitions_and_identifiers(rrf_files, rrf_graph):
    graph = rrf_graph(rrf_files)
    assert rows(graph, "FROM semantic_type") == [("C0018681", "Sign or Symptom", "UMLS")]
    assert rows(graph, "FROM definition") == [("C0018681", "Pain in the head.", "MSH")]
    assert rows(graph, "FROM xref") == [
        ("C0000003", "OTHER:X1"),
        ("C0000003", "UMLS:C0000003"),
        ("C0018681", "HP:0002315"),
        ("C0018681", "MESH:D006261"),  # an entry term of it stands in C0030193
        ("C0018681", "UMLS:C0018681"),
        ("C0030193", "MESH:D010146"),
        ("C0030193", "UMLS:C0030193"),
    ]
    assert rows(graph, "SELECT source, version, restriction FROM source") == [
        ("HPO", "2025-01", 0),
        ("MSH", "2025", 0),
        ("OTHER", "7", 3),
        ("UMLS", "7", 0),
    ]


def test_ontologies_join_the_metathesaurus(rrf_files, write_rrf, manifests, settings, built):
    rrf = RrfSettings(path=str(write_rrf(rrf_files)))
    graph = built(manifests, settings.model_copy(update={"rrf": rrf}))
    code = "SELECT concept FROM atom WHERE code = 'HP:0002315' AND source = 'hpo' LIMIT 1"
    assert rows(graph, code) == [("C0018681",)]
    assert rows(graph, "SELECT preferred_name, source FROM concept WHERE concept = 'C0018681'") == [
        ("Headache", "MSH")
    ]
    ranked = rows(graph, "SELECT name FROM atom WHERE concept = 'C0018681' ORDER BY rank")
    assert ranked[0] == ("Headache",)
    assert ranked[-1] == ("Discomfort of head",)


def test_the_ranks_of_sources_decide_where_the_preferred_form_is_filtered_out(rrf_files, rrf_graph):
    rrf_files["MRRANK"] = "0400|MSH|ET|N|\n0100|HPO|PT|N|\n0090|HPO|SY|N|\n"
    graph = rrf_graph(rrf_files, sources=("HPO",))
    assert rows(graph, "SELECT preferred_name FROM concept") == [("Kephalgia",)]


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("MRCONSO", "a|b|\n", r"2 columns instead of 18"),
        ("MRCONSO", "x|" * 19 + "\n", r"19 columns instead of 18"),
        ("MRREL", "x|" * 15 + "\0|\n", r"a NUL byte"),
        ("MRDEF", "x|" * 7 + "|" + "|\n", r"9 columns instead of 8"),
        (
            "MRSTY",
            "x|" * 5 + "no bar at the end\n",
            r"6 columns instead of 6, each closed by .\|., the last not closed",
        ),
    ],
)
def test_broken_lines_are_named(rrf_files, rrf_graph, name, line, message):
    good = rrf_files[name]
    rrf_files[name] = good + line + good
    number = good.count("\n") + 1
    with pytest.raises(DataError, match=rf"{message}[^\n]*\n.*{name}.RRF, line {number}\n"):
        rrf_graph(rrf_files)


def test_missing_and_surplus_columns_do_not_cancel_out(rrf_files, rrf_graph):
    rrf_files["MRSTY"] += "x|" * 5 + "\n" + "x|" * 7 + "\n"
    with pytest.raises(DataError, match=r"5 columns instead of 6.*\n.*line 3"):
        rrf_graph(rrf_files)


@pytest.mark.parametrize("name", ["MRCONSO", "MRSTY"])
def test_bad_utf8_is_named_in_any_column(rrf_files, write_rrf, built, name):
    folder = write_rrf(rrf_files)
    path = folder / f"{name}.RRF"
    columns = len(COLUMNS[name].split())
    path.write_bytes(path.read_bytes() + b"x|" * (columns - 1) + b"\xff|\n")
    number = rrf_files[name].count("\n") + 1
    with pytest.raises(DataError, match=rf"not UTF-8.*\n.*{name}.RRF, line {number}\n"):
        built([], settings_for(folder))


def test_missing_files_and_wrong_sizes(rrf_files, write_rrf, built):
    folder = write_rrf(rrf_files)
    size = (folder / "MRSTY.RRF").stat().st_size
    listing = "MRSTY.RRF|Types|CUI|6|2|{}|\n"
    (folder / "MRFILES.RRF").write_text(listing.format(size))
    built([], settings_for(folder))
    (folder / "MRFILES.RRF").write_text(listing.format(size + 1))
    with pytest.raises(
        DataError, match=rf"2 lines and {size} bytes instead of the 2 and {size + 1}"
    ):
        built([], settings_for(folder))
    (folder / "MRREL.RRF").unlink()
    with pytest.raises(DataError, match=r"no MRREL\.RRF"):
        built([], settings_for(folder))


def test_relations_read_as_mrdoc_expands_them(rrf_files, rrf_graph):
    rrf_files["MRDOC"] += (
        "RELA|treats|expanded_form|Treats|\nRELA|isa|expanded_form|Is a|\n"
        "REL|CHD|expanded_form|has child relationship in a Metathesaurus source vocabulary|\n"
    )
    graph = rrf_graph(rrf_files)
    assert rows(graph, "SELECT relation, label, edges FROM relation") == [
        ("CHD", "child of", 1),
        ("RO", "related to", 1),
        ("is_a", "is a", 1),
        ("treats", "treats", 1),
    ]


def test_an_edge_of_two_sources_goes_to_the_less_restricted(rrf_files, rrf_graph):
    restricted = rrf_files["MRREL"].replace("|MSH|", "|OTHER|")
    rrf_files["MRREL"] = restricted + rrf_files["MRREL"]
    assert rows(rrf_graph(rrf_files), "SELECT DISTINCT source FROM edge") == [("MSH",)]
    rrf_files["MRREL"] = restricted
    assert rows(rrf_graph(rrf_files), "SELECT DISTINCT source FROM edge") == [("OTHER",)]


def test_a_name_of_two_sources_has_the_lower_level(rrf_files, rrf_graph):
    name = rrf_files["MRCONSO"].splitlines()[1]
    twin = name.replace("|A2|", "|A99|").replace("|MSH|", "|OTHER|")
    rrf_files["MRCONSO"] += twin + "\n"
    found = rows(
        rrf_graph(rrf_files), "SELECT source, restriction FROM atom WHERE name = 'Headache'"
    )
    assert found == [("MSH", 0)]


@pytest.mark.parametrize(
    ("rrf", "concepts"),
    [
        ({"semantic_types": ("Sign or Symptom",)}, ["C0018681"]),
        ({"semantic_types": ("T184",)}, ["C0018681"]),
        ({"semantic_groups": ("DISO",)}, ["C0018681"]),
        ({"semantic_groups": ("CHEM",), "semantic_types": ("T033", "T184")}, ["C0018681"]),
        ({"term_types": ("PT",), "sources": ("HPO",)}, ["C0018681"]),
    ],
)
def test_filters_by_semantic_type_group_and_term_type(rrf_files, rrf_graph, rrf, concepts):
    graph = rrf_graph(rrf_files, **rrf)
    assert [name for (name,) in rows(graph, "SELECT concept FROM concept")] == concepts


def test_degrees_and_hubs_are_counted(rrf_files, rrf_graph, tmp_path):
    import json

    rrf_graph(rrf_files)
    degrees = json.loads((tmp_path / "out" / "counts.json").read_text())["degrees"]
    assert degrees["mean"] == round(2 * 4 / 3, 3)
    assert degrees["largest"] == 3
    assert degrees["hubs"][0] == {"concept": "C0000003", "name": "None", "degree": 3}
    assert degrees["concepts without an edge"] == 0


def test_concept_identifiers_of_another_form_are_an_error(rrf_files, rrf_graph):
    rrf_files["MRCONSO"] = rrf_files["MRCONSO"].replace("C0000003", "X0000003")
    with pytest.raises(DataError, match=r"X0000003.*neither"):
        rrf_graph(rrf_files)
