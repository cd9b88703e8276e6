from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balign.errors import DataError
from balign.kg.branches import branch_types
from balign.kg.hpoa import read_hpoa
from balign.kg.indra_json import read_indra_json
from balign.kg.mesh_table import read_mesh_table, tree_parent
from balign.kg.obo import parse_quoted, parse_synonym, read_obo, unescape
from balign.kg.ontology import Ontology, identifier, relation_name
from balign.kg.readers import read_source, read_sources, retire
from balign.kg.sssom import read_sssom
from balign.sources.manifest import open_source


def _read(function, tmp_path: Path, text: str) -> Ontology:
    path = tmp_path / "file"
    path.write_text(text, encoding="utf-8", newline="")
    return function(path, "test")


def _files(manifest: Path) -> Path:
    return manifest.parent


@pytest.mark.parametrize(
    ("prefix", "local", "expected"),
    [
        ("UMLS_CUI", "C0012634", "UMLS:C0012634"),
        ("UMLS", "CN228161", None),
        ("MSH", "D003920", "MESH:D003920"),
        ("MeSH", "D000086382", "MESH:D000086382"),
        ("MESH", "Q000401", None),
        ("Orphanet", "77", "ORPHA:77"),
        ("ORDO", "77", "ORPHA:77"),
        ("NCI", "C2991", "NCIT:C2991"),
        ("SNOMEDCT_US_2023_03_01", "1", "SNOMEDCT:1"),
        ("SCTID", "1", "SNOMEDCT:1"),
        ("PMID", "1", None),
        ("https", "//x.org", None),
        ("OMIMPS", "1", "OMIMPS:1"),
        ("", "1", None),
    ],
)
def test_identifier_spellings(prefix, local, expected):
    assert identifier(prefix, local) == expected


def test_obo_terms(manifests):
    ontology = read_obo(_files(manifests[0]) / "hp.obo", "hpo")
    headache = [row[1:] for row in ontology.names if row[0] == "HP:0002315"]
    assert headache == [
        ("Headache", "name"),
        ("Headaches", "exact"),
        ('Head ache, "so called"', "exact"),
        ("Discomfort of head", "broad"),
    ]
    assert ontology.definitions == [("HP:0002315", 'Pain "in the head", \\ cephalgia.')]
    assert ontology.xrefs[:2] == [
        ("HP:0002315", "UMLS:C0018681"),
        ("HP:0002315", "SNOMEDCT:25064002"),
    ]
    assert ontology.aliases == {"HP:0000266": "HP:0002315"}
    assert ("HP:0002315", "is_a", "HP:0000118") in ontology.edges
    assert ("HP:0001250", "part_of", "HP:0002315") in ontology.edges
    assert not any("part of" in row for row in ontology.names)  # a Typedef is no term
    assert ontology.dropped == {
        "obsolete names": 2,
        "obsolete terms": 1,
        "xrefs that are no identifiers": 1,
    }


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[Term]\nname: x\n", 1),
        ("[Term]\nid: A:1\nname: x\n\n[Term]\nid: A:1\nname: y\n", 5),
        ('[Term]\nid: A:1\nname: x\nsynonym: "open EXACT []\n', 4),
        ("[Term]\nid: A:1\nname: x\ndef: none\n", 4),
        ("[Term]\nid: A:1\nname: x\nrelationship: part_of\n", 4),
    ],
)
def test_obo_errors_name_the_line(tmp_path, text, line):
    with pytest.raises(DataError, match=rf"file, line {line}\b"):
        _read(read_obo, tmp_path, text)


