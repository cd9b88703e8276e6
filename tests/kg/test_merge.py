from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balign.kg.merge import Claim, join, merge_terms, name_key, own_name_key
from balign.kg.ontology import Ontology, prefix_of


def ontology(source: str, terms: dict[str, tuple[str, list[str]]], **more: object) -> Ontology:
    made = Ontology(source)
    for code, (name, xrefs) in terms.items():
        made.add_name(code, name, "name")
        for xref in xrefs:
            made.add_xref(code, xref)
    for field, value in more.items():
        setattr(made, field, value)
    return made


def test_terms_with_one_cui_are_one_concept_and_the_mesh_heading_follows():
    merged = merge_terms(
        [
            ontology("hpo", {"HP:1": ("Fit", ["UMLS:C0000001"])}),
            ontology("mondo", {"MONDO:1": ("seizure", ["UMLS:C0000001", "MESH:D000001"])}),
            ontology("mesh", {"MESH:D000001": ("Seizures", [])}),
        ]
    )
    assert set(merged.concept_of.values()) == {"C0000001"}
    assert merged.identifiers == [
        ("C0000001", "HP:1"),
        ("C0000001", "MESH:D000001"),
        ("C0000001", "MONDO:1"),
        ("C0000001", "UMLS:C0000001"),
    ]
    assert merged.counts["concepts with terms of several ontologies"] == 1


def test_without_a_cui_the_first_ontology_names_the_concept():
    mondo = ontology("mondo", {"MONDO:1": ("x", ["MESH:D000001"])})
    doid = ontology("doid", {"DOID:1": ("y", ["MESH:D000001"])})
    assert merge_terms([mondo, doid]).concept_of == {"MONDO:1": "MONDO:1", "DOID:1": "MONDO:1"}
    assert merge_terms([doid, mondo]).concept_of == {"MONDO:1": "DOID:1", "DOID:1": "DOID:1"}


def test_of_several_cuis_the_one_that_others_claim_too():
    merged = merge_terms(
        [
            ontology("hpo", {"HP:1": ("a", ["UMLS:C0000001", "UMLS:C0000002"])}),
            ontology("mondo", {"MONDO:1": ("b", ["UMLS:C0000002"])}),
        ]
    )
    assert merged.concept_of == {"HP:1": "C0000002", "MONDO:1": "C0000002"}
    assert ("C0000002", "UMLS:C0000001") in merged.identifiers
    assert merged.counts["concepts with a further CUI as xref"] == 1


def test_of_equal_cuis_the_smaller_and_the_other_stays_unless_it_is_taken():
    both = ["UMLS:C0000002", "UMLS:C0000001"]
    assert merge_terms([ontology("hpo", {"HP:1": ("a", both)})]).concept_of["HP:1"] == "C0000001"
    merged = merge_terms([ontology("hpo", {"HP:1": ("a", both), "HP:2": ("b", both[:1])})])
    assert merged.concept_of == {"HP:1": "C0000001", "HP:2": "C0000002"}
    assert ("C0000001", "UMLS:C0000002") not in merged.identifiers
    assert merged.counts["xrefs left out: the identifier is another concept's"] == 1


def test_two_terms_of_one_ontology_never_meet_through_a_shared_identifier():
    merged = merge_terms(
        [
            ontology(
                "mondo",
                {
                    "MONDO:1": ("leukemia", ["MESH:D000001", "UMLS:C0000001"]),
                    "MONDO:2": ("leukemia of infancy", ["MESH:D000001", "UMLS:C0000002"]),
                },
            ),
            ontology("doid", {"DOID:1": ("x", ["UMLS:C0000001", "UMLS:C0000002"])}),
            ontology("mesh", {"MESH:D000001": ("Leukemia", [])}),
        ]
    )
    assert merged.concept_of["MESH:D000001"] == merged.concept_of["MONDO:1"] == "C0000001"
    assert merged.concept_of["MONDO:2"] == "C0000002"
    assert merged.counts["concepts with several terms of one ontology"] == 0


def test_a_heading_claimed_twice_without_a_common_name_stays_alone():
    merged = merge_terms(
        [
            ontology(
                "mondo", {"MONDO:1": ("a", ["MESH:D000001"]), "MONDO:2": ("b", ["MESH:D000001"])}
            ),
            ontology("mesh", {"MESH:D000001": ("Heading", [])}),
        ]
    )
    assert len(set(merged.concept_of.values())) == 3
    assert merged.counts["claims refused: neither one to one nor a common name"] == 2


def test_an_annotated_disease_joins_through_an_xref_and_gives_its_id_last():
    hpo = Ontology("hpo")
    hpo.add_name("OMIM:1", "Disease of OMIM", "disease_name")
    hpo.add_name("OMIM:2", "Unknown", "disease_name")
    mondo = ontology("mondo", {"MONDO:1": ("x", ["OMIM:1"])})
    assert merge_terms([hpo, mondo]).concept_of == {
        "OMIM:1": "MONDO:1",
        "OMIM:2": "OMIM:2",
        "MONDO:1": "MONDO:1",
    }


