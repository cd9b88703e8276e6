from collections import Counter
from itertools import pairwise

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from balign.linking.spans import CROSSES, OVERLAPS, place_spans, without_overlaps

PLACE = {"pmid": pl.Int64, "start": pl.Int32, "end": pl.Int32}
SPANS = st.lists(
    st.tuples(st.integers(1, 2), st.integers(0, 30), st.integers(1, 6)).map(
        lambda one: (one[0], one[1], one[1] + one[2])
    ),
    max_size=20,
)


@given(SPANS)
def test_what_stays_does_not_overlap_and_what_goes_overlaps_something_as_long(spans):
    dropped = Counter()
    kept = list(
        without_overlaps(pl.DataFrame(spans, schema=PLACE, orient="row"), dropped).iter_rows()
    )
    assert len(kept) + dropped[OVERLAPS] == len(spans)
    for before, after in pairwise(kept):
        assert before[0] < after[0] or before[2] <= after[1]
    for pmid, start, end in spans:
        assert any(
            one[0] == pmid and one[1] < end and start < one[2] and one[2] - one[1] >= end - start
            for one in kept
        )


def test_a_span_belongs_to_the_sentence_that_holds_it_whole():
    sentences = pl.DataFrame(
        [(1, 0, 0, 10), (1, 1, 11, 20), (2, 0, 0, 5)],
        schema={"pmid": pl.Int64, "sentence": pl.Int32, "start": pl.Int32, "end": pl.Int32},
        orient="row",
    )
    rows = [(1, 11, 13), (1, 8, 12), (2, 0, 5), (3, 0, 1), (1, 0, 10), (2, 4, 6)]
    dropped = Counter()
    placed = place_spans(pl.DataFrame(rows, schema=PLACE, orient="row"), sentences, dropped)
    found = placed.select("pmid", "start", "end", "sentence").rows()
    assert sorted(found) == [(1, 0, 10, 0), (1, 11, 13, 1), (2, 0, 5, 0)]
    assert dropped == {CROSSES: 3}