def test_obo_without_terms_or_not_utf8(tmp_path):
    with pytest.raises(DataError, match="no term"):
        _read(read_obo, tmp_path, "<html></html>")
    path = tmp_path / "latin"
    path.write_bytes("[Term]\nid: A:1\nname: Köln\n".encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8"):
        read_obo(path, "test")


def _escape(text: str) -> str:
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    return text.replace("\n", "\\n").replace("\t", "\\t")


@given(st.text())
def test_obo_quoted_strings_round_trip(text):
    assert unescape(_escape(text)) == text
    assert parse_quoted(f'"{_escape(text)}" [x "y"]') == (text, ' [x "y"]')


@given(
    st.text(),
    st.sampled_from(["EXACT", "NARROW", "BROAD", "RELATED"]),
    st.sampled_from(["", "layperson", "uk_spelling"]),
    st.sampled_from(["", "[]", '[PMID:1 "EXACT"]']),
)
def test_obo_synonyms_round_trip(text, scope, kind, references):
    value = f'"{_escape(text)}" {scope} {kind} {references}'.rstrip()
    assert parse_synonym(value) == (text, scope.lower(), kind)


@given(st.text(max_size=80))
def test_obo_parses_or_says_why(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("obo") / "x.obo"
    path.write_text(f"[Term]\nid: A:1\nname: x\n{text}", encoding="utf-8", errors="replace")
    try:
        assert read_obo(path, "x").names[0] == ("A:1", "x", "name")
    except DataError as error:
        assert str(path) in str(error)


def test_hpoa_keeps_phenotypes_that_are_present(manifests):
    ontology = Ontology("hpo")
    read_hpoa(_files(manifests[0]) / "phenotype.hpoa", ontology)
    assert ontology.edges == [
        ("OMIM:100", "has_phenotype", "HP:0000266"),
        ("ORPHA:77", "has_phenotype", "HP:0001250"),
        ("ORPHA:77", "has_phenotype", "HP:7654321"),
    ]
    assert ontology.names == [
        ("OMIM:100", "Tremor-headache syndrome", "disease_name"),
        ("ORPHA:77", "Unheard-of disease", "disease_name"),
    ]
    assert ontology.dropped == {
        "annotations of aspect I": 1,
        "annotations with the qualifier NOT": 1,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("#x\ndatabase_id\tdisease_name\n", r"no column qualifier.*\n.*line 2"),
        (
            "database_id\tdisease_name\tqualifier\thpo_id\taspect\nOMIM:1\tx\t\tHP:1\n",
            r"4 columns instead of 5\n.*line 2",
        ),
        (
            "database_id\tdisease_name\tqualifier\thpo_id\taspect\nx\tx\t\tHP:1\tP\n",
            r"'x' is no identifier.*\n.*line 2",
        ),
        ("", "no header"),
    ],
)
def test_hpoa_errors(tmp_path, text, message):
    path = tmp_path / "a.hpoa"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_hpoa(path, Ontology("hpo"))


def test_indra_json_adds_prefixes_and_drops_what_is_no_fact(manifests):
    ontology = read_indra_json(_files(manifests[1]) / "mondo.json", "mondo")
    assert [row for row in ontology.names if row[2] == "name"] == [
        ("MONDO:0000001", "disease", "name"),
        ("MONDO:0000100", "tremor headache", "name"),
        ("MONDO:0000200", "leukemia", "name"),
    ]
    assert ontology.edges == [
        ("MONDO:0000100", "is_a", "MONDO:0000001"),
        ("MONDO:0000200", "is_a", "MONDO:0000001"),
    ]
    assert ontology.aliases == {"MONDO:0000201": "MONDO:0000200"}
    assert ontology.xrefs == [
        ("MONDO:0000100", "OMIM:100"),
        ("MONDO:0000100", "UMLS:C1111111"),
        ("MONDO:0000100", "MESH:D000100"),
        ("MONDO:0000100", "SNOMEDCT:42"),
    ]
    assert ontology.dropped == {
        "edges excluded_subClassOf": 1,
        "edges seeAlso": 1,
        "empty names": 1,
        "xrefs that are no identifiers": 1,
    }


def test_indra_json_ids_with_prefix_stay(tmp_path):
    term = {"id": "DOID:4", "name": "disease", "namespace": "doid"}
    old = {"id": "DOID:5", "name": "obsolete thing", "namespace": "doid"}
    ontology = _read(read_indra_json, tmp_path, json.dumps([term, old]))
    assert ontology.names == [("DOID:4", "disease", "name")]
    assert ontology.dropped == {"obsolete terms": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<html>", "not JSON"),
        ("{}", "not a list"),
        ('[{"id": "1", "name": "x", "namespace": "a"}, {"id": "2"}]', "record 2"),
        ("[7]", "record 1"),
    ],
)
def test_indra_json_errors(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        _read(read_indra_json, tmp_path, text)


def test_mesh_descriptors(manifests):
    ontology = read_mesh_table(_files(manifests[2]) / "mesh.tsv", "mesh")
    assert ("MESH:D000100", "Headaches, Tremor", "synonym") in ontology.names
    assert ontology.edges == [("MESH:D000100", "is_a", "MESH:D000200")]
    assert ("MESH:D000200", "MESH_TREE:C23.5") in ontology.types
    assert ("MESH:D000200", "Diseases") in ontology.types
    assert ("MESH:D000045", "Organisms") in ontology.types
    assert ontology.xrefs == [("MESH:D000045", "NCBITAXON:138017")]


def test_mesh_supplementary_records_map_to_headings(tmp_path):
    text = 'C000002\tbevonium\t"an ""odd"" name|other"\tD001561,*D000086382\n'
    ontology = _read(read_mesh_table, tmp_path, text)
    assert [name for _, name, _ in ontology.names] == ["bevonium", 'an "odd" name', "other"]
    assert ontology.edges == [
        ("MESH:C000002", "mapped_to", "MESH:D001561"),
        ("MESH:C000002", "mapped_to", "MESH:D000086382"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("D000001\tx\t\tC01\t\nD000002\ty\t\tC02\n", r"4 columns instead of 5\n.*line 2"),
        ("X1\tx\t\tC01\t\n", r"'X1' is no MeSH id\n.*line 1"),
        ("D000001\tx\t\t\t\nD000001\ty\t\t\t\n", r"given twice\n.*line 2"),
        ("D000001\tx\t\tC01\t\nD000002\ty\t\tC01\t\n", r"tree number C01 is given twice"),
        ("D000001\tx\t\tY01\t\n", "in no category"),
        ("", "no record"),
    ],
)
def test_mesh_errors(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        _read(read_mesh_table, tmp_path, text)


def test_tree_parent_is_the_longest_known_prefix():
    known = {"C10": "a", "C10.228.140": "b", "C10.2": "c"}
    assert tree_parent("C10.228.140.300", known) == "C10.228.140"
    assert tree_parent("C10.228.999", known) == "C10"
    assert tree_parent("C10", known) is None
    assert tree_parent("C1.1", known) is None


def test_sssom_keeps_exact_matches(manifests):
    ontology = read_sssom(_files(manifests[3]) / "map.sssom.tsv", "m")
    assert ontology.exact == [("MONDO:0000200", "UMLS:C0023418")]
    assert ontology.dropped == {"mappings skos:broadMatch": 1}


def test_branches_split_where_one_holds_most():
    ontology = Ontology("x")
    tree = {"all": None, "big": "all", "small": "all", "head": "big", "chest": "big", "ear": "head"}
    for name, parent in tree.items():
        ontology.add_name(f"X:{name}", name, "name")
        if parent:
            ontology.add_edge(f"X:{name}", "is_a", f"X:{parent}")
    ontology.add_edge("X:ear", "is_a", "X:chest")
    assert branch_types(ontology) == [
        ("X:big", "big"),
        ("X:chest", "chest"),
        ("X:ear", "chest"),
        ("X:ear", "head"),
        ("X:head", "head"),
        ("X:small", "small"),
    ]


@pytest.mark.parametrize(
    ("relation", "name"),
    [
        ("RO:0002200", "has_phenotype"),
        ("BFO_0000050", "part_of"),
        ("http://purl.obolibrary.org/obo/RO_0000087", "has_role"),
        ("http://www.ebi.ac.uk/efo/is_executed_in", "is_executed_in"),
        ("part_of", "part_of"),
        ("EFO:0006351", "EFO:0006351"),
    ],
)
def test_relations_given_by_number(relation, name):
    assert relation_name(relation) == name


def _release(source: str, names: dict[str, str], **rows) -> Ontology:
    ontology = Ontology(source, **rows)
    for code, name in names.items():
        ontology.add_name(code, name, "name")
    return ontology


def test_an_older_release_loses_what_the_newer_one_retired():
    new = _release(
        "new",
        {"X:1": "one"},
        retired={"X:2", "X:3", "X:4", "X:5", "X:6"},
        aliases={"X:2": "X:3", "X:3": "X:1", "X:5": "X:6", "X:6": "X:5", "X:9": "X:1"},
    )
    names = {"X:1": "One", "X:2": "two", "X:4": "four", "X:5": "five", "X:9": "nine"}
    old = _release(
        "old",
        names,
        edges=[("X:2", "is_a", "X:9"), ("X:4", "is_a", "X:1"), ("X:1", "is_a", "X:5")],
        xrefs=[("X:2", "UMLS:C0000001"), ("X:4", "UMLS:C0000002")],
        definitions=[("X:4", "gone")],
    )
    retire([new, old])
    # X:9 is a former id of X:1, but no obsolete term: it stays what it is.
    assert [row[:2] for row in old.names] == [("X:1", "One"), ("X:1", "two"), ("X:9", "nine")]
    assert old.edges == [("X:1", "is_a", "X:9")]
    assert old.xrefs == [("X:1", "UMLS:C0000001")]
    assert old.definitions == []
    assert old.dropped == {
        "names of terms that a newer release retired": 2,
        "edges of terms that a newer release retired": 2,
        "xrefs of terms that a newer release retired": 1,
        "definitions of terms that a newer release retired": 1,
    }


def test_precedence_decides_which_release_retires():
    old = _release("old", {"X:1": "one"})
    retire([old, _release("new", {"X:2": "two"}, retired={"X:1"})])
    assert old.names == [("X:1", "one", "name")]


def test_a_source_is_read_by_its_format(manifests, write_source):
    found = read_sources([open_source(manifest) for manifest in manifests])
    assert [ontology.source for ontology in found] == ["hpo", "mondo", "mesh", "mondo-umls"]
    strange = open_source(write_source("strange", "huggingface", {"x": "y"}))
    with pytest.raises(DataError, match="format 'huggingface' is no ontology's"):
        read_source(strange)
    two = open_source(write_source("two", "obo", {"a.obo": "", "b.obo": ""}))
    with pytest.raises(DataError, match=r"2 files \*.obo or \*.obo.gz instead of one"):
        read_source(two)
