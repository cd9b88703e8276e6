"""MeSH in XML, in NLM's shape; and poisoned."""

import gzip

import pytest

from balign.errors import DataError
from balign.kg.mesh_xml import read_mesh_xml

DTD = (
    '<?xml version="1.0"?>\n<!DOCTYPE DescriptorRecordSet SYSTEM '
    '"https://www.nlm.nih.gov/databases/dtd/nlmdescriptorrecordset_20260101.dtd">\n'
)


def term(text, permuted="N"):
    return f'<Term IsPermutedTermYN="{permuted}"><TermUI>T1</TermUI><String>{text}</String></Term>'


def concept(ui, terms, preferred="N", more=""):
    return (
        f'<Concept PreferredConceptYN="{preferred}"><ConceptUI>{ui}</ConceptUI>{more}'
        f"<TermList>{''.join(terms)}</TermList></Concept>"
    )


def relation(name, other):
    return (
        f'<ConceptRelation RelationName="{name}"><Concept1UI>M1</Concept1UI>'
        f"<Concept2UI>{other}</Concept2UI></ConceptRelation>"
    )


def descriptor(ui, name, inside):
    return (
        f'<DescriptorRecord DescriptorClass="1">\n<DescriptorUI>{ui}</DescriptorUI>'
        f"<DescriptorName><String>{name}</String></DescriptorName>"
        "<AllowableQualifiersList><AllowableQualifier><QualifierReferredTo><QualifierUI>Q000000981"
        "</QualifierUI><QualifierName><String>imaging</String></QualifierName>"
        f"</QualifierReferredTo></AllowableQualifier></AllowableQualifiersList>{inside}"
        "</DescriptorRecord>\n"
    )


def trees(*numbers):
    inside = "".join(f"<TreeNumber>{number}</TreeNumber>" for number in numbers)
    return f"<TreeNumberList>{inside}</TreeNumberList>"


ASPIRIN = descriptor(
    "D001241",
    "Aspirin",
    "<PharmacologicalActionList><PharmacologicalAction><DescriptorReferredTo><DescriptorUI>D000894"
    "</DescriptorUI><DescriptorName><String>x</String></DescriptorName></DescriptorReferredTo>"
    "</PharmacologicalAction></PharmacologicalActionList>"
    + trees("D02.455.426", "D02.241")
    + "<ConceptList>"
    + concept(
        "M1",
        [term("Aspirin"), term("Acetylsalicylic Acid &amp; co"), term("Acid, Acetyl", "Y")],
        "Y",
        "<RegistryNumberList><RegistryNumber>R16CO5Y76E</RegistryNumber><RegistryNumber>50-78-2"
        "</RegistryNumber><RegistryNumber>0</RegistryNumber><RegistryNumber>EC 1.1.1.1"
        "</RegistryNumber><RegistryNumber>txid9606</RegistryNumber></RegistryNumberList>"
        "<ScopeNote>The prototypical\n    analgesic. </ScopeNote><ConceptRelationList>"
        + relation("NRW", "M2")
        + relation("BRD", "M3")
        + "</ConceptRelationList>",
    )
    + concept("M2", [term("Colfarit"), term("Aspirin, lysine", "Y")])
    + concept("M3", [term("Salicylates")])
    + concept("M4", [term("Acylpyrin")])
    + "</ConceptList>",
)
ACIDS = descriptor("D000894", "Anti-Inflammatory Agents", trees("D02.241.1", "D02"))
DESC = f'{DTD}<DescriptorRecordSet LanguageCode="eng">\n{ASPIRIN}{ACIDS}</DescriptorRecordSet>'

SUPP = """<?xml version="1.0"?>
<SupplementalRecordSet LanguageCode="eng">
<SupplementalRecord SCRClass="1"><SupplementalRecordUI>C000002</SupplementalRecordUI>
<SupplementalRecordName><String>bevonium</String></SupplementalRecordName>
<Note>structure given in first source</Note><HeadingMappedToList><HeadingMappedTo>
<DescriptorReferredTo><DescriptorUI>*D001561</DescriptorUI><DescriptorName><String>Benzilates
</String></DescriptorName></DescriptorReferredTo><QualifierReferredTo><QualifierUI>*Q000031
</QualifierUI></QualifierReferredTo></HeadingMappedTo></HeadingMappedToList><ConceptList>
<Concept PreferredConceptYN="Y"><ConceptUI>M1</ConceptUI><RegistryNumber>34B0471E08</RegistryNumber>
<TermList><Term><String>bevonium</String></Term><Term><String>bevonium bromide</String></Term>
</TermList></Concept></ConceptList></SupplementalRecord>
<SupplementalRecord SCRClass="3"><SupplementalRecordUI>C535648</SupplementalRecordUI>
<SupplementalRecordName><String>Some disease</String></SupplementalRecordName></SupplementalRecord>
</SupplementalRecordSet>"""


