"""Readers of documents with entities and relations, and what is made of the documents."""

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balign.errors import DataError
from balign.evaluate.formats_documents import (
    Passage,
    Relation,
    Span,
    read_bioc_json,
    read_bioc_xml,
    read_ddi_xml,
    read_pubtator,
)
from balign.evaluate.passages import mark, marked_pairs, sentences, tagged_sentences

MARKERS = ("<<", ">>", "[[", "]]")

PUBTATOR = """\
7|t|Aspirin and asthma
7|a|Aspirin causes asthma. Water does not.
7\t0\t7\tAspirin\tChemical\tD1
7\t12\t18\tasthma\tDisease\tD2
7\t19\t26\tAspirin\tChemical\tD1
7\t34\t40\tasthma\tDisease\tD2
7\t42\t47\tWater\tChemical\t-1
7\tCID\tD1\tD2

8|t|No entity here
8|a|
"""

BIOC = {
    "documents": [
        {
            "id": "9",
            "passages": [
                {
                    "offset": 0,
                    "text": "BRCA1 binds p53.",
                    "annotations": [
                        {"id": "T1", "infons": {"type": "Gene"}, "text": "BRCA1",
                         "locations": [{"offset": 0, "length": 5}]},
                        {"id": "T2", "infons": {"type": "Gene"}, "text": "p53",
                         "locations": [{"offset": 12, "length": 3}]},
                    ],
                    "relations": [],
                },
                {"offset": 17, "text": "Nothing else.", "annotations": []},
            ],
            "relations": [{"id": "R1", "infons": {"type": "binds"},
                           "nodes": [{"refid": "T1", "role": "a"}, {"refid": "T2", "role": "b"}]}],
        }
    ]
}  # fmt: skip

BIOC_XML = """\
<?xml version="1.0"?>
<!DOCTYPE collection [<!ENTITY x SYSTEM "file:///etc/hostname">]>
<collection><document><id>9</id>
<passage><infon key="type">title</infon><offset>0</offset><text>BRCA1 binds p53.</text>
<annotation id="T1"><infon key="type">Gene</infon>
<location offset="0" length="5"/><text>BRCA1</text></annotation>
<annotation id="T2"><infon key="type">Gene</infon>
<location offset="12" length="3"/><text>p53</text></annotation>
</passage><passage><offset>17</offset><text>Nothing else.</text></passage>
<relation id="R1"><infon key="type">binds</infon>
<node refid="T1" role="a"/><node refid="T2" role="b"/></relation>
</document></collection>
"""

DDI = """\
<document id="D"><sentence id="D.s0" text="Aspirin and warfarin interact, heparin not.">
<entity id="e0" charOffset="0-6" type="drug" text="Aspirin"/>
<entity id="e1" charOffset="12-19" type="drug" text="warfarin"/>
<entity id="e2" charOffset="31-33;35-37" type="drug" text="hep rin"/>
<pair id="p0" e1="e0" e2="e1" ddi="true" type="effect"/>
<pair id="p1" e1="e0" e2="e2" ddi="false"/>
<pair id="p2" e1="e1" e2="e2" ddi="true"/>
</sentence><sentence id="D.s1" text="Nothing."/></document>
"""


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_pubtator_to_tags_and_pairs(tmp_path):
    passages = read_pubtator(write(tmp_path / "x", PUBTATOR))
    found = list(tagged_sentences(passages))
    assert [one.words for one in found] == [
        ("Aspirin", "and", "asthma"),
        ("Aspirin", "causes", "asthma", "."),
        ("Water", "does", "not", "."),
        ("No", "entity", "here"),
    ]
    assert found[1].tags == ("B-Chemical", "O", "B-Disease", "O")
    pairs = list(marked_pairs(passages, ("Chemical", "Disease"), MARKERS))
    assert [(one.text, one.labels[0]) for one in pairs] == [
        ("<< Aspirin >> and [[ asthma ]]", "CID"),
        ("<< Aspirin >> causes [[ asthma ]] .", "CID"),
    ]
    water = [one for one in passages[0].spans if one.start == 42]
    passages[0].spans.append(Span("T9", "Disease", 48, 52))
    pairs = list(marked_pairs(passages, ("Chemical", "Disease"), MARKERS))
    assert pairs[-1].text == "<< Water >> [[ does ]] not."
    assert pairs[-1].labels == ("false",)
    assert len(water) == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("7\t0\t8\tAspirin\tChemical\tD1", "not what the text has"),
        ("7\t0\t999\tAspirin\tChemical\tD1", "outside its text"),
        ("99\t0\t7\tAspirin\tChemical\tD1", "document begun before"),
        ("7\tx\ty\tAspirin\tChemical", "expected PMID"),
    ],
)
def test_pubtator_errors_name_the_line(tmp_path, line, message):
    path = write(tmp_path / "x", PUBTATOR.replace("7\t42", line + "\n7\t42", 1))
    with pytest.raises(DataError, match=message) as error:
        read_pubtator(path)
    assert error.value.where == f"{path}, line 7"