def test_equal_own_names_join_what_xrefs_do_not():
    hpo = ontology("hpo", {"HP:1": ("Solar urticaria", ["UMLS:C0000001"])})
    mesh = ontology("mesh", {"MESH:D000001": ("Urticaria, Solar", [])})
    assert merge_terms([hpo, mesh]).concept_of["MESH:D000001"] == "C0000001"
    twice = ontology("hpo", {"HP:1": ("Cold", []), "HP:2": ("cold", [])})
    other = ontology("mesh", {"MESH:D000001": ("Cold", [])})
    assert len(set(merge_terms([twice, other]).concept_of.values())) == 3


def test_own_names_keep_their_signs():
    assert own_name_key("(+)-Catechin") != own_name_key("(-)-Catechin")
    assert own_name_key("Leukemia, Myeloid, Acute") == "leukemia, myeloid, acute"
    assert name_key("Leukemia, Myeloid; acute") == name_key("Acute Myeloid leukemia")


def test_exact_mapping_beats_other_claims():
    mondo = ontology("mondo", {"MONDO:1": ("a", ["UMLS:C0000001"])})
    mapping = Ontology("map", exact=[("MONDO:1", "UMLS:C0000009")])
    assert merge_terms([mondo, mapping]).concept_of["MONDO:1"] == "C0000009"


def test_a_metathesaurus_decides_and_may_join_terms_of_one_ontology():
    hpo = ontology("hpo", {"HP:1": ("a", ["UMLS:C0000001"]), "HP:2": ("b", [])})
    cuis = {"HP:1": "UMLS:C0000005", "HP:2": "UMLS:C0000005"}
    merged = merge_terms([hpo], lambda asked: {k: v for k, v in cuis.items() if k in asked})
    assert merged.concept_of == {"HP:1": "C0000005", "HP:2": "C0000005"}
    assert merged.counts["concepts with several terms of one ontology"] == 1


def test_names_of_a_metathesaurus_choose_among_cuis():
    hpo = ontology("hpo", {"HP:1": ("Fit", ["UMLS:C0000001", "UMLS:C0000002"])})
    names = {"UMLS:C0000001": ["Apple"], "UMLS:C0000002": ["FIT"]}
    merged = merge_terms([hpo], names_of=lambda asked: names)
    assert merged.concept_of["HP:1"] == "C0000002"
    assert ("C0000002", "UMLS:C0000001") not in merged.identifiers  # it is a concept there


def test_former_ids_are_xrefs_and_lead_claims_to_the_living_term():
    doid = ontology("doid", {"DOID:1": ("a", [])}, aliases={"DOID:9": "DOID:1"})
    mondo = ontology("mondo", {"MONDO:1": ("b", ["DOID:9"])})
    merged = merge_terms([mondo, doid])
    assert merged.concept_of["DOID:1"] == "MONDO:1"
    assert ("MONDO:1", "DOID:9") in merged.identifiers


CODES = [f"{prefix}:{number}" for prefix in ("HP", "MONDO", "DOID") for number in range(3)]
TARGETS = ["UMLS:C0000001", "UMLS:C0000002", "UMLS:C0000003", "MESH:D000001", "MESH:D000002"]


@given(
    st.lists(st.tuples(st.sampled_from(CODES), st.sampled_from([*TARGETS, *CODES])), max_size=40),
    st.randoms(use_true_random=False),
)
def test_any_claims_keep_the_rule_and_the_order_of_rows_does_not_matter(xrefs, random):
    def build(rows: list[tuple[str, str]]) -> list[Ontology]:
        made = [Ontology("hpo"), Ontology("mondo"), Ontology("doid")]
        for position, code in enumerate(CODES):
            made[position // 3].add_name(code, f"name {position}", "name")
        for code, target in rows:
            made[CODES.index(code) // 3].add_xref(code, target)
        return made

    merged = merge_terms(build(xrefs))
    members: dict[str, list[str]] = {}
    for code, concept in merged.concept_of.items():
        members.setdefault(concept, []).append(prefix_of(code))
    assert sorted(merged.concept_of) == sorted(CODES)
    assert all(len(set(group)) == len(group) for group in members.values())
    shuffled = random.sample(xrefs, len(xrefs))
    again = merge_terms(build(shuffled))
    assert (again.concept_of, again.identifiers) == (merged.concept_of, merged.identifiers)


@pytest.mark.parametrize("alternatives", [1, 2])
def test_join_counts(alternatives):
    claim = Claim("HP:1", "MESH:D000001", False, False, False, 0, alternatives)
    groups, counts = join([claim])
    assert (len(groups["HP:1"]) == 2) == (alternatives == 1)
    assert counts["claims taken"] == (alternatives == 1)
