"""OBO files as MONDO, DOID, UBERON, GO, ChEBI, NCIt and HPO publish them."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balign.errors import DataError
from balign.kg.obo import read_obo


def read(folder, text, name="x.obo"):
    path = folder / name
    data = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return read_obo(path, "test")


# Stanzas in the shape of each publisher's own.
MONDO = r"""format-version: 1.4
data-version: releases/2026-05-05
subsetdef: gard_rare "GARD rare disease subset"
ontology: mondo

[Term]
id: MONDO:0005068
name: myocardial infarction
def: "Gross necrosis of the myocardium, as a \"result\" of interruption." [DOID:5844, NCIT:C27996]
subset: gard_rare {source="GARD:0007078"}
synonym: "heart attack" EXACT [DOID:5844, NCIT:C27996]
synonym: "MI" EXACT ABBREVIATION [NCIT:C27996]
synonym: "infarct, myocardial" EXACT DEPRECATED [DOID:5844]
synonym: "cardiac event" BROAD [] {http://purl.org/dc/terms/source="x"}
xref: DOID:5844 {source="MONDO:equivalentTo"}
xref: UMLS:C0027051 {source="NCIT:C27996", source="MONDO:equivalentTo", source="DOID:5844"}
xref: MESH:D009203 {source="MONDO:equivalentTo"}
xref: ICD9:410.9 {source="MONDO:relatedTo"}
xref: SCTID:22298006 {source="DOID:5844"}
is_a: MONDO:0003847 {source="DOID:5844", comment="no ! comment"} ! hereditary disease
intersection_of: MONDO:0000001 ! disease
intersection_of: disease_has_location UBERON:0000948 ! heart
relationship: disease_has_feature HP:0001658 {source="x"} ! Myocardial infarction
relationship: RO:0004029 MONDO:0000001 ! by number
property_value: exactMatch http://identifiers.org/mesh/D009203
property_value: skos:exactMatch OMIM:608446
property_value: created_by "someone" xsd:string
property_value: http://purl.org/dc/terms/date "2020-01-01" xsd:dateTime

[Term]
id: MONDO:0000002
name: obsolete old disease
is_obsolete: true
replaced_by: MONDO:0005068

[Term]
id: MONDO:0000003
name: obsolete lost disease
is_obsolete: true {comment="x"}
consider: MONDO:0005068

[Term]
id: HGNC:5

[Typedef]
id: RO:0004029
name: disease has feature of
property_value: x "y" xsd:string

[Instance]
id: x:1
name: no term
"""


def test_mondo(tmp_path):
    ontology = read(tmp_path, MONDO)
    assert ontology.names == [
        ("MONDO:0005068", "myocardial infarction", "name"),
        ("MONDO:0005068", "heart attack", "exact"),
        ("MONDO:0005068", "MI", "exact"),
        ("MONDO:0005068", "cardiac event", "broad"),
    ]
    assert [other for _, other in ontology.exact] == [
        "DOID:5844",
        "UMLS:C0027051",
        "MESH:D009203",
        "OMIM:608446",
    ]
    assert [other for _, other in ontology.xrefs] == ["SNOMEDCT:22298006"]
    assert ontology.edges == [
        ("MONDO:0005068", "is_a", "MONDO:0003847"),
        ("MONDO:0005068", "disease_has_feature", "HP:0001658"),
        ("MONDO:0005068", "disease_has_feature_of", "MONDO:0000001"),
    ]
    assert ontology.definitions[0][1].startswith('Gross necrosis of the myocardium, as a "result"')
    assert ontology.retired == {"MONDO:0000002", "MONDO:0000003"}
    assert ontology.aliases == {"MONDO:0000002": "MONDO:0005068"}
    assert ontology.dropped == {
        "obsolete names": 1,
        "obsolete terms": 2,
        "terms without a name": 1,
        "xrefs that are no equivalents": 1,
        "xrefs that are no identifiers": 1,
    }


NCIT = r"""[Term]
id: NCIT:C27996
name: Myocardial Infarction
def: "Gross necrosis of the myocardium." []
synonym: "Heart Attack" EXACT []
is_a: NCIT:C3388 ! Ischemia
property_value: NCIT:P106 "Disease or Syndrome" xsd:string
property_value: NCIT:P207 "C0027051" xsd:string
property_value: http://purl.obolibrary.org/obo/NCIT_P207 "C2926063" xsd:string
property_value: NCIT:P208 "CL000001" xsd:string
property_value: NCIT:P90 "MI \{a\} \"b\"" xsd:string
"""


def test_ncit_has_cuis_and_semantic_types_in_properties(tmp_path):
    ontology = read(tmp_path, NCIT)
    assert ontology.xrefs == [("NCIT:C27996", "UMLS:C0027051"), ("NCIT:C27996", "UMLS:C2926063")]
    assert ontology.types == [("NCIT:C27996", "Disease or Syndrome")]


CHEBI = r"""[Term]
id: CHEBI:15365
name: acetylsalicylic acid
subset: 3_STAR
alt_id: CHEBI:22188
alt_id: CHEBI:2661
synonym: "2-(acetyloxy)benzoic acid" EXACT IUPAC_NAME [IUPAC]
synonym: "Aspirin" RELATED BRAND_NAME [ChemIDplus]
synonym: "C9H8O4" RELATED FORMULA [ChEBI]
synonym: "CC(=O)Oc1ccccc1C(O)=O" RELATED SMILES [ChEBI]
synonym: "InChI=1S/C9H8O4/c1-6(10)13" RELATED InChI [ChEBI]
xref: CAS:50-78-2 "ChemIDplus"
xref: KEGG COMPOUND:C01405 "x"
xref: Wikipedia:Aspirin
xref: PMID:12345 {source="Europe PMC"}
relationship: RO:0000087 CHEBI:35475 ! non-steroidal
relationship: is_conjugate_acid_of CHEBI:13719
"""


def test_chebi(tmp_path):
    ontology = read(tmp_path, CHEBI)
    assert [name for _, name, _ in ontology.names] == [
        "acetylsalicylic acid",
        "2-(acetyloxy)benzoic acid",
        "Aspirin",
    ]
    assert ontology.xrefs[0] == ("CHEBI:15365", "CAS:50-78-2")
    assert ontology.edges == [
        ("CHEBI:15365", "has_role", "CHEBI:35475"),
        ("CHEBI:15365", "is_conjugate_acid_of", "CHEBI:13719"),
    ]
    assert ontology.aliases == {"CHEBI:22188": "CHEBI:15365", "CHEBI:2661": "CHEBI:15365"}
    assert ontology.dropped["formulas and structures"] == 3


@pytest.mark.parametrize(
    ("xref", "expected"),
    [
        ("UMLS:C0027051", "UMLS:C0027051"),
        ("UMLS_CUI:C0027051", "UMLS:C0027051"),
        ("MESH:D009203", "MESH:D009203"),
        ("MSH:D009203", "MESH:D009203"),
        ("MeSH:D009203 ! Myocardial Infarction", "MESH:D009203"),
        ("SCTID:22298006", "SNOMEDCT:22298006"),
        ("SNOMEDCT_US_2023_03_01:22298006", "SNOMEDCT:22298006"),
        (r"FMA:7088 {source=\"x\"}", "FMA:7088"),
        (r"Fyler:4876 \"a text\" {a=\"b\"}", "FYLER:4876"),
        (r"EMAPA\:16846", "EMAPA:16846"),
        (r"http\://www.x.org/y", None),
        ("ORDO:77", "ORPHA:77"),
        ("plain", None),
        ("", None),
    ],
)
def test_forms_of_xrefs(tmp_path, xref, expected):
    ontology = read(tmp_path, f"[Term]\nid: X:1\nname: x\nxref: {xref}\n")
    assert ontology.xrefs == ([("X:1", expected)] if expected else [])


OLD = r"""[Term]
id: X:1
name: x
exact_synonym: "one" []
narrow_synonym: "two" [A:1]
broad_synonym: "three" []
related_synonym: "four" []
synonym: "five" []
xref_analog: UMLS:C0000001
equivalent_to: Y:1
is_anonymous: false

[Term]
id: X:2
name: y
is_anonymous: true
"""


def test_tags_of_format_1_0(tmp_path):
    ontology = read(tmp_path, OLD)
    assert [(name, kind) for _, name, kind in ontology.names] == [
        ("x", "name"),
        ("five", "related"),
        ("one", "exact"),
        ("two", "narrow"),
        ("three", "broad"),
        ("four", "related"),
    ]
    assert [other for _, other in ontology.xrefs] == ["UMLS:C0000001", "Y:1"]


def test_line_ends_packing_and_a_missing_last_newline(tmp_path):
    plain = read(tmp_path, MONDO.rstrip("\n"))
    windows = read(tmp_path, MONDO.replace("\n", "\r\n"))
    packed = read(tmp_path, MONDO, "x.obo.gz")
    assert plain.names == windows.names == packed.names
    assert plain.edges == windows.edges == packed.edges
    folded = read(tmp_path, '[Term]\nid: X:1\nname: x\ndef: "one \\\n  two" []\n')
    assert folded.definitions == [("X:1", "one two")]


def test_errors_name_the_line(tmp_path):
    for text, line, what in (
        ("[Term]\nid: A:1\nname: x\nis_a: ! nothing\n", 4, "identifier is missing"),
        ("[Term]\nid: A:1\nname: x\nproperty_value: alone\n", 4, "property and a value"),
        ("[Term]\nid: A:1\nname: x\nrelationship: part_of ! x\n", 4, "a relation and an id"),
        (b"[Term]\nid: A:1\nname: K\xf6ln\n", 3, "not UTF-8"),
    ):
        with pytest.raises(DataError, match=what) as caught:
            read(tmp_path, text)
        assert f"x.obo, line {line}" in str(caught.value)


def test_a_cut_or_damaged_archive(tmp_path):
    whole = gzip.compress(MONDO.encode())
    for data in (whole[:-6], whole[: len(whole) // 2], b"no gzip"):
        path = tmp_path / "x.obo.gz"
        path.write_bytes(data)
        with pytest.raises(DataError, match="cannot be read to its end"):
            read_obo(path, "test")
    with pytest.raises(DataError, match="No such file"):
        read_obo(tmp_path / "none.obo", "test")


WORD = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=1, max_size=8)
TEXT = st.lists(WORD, min_size=1, max_size=4).map(" ".join).filter(str.strip)


def escape(text):
    return text.replace("\\", "\\\\").replace('"', '\\"')


@given(
    terms=st.lists(
        st.tuples(
            TEXT, st.lists(st.tuples(TEXT, st.sampled_from(["EXACT", "NARROW"])), max_size=3)
        ),
        min_size=1,
        max_size=4,
    ),
    ending=st.sampled_from(["\n", "\r\n"]),
)
def test_whatever_is_written_is_read(tmp_path_factory, terms, ending):
    lines, expected = [], []
    for number, (definition, synonyms) in enumerate(terms):
        lines += ["[Term]", f"id: X:{number} ! comment", f"name: name {number}"]
        lines += [f'def: "{escape(definition)}" [A:1 "x, \\"y"] {{a="b"}} ! hidden', ""]
        for text, scope in synonyms:
            lines.append(f'synonym: "{escape(text)}" {scope} [A:1]')
            expected.append((f"X:{number}", " ".join(text.split()), scope.lower()))
    ontology = read(tmp_path_factory.mktemp("obo"), ending.join(lines))
    words = [" ".join(definition.split()) for definition, _ in terms]
    assert [text for _, text in ontology.definitions] == words
    kept = [row for row in expected if not row[1].casefold().startswith("obsolete")]
    assert [row for row in ontology.names if row[2] != "name"] == kept
