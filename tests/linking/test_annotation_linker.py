import json

import pytest
from pydantic import ValidationError

from balign.errors import ConfigError
from balign.linking import annotation_linker
from balign.linking.annotation_linker import DIFFERS, MISSING, UNMAPPED
from balign.linking.settings import LinkingSettings
from balign.linking.spans import CROSSES, OVERLAPS

TEXT = "Asthma in men BACKGROUND: Aspirin helps. RESULTS: TP53 and heart failure do."
OURS = ["Asthma in men", "Aspirin helps.", "TP53 and heart", "failure do."]
FOUND = [
    ("Asthma", "mesh:D001249", 0.9),
    ("men", "NCBITaxon:9606", 0.9),
    ("Aspirin", "CHEBI:15365", 0.3),
    ("helps", "CUI-less", 0.9),
    ("TP53", "NCBIGene:7157", 0.9),
    ("TP53 and", "mesh:D006333", 0.9),
    ("heart failure", "mesh:D006333", 0.9),
    ("BACKGROUND", "mesh:D006333", 0.9),
]


@pytest.fixture
def bern2(tmp_path):
    """BERN2's annotations of citation 7, and of one that the corpus lacks."""
    annotations = [
        {"id": [one], "obj": "any", "prob": prob, "mention": surface,
         "span": {"begin": TEXT.index(surface), "end": TEXT.index(surface) + len(surface)}}
        for surface, one, prob in FOUND
    ]  # fmt: skip
    wrong = {**annotations[0], "mention": "Asthmatic"}
    documents = [
        {"pmid": 7, "text": TEXT, "annotations": [*annotations, wrong]},
        {"pmid": 9, "text": TEXT, "annotations": annotations},
        {"pmid": 7, "text": "another text", "annotations": []},
    ]
    folder = tmp_path / "bern2"
    folder.mkdir()
    (folder / "one.jsonl.json").write_text("\n".join(map(json.dumps, documents)))
    (folder / ".hidden").write_text("no annotations")
    return {"backend": "bern2", "bern2": {"folder": str(folder), "min_score": 0.5}}


def test_annotations_are_moved_mapped_and_counted(link_with, bern2):
    mentions, dropped = link_with({7: OURS, 8: ["no annotations"]}, **bern2)
    assert list(mentions.select("sentence", "surface", "concept", "score").iter_rows()) == [
        (0, "Asthma", "MESH:D001249", pytest.approx(0.9)),
        (2, "TP53 and", "C0018801", pytest.approx(0.9)),
    ]
    assert dropped == {
        "nil": 2,  # one under the threshold, one without an identifier
        UNMAPPED + "NCBITAXON": 1,
        OVERLAPS: 1,  # the shorter of two
        DIFFERS: 3,  # a label that we do not have, a wrong surface, and one over two lines
        MISSING: 1,
    }


def test_without_a_threshold_all_probabilities_count(link_with, bern2):
    bern2["bern2"]["min_score"] = 0
    mentions, _ = link_with({7: [*OURS[:2], "TP53 and"]}, **bern2)
    assert "MESH:D000068" in set(mentions["concept"])


def test_chunks_change_nothing(link_with, bern2, monkeypatch):
    whole = link_with({7: OURS, 9: OURS}, **bern2)
    monkeypatch.setattr(annotation_linker, "_CHUNK", 1)
    parts = link_with({7: OURS, 9: OURS}, **bern2)
    assert parts[0].equals(whole[0]) and parts[1] == whole[1]


def test_a_composite_mention_has_the_first_concept_that_is_known(link_with, tmp_path):
    folder = tmp_path / "pubtator"
    folder.mkdir()
    text = "7|t|TP53 in heart failure\n7|a|Crosses\n"
    rows = ["7\t0\t4\tTP53\tGene\t1;7157", "7\t8\t21\theart failure\tDisease\tC0018801"]
    (folder / "a.txt").write_text(text + "\n".join(rows) + "\n")
    mentions, dropped = link_with(
        {7: ["TP53 in heart failure", "Crosses"]},
        backend="pubtator",
        pubtator={"folder": str(folder)},
    )
    assert mentions["concept"].to_list() == ["HGNC:11998", "C0018801"]
    assert not dropped and CROSSES not in dropped


def test_no_folder_and_no_files(link_with, tmp_path):
    with pytest.raises(ValidationError, match=r"linking\.bern2\.folder"):
        LinkingSettings(backend="bern2")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="no files"):
        link_with({}, backend="pubtator", pubtator={"folder": str(tmp_path / "empty")})
