import polars as pl

from balign.linking.mentions import SCHEMA
from balign.linking.select import BEYOND, NIL, select_mentions
from balign.linking.settings import LinkingSettings


def mentions(*rows):
    """Rows of sentence, start, end, concept, score."""
    table = [
        (1, s, start, end, "x" * (end - start), c, score, "x") for s, start, end, c, score in rows
    ]
    return pl.DataFrame(table, schema=SCHEMA, orient="row")


ROWS = mentions(
    (0, 0, 3, "C1", 0.9), (0, 4, 9, "C2", 0.7), (0, 10, 12, None, 0.0), (0, 13, 15, "C3", 0.7),
    (1, 16, 18, "C1", 0.3),
)  # fmt: skip


def test_what_is_under_the_threshold_or_without_a_concept_is_nil():
    kept, dropped = select_mentions(ROWS, LinkingSettings(dictionary={"min_score": 0.7}))
    assert kept["concept"].to_list() == ["C1", "C2", "C3"]  # 0.7 is not less than 0.7
    assert dropped == {NIL: 2}


def test_the_threshold_is_that_of_the_configured_backend():
    settings = LinkingSettings(backend="scispacy", scispacy={"min_score": 0.8})
    assert select_mentions(ROWS, settings)[0]["concept"].to_list() == ["C1"]


def test_a_crowded_sentence_keeps_the_best_then_the_longest():
    kept, dropped = select_mentions(ROWS, LinkingSettings(max_mentions_per_sentence=2))
    assert kept["concept"].to_list() == ["C1", "C2", "C1"]
    assert dropped == {NIL: 1, BEYOND: 1}


def test_no_mentions():
    kept, dropped = select_mentions(ROWS.clear(), LinkingSettings(max_mentions_per_sentence=1))
    assert kept.is_empty() and not dropped.total()
