from __future__ import annotations

from balign.kg.relations import Fold, fold_relations, label


def fold(*names: str, pairs=()) -> dict[str, Fold]:
    return {found.relation: found for found in fold_relations(iter(names), pairs)}


def test_inverse_pairs_keep_one_direction():
    found = fold("isa", "inverse_isa", "PAR", "CHD", "RB", "has_part")
    assert found["isa"] == ("isa", "is_a", False, False)
    assert found["inverse_isa"] == ("inverse_isa", "is_a", True, False)
    assert found["PAR"].canonical == found["CHD"].canonical == "CHD"
    assert found["PAR"].swap and not found["CHD"].swap
    assert found["RB"][1:3] == ("RN", True)
    assert found["has_part"][1:3] == ("part_of", True)


def test_names_tell_inverses_only_where_both_occur():
    assert fold("has_finding")["has_finding"].canonical == "has_finding"
    both = fold("has_finding", "finding_of")
    assert both["has_finding"][1:3] == ("finding_of", True)
    assert both["finding_of"][1:3] == ("finding_of", False)


def test_pairs_of_a_metathesaurus_and_symmetric_relations():
    found = fold(
        "treats",
        "treated_by",
        "co_occurs",
        "RO",
        pairs=[("treats", "treated_by"), ("co_occurs", "co_occurs")],
    )
    assert found["treats"].canonical == found["treated_by"].canonical == "treats"
    assert found["treated_by"].swap
    assert found["co_occurs"].symmetric and found["RO"].symmetric
    assert not found["treats"].symmetric


def test_labels():
    assert label("is_a", {}) == "is a"
    assert label("CHD", {"CHD": "has child relationship"}) == "child of"
    assert label("http://www.ebi.ac.uk/efo/is_executed_in", {}) == "is executed in"
    assert label("has_finding_site", {"has_finding_site": "Has finding site"}) == "has finding site"
    assert label("DNA_of", {"DNA_of": "DNA of"}) == "DNA of"