def test_bioc_xml_and_json_are_the_same(tmp_path):
    first = read_bioc_json(write(tmp_path / "x.json", json.dumps(BIOC)))
    second = read_bioc_xml(write(tmp_path / "x.xml", BIOC_XML))
    assert first == second
    assert first[0].spans[1] == Span("T2", "Gene", 12, 15)
    pairs = list(marked_pairs(first, ("Gene", "Gene"), MARKERS))
    assert [(one.text, one.labels[0]) for one in pairs] == [
        ("<< BRCA1 >> binds [[ p53 ]] .", "binds"),
        ("[[ BRCA1 ]] binds << p53 >> .", "false"),
    ]
    assert [one.id for one in tagged_sentences(first)] == ["9:0:0", "9:1:0"]


def test_bioc_errors_name_the_place(tmp_path):
    bad = json.loads(json.dumps(BIOC))
    bad["documents"][0]["passages"][0]["annotations"][1]["locations"][0]["offset"] = 11
    with pytest.raises(DataError, match="'p53' is not what the text has") as error:
        read_bioc_json(write(tmp_path / "x.json", json.dumps(bad)))
    assert error.value.where.endswith("documents[0], annotation T2")
    for text in ("[]", "{}", '{"documents": [{}]}'):
        with pytest.raises(DataError, match="not BioC JSON"):
            read_bioc_json(write(tmp_path / "x.json", text))
    with pytest.raises(DataError, match="not XML") as error:
        read_bioc_xml(write(tmp_path / "x.xml", "<collection>\n<document>"))
    assert ", line 2" in error.value.where
    with pytest.raises(DataError, match="not BioC XML"):
        read_bioc_xml(write(tmp_path / "x.xml", BIOC_XML.replace('length="5"', "")))


def test_no_entity_of_a_file_is_resolved(tmp_path):
    secret = write(tmp_path / "secret", "hidden")
    text = BIOC_XML.replace("file:///etc/hostname", secret.as_uri()).replace("else", "&x;")
    assert not any("hidden" in one.text for one in read_bioc_xml(write(tmp_path / "x.xml", text)))


def test_ddi(tmp_path):
    (tmp_path / "Train/DrugBank").mkdir(parents=True)
    write(tmp_path / "Train/DrugBank/a.xml", DDI)
    passages = read_ddi_xml(tmp_path / "Train")
    pairs = list(marked_pairs(passages, (), MARKERS))
    assert [(one.text, one.labels[0]) for one in pairs] == [
        ("<< Aspirin >> and [[ warfarin ]] interact, heparin not.", "effect"),
        ("<< Aspirin >> and warfarin interact, [[ heparin ]] not.", "false"),
        ("Aspirin and << warfarin >> interact, [[ heparin ]] not.", "int"),
    ]
    assert [one.is_sentence for one in passages] == [True, True]
    for old, new, message in [
        ("35-37", "35-97", "outside its text"),
        ('charOffset="0-6"', "", "without charOffset"),
        ('e2="e1"', 'e2="e7"', "unknown entities"),
    ]:
        with pytest.raises(DataError, match=message):
            read_ddi_xml(write(tmp_path / "b.xml", DDI.replace(old, new)))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no XML file"):
        read_ddi_xml(tmp_path / "empty")


def test_a_sentence_does_not_end_inside_an_entity():
    text = "We saw E. Coli here. It grew."
    whole = Passage("1", text, [Span("T1", "X", 7, 24)])
    assert [(start, end) for start, end, _ in sentences(whole)] == [(0, len(text))]


def test_of_overlapping_entities_the_longest_counts():
    passage = Passage("1", "breast cancer cells", is_sentence=True)
    passage.spans = [Span("T1", "A", 7, 13), Span("T2", "B", 0, 13), Span("T3", "C", 14, 17)]
    assert next(iter(tagged_sentences([passage]))).tags == ("B-B", "I-B", "B-C")


SPANS = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 8)), min_size=2, max_size=6)


@settings(max_examples=80, deadline=None)
@given(st.text(alphabet="ab .", min_size=40, max_size=60), SPANS)
def test_tags_and_marks_keep_the_text(text, places):
    spans = [Span(f"T{n}", "X", start, start + size) for n, (start, size) in enumerate(places)]
    passage = Passage("1", text, spans, [Relation("T0", "T1", "r")], pairs_given=True,
                      is_sentence=True)  # fmt: skip
    for one in tagged_sentences([passage]):
        assert "".join(one.words) == "".join(text.split())
        tags = ("O", *one.tags)
        assert all(
            not tag.startswith("I-") or before[2:] == tag[2:]
            for before, tag in itertools.pairwise(tags)
        )
    marked = mark(text, 0, spans[0], spans[1], MARKERS)
    plain = marked
    for marker in MARKERS:
        assert marked.split().count(marker) == 1
        plain = plain.replace(marker, "")
    assert "".join(plain.split()) == "".join(text.split())