def read(folder, text, name="desc2026.xml"):
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return read_mesh_xml(path, "mesh")


@pytest.mark.parametrize("name", ["desc2026.xml", "desc2026.xml.gz"])
def test_descriptors(tmp_path, name):
    ontology = read(tmp_path, DESC, name)
    assert [row[1:] for row in ontology.names if row[0] == "MESH:D001241"] == [
        ("Aspirin", "name"),
        ("Acetylsalicylic Acid & co", "exact"),
        ("Acid, Acetyl", "synonym"),
        ("Colfarit", "narrow"),
        ("Aspirin, lysine", "narrow"),
        ("Salicylates", "broad"),
        ("Acylpyrin", "related"),
    ]
    assert ontology.definitions == [("MESH:D001241", "The prototypical analgesic.")]
    assert [other for _, other in ontology.xrefs] == [
        "UNII:R16CO5Y76E",
        "CAS:50-78-2",
        "EC:1.1.1.1",
        "NCBITAXON:9606",
    ]
    assert set(ontology.edges) == {
        ("MESH:D001241", "has_pharmacological_action", "MESH:D000894"),
        ("MESH:D001241", "is_a", "MESH:D000894"),
        ("MESH:D000894", "is_a", "MESH:D001241"),
    }
    assert ("MESH:D001241", "MESH_TREE:D02.241") in ontology.types
    assert ("MESH:D001241", "Chemicals and Drugs") in ontology.types


def test_supplementary_records(tmp_path):
    ontology = read(tmp_path, SUPP, "supp2026.xml")
    assert [name for _, name, _ in ontology.names] == [
        "bevonium",
        "bevonium bromide",
        "Some disease",
    ]
    assert ontology.edges == [("MESH:C000002", "mapped_to", "MESH:D001561")]
    assert ontology.types == [
        ("MESH:C000002", "Chemicals and Drugs"),
        ("MESH:C535648", "Diseases"),
    ]
    assert ontology.xrefs == [("MESH:C000002", "UNII:34B0471E08")]
    assert ontology.definitions == []


def poisoned(entities, inside="&bomb;"):
    return (
        f"<!DOCTYPE DescriptorRecordSet [{entities}]><DescriptorRecordSet>"
        f"{descriptor('D000001', inside, '')}</DescriptorRecordSet>"
    )


def test_entities_of_its_own_are_refused(tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("not for the graph")
    laughs = '<!ENTITY a0 "ha">' + "".join(
        f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12)
    )
    for text in (
        poisoned(f'<!ENTITY bomb SYSTEM "{secret.as_uri()}">'),
        poisoned('<!ENTITY bomb SYSTEM "http://127.0.0.1:9/x">'),
        poisoned(f'{laughs}<!ENTITY bomb "&a11;">'),
        poisoned('<!ENTITY bomb "harmless">'),
        poisoned(f'<!ENTITY % p SYSTEM "{secret.as_uri()}"> %p;', "x"),
    ):
        with pytest.raises(DataError) as caught:
            read(tmp_path, text)
        assert "not for the graph" not in str(caught.value)
        assert "desc2026.xml" in str(caught.value)


def test_a_dtd_at_an_address_is_not_fetched(tmp_path):
    text = DESC.replace("https://www.nlm.nih.gov/databases/dtd/", (tmp_path / "none").as_uri())
    assert len(read(tmp_path, text).names) == 8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (DESC[:900], r"not well-formed XML.*\n.*line \d+"),
        ("", "not well-formed"),
        ("<html/>", "not a file of MeSH"),
        ("<QualifierRecordSet/>", "holds no concepts"),
        ("<DescriptorRecordSet/>", "no record"),
        (DTD + f"<DescriptorRecordSet>{ACIDS}{ACIDS}</DescriptorRecordSet>", "given twice"),
        (DESC.replace("D001241</Desc", "Q000001</Desc"), r"'Q000001' is no MeSH id\n.*line 4"),
        (DESC.replace("D02.455.426", "Y02"), "in no category"),
        (DESC.replace("D02.455.426", "D02"), "tree number D02 is given twice"),
        (DESC.replace("<DescriptorUI>D001241</DescriptorUI>", ""), "'' is no MeSH id"),
        (DESC.replace("*D001561", "*Q1").replace("UI>D000894</D", "UI>Q1</D"), "is no MeSH id"),
    ],
)
def test_errors(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, text)


def test_a_cut_archive(tmp_path):
    path = tmp_path / "desc2026.xml.gz"
    path.write_bytes(gzip.compress(DESC.encode())[:-30])
    with pytest.raises(DataError):
        read_mesh_xml(path, "mesh")
