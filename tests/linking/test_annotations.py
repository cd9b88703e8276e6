import contextlib
import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balign.errors import DataError
from balign.linking.annotation_linker import aligned_lines, moved_start
from balign.linking.annotations import normalised, read_bern2, read_pubtator

PUBTATOR = """7|t|Asthma in men
7|a|Aspirin helps. TP53 does not.
7\t0\t6\tAsthma\tDisease\tMESH:D001249
7\t14\t21\tAspirin\tChemical\tMESH:D000068|CHEBI:15365
7\t29\t33\tTP53\tGene\t7157;7158
7\t10\t13\tmen\tSpecies\t9606
7\tCID\tD000068\tD001249

8|t|Other
8|a|
8\t0\t5\tOther\tDisease\t-
"""
BIOC = {
    "PubTator3": [
        {
            "pmid": 7,
            "id": "7",
            "passages": [
                {
                    "offset": 0,
                    "text": "Asthma in men",
                    "annotations": [
                        {
                            "text": "Asthma",
                            "infons": {"identifier": "MESH:D001249", "type": "Disease"},
                            "locations": [{"offset": 0, "length": 6}],
                        }
                    ],
                },
                {
                    "offset": 14,
                    "text": "Aspirin helps.",
                    "annotations": [
                        {
                            "text": "Aspirin",
                            "infons": {"identifier": None, "type": "Chemical"},
                            "locations": [{"offset": 14, "length": 7}],
                        }
                    ],
                },
            ],
        }
    ]
}
BERN2 = {
    "pmid": "7",
    "text": "Asthma in men TP53 cell",
    "annotations": [
        {"id": ["mesh:D001249"], "mention": "Asthma", "obj": "disease", "prob": 0.4,
         "span": {"begin": 0, "end": 6}},
        {"id": ["NCBIGene:7157\tNCBIGene:1"], "mention": "TP53", "obj": "gene", "prob": None,
         "span": {"begin": 14, "end": 18}},
        {"id": ["CUI-less"], "mention": "cell", "obj": "cell_type", "prob": 0.9,
         "span": {"begin": 19, "end": 23}},
    ],
}  # fmt: skip


def write(path, text):
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["a.txt", "a.pubtator.gz"])
def test_pubtator_text(tmp_path, name):
    first, second = read_pubtator(write(tmp_path / name, PUBTATOR))
    assert (first.pmid, second.pmid) == (7, 8)
    for one in first.annotations:
        assert first.text[one.start : one.end] == one.surface
    assert [one.identifiers for one in first.annotations] == [
        ("MESH:D001249",), ("MESH:D000068", "CHEBI:15365"), ("NCBIGENE:7157", "NCBIGENE:7158"),
        ("NCBITAXON:9606",),
    ]  # fmt: skip
    assert second.annotations[0].identifiers == ()


@pytest.mark.parametrize("indent", [None, 1])
def test_bioc_json(tmp_path, indent):
    (one,) = read_pubtator(write(tmp_path / "a.json", json.dumps(BIOC, indent=indent)))
    assert one.text == "Asthma in men Aspirin helps."
    assert [(a.surface, a.identifiers) for a in one.annotations] == [
        ("Asthma", ("MESH:D001249",)),
        ("Aspirin", ()),
    ]


@pytest.mark.parametrize("form", ["lines", "list", "one"])
def test_bern2_json(tmp_path, form):
    texts = {
        "lines": json.dumps(BERN2) + "\n\n" + json.dumps(BERN2 | {"pmid": 8}) + "\n",
        "list": json.dumps([BERN2, BERN2], indent=2),
        "one": json.dumps(BERN2),
    }
    first, *_ = read_bern2(write(tmp_path / "a.json.gz", texts[form]))
    assert [(a.identifiers, a.score) for a in first.annotations] == [
        (("MESH:D001249",), 0.4),
        (("NCBIGENE:7157", "NCBIGENE:1"), 1.0),
        ((), 0.9),
    ]


@pytest.mark.parametrize(
    ("text", "kind", "wanted"),
    [
        ("mesh:D001249", "disease", "MESH:D001249"),
        ("D001249", "Disease", "MESH:D001249"),
        ("mim:600807", "disease", "OMIM:600807"),
        ("EntrezGene:7157", "gene", "NCBIGENE:7157"),
        ("9606", "Species", "NCBITAXON:9606"),
        ("NCBI:txid9606", "species", "NCBITAXON:9606"),
        ("C0018801", "Disease", "UMLS:C0018801"),
        ("CVCL_0030", "CellLine", "CELLOSAURUS:CVCL_0030"),
        ("CVCL:0030", "cell_line", "CELLOSAURUS:CVCL_0030"),
        ("rs1234", "SNP", "SNP:rs1234"),
        ("-", "Gene", None),
        ("CUI-less", "gene", None),
    ],
)
def test_identifiers_as_the_graph_writes_them(text, kind, wanted):
    assert normalised(text, kind) == wanted


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "7|t|A\n7|a|B\n7\tx\t1\tA\tDisease\t-\n"),
        ("a.txt", "7|t|A\n7|a|B\n8\t0\t1\tA\tDisease\t-\n"),
        ("a.txt", "7\t0\t1\tA\tDisease\t-\n"),
        ("a.json", "[{]"),
        ("a.json", '{"pmid": 1}'),
        ("a.json", "3"),
        ("a.json.gz", "cut"),
    ],
)
def test_files_of_another_form(tmp_path, name, text):
    path = tmp_path / name
    path.write_bytes(text.encode())
    with pytest.raises(DataError, match="not ") as caught:
        list(read_pubtator(path))
    assert str(path) in caught.value.where


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("bytes")
    for name, read in (("a.json", read_bern2), ("a.txt", read_pubtator)):
        (folder / name).write_bytes(data)
        with contextlib.suppress(DataError):
            list(read(folder / name))


@given(st.lists(st.text("ab \u00a0é", min_size=1, max_size=6), min_size=1, max_size=5), st.data())
def test_lines_are_found_again_whatever_stands_between_them(lines, data):
    ours, theirs = "\n".join(lines), "LABEL: ".join(line.replace("\u00a0", " ") for line in lines)
    found = aligned_lines(ours, theirs)
    for begin, end, start in found:
        assert theirs[begin:end].split() == ours[start : start + end - begin].split()
    assert len(found) == len(lines)
    begin, end, start = data.draw(st.sampled_from(found))
    assert moved_start(begin, end, found) == start
    assert moved_start(begin, len(theirs) + 1, found) is None
