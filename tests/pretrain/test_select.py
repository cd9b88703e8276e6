from collections import defaultdict

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from balign.graph.sample import counter_keys
from balign.pretrain.select import balance, split

mentions = st.lists(st.tuples(st.integers(0, 19), st.integers(0, 5)), max_size=80)


@given(mentions, st.integers(1, 6), st.integers(0, 99))
def test_no_concept_is_in_more_sentences_than_the_limit(pairs, limit, seed):
    sentence = np.array([pair[0] for pair in pairs], dtype=np.int64)
    node = np.array([pair[1] for pair in pairs], dtype=np.int64)
    keys = counter_keys(seed, np.arange(20))
    kept = balance(sentence, node, keys, limit)
    before, after = defaultdict(set), defaultdict(set)
    for (s, n), keep in zip(pairs, kept, strict=True):
        before[n].add(s)
        if keep:
            after[n].add(s)
    for concept, found in before.items():
        assert len(after[concept]) == min(limit, len(found))
    for (s, n), keep in zip(pairs, kept, strict=True):  # all mentions of a sentence, or none
        assert keep == (s in after[n])


def test_balancing_depends_on_the_seed_alone():
    sentence, node = np.arange(50), np.zeros(50, dtype=np.int64)
    first, again, other = (
        balance(sentence, node, counter_keys(seed, np.arange(50)), 5) for seed in (1, 1, 2)
    )
    assert (first == again).all() and (first != other).any()
    assert balance(sentence, node, counter_keys(1, np.arange(50)), None).all()


@given(st.lists(st.integers(1, 30), max_size=200), st.integers(0, 30), st.integers(0, 9))
def test_no_citation_is_on_both_sides(citations, wanted, seed):
    pmid = np.array(sorted(citations), dtype=np.int64)
    train, validation = split(pmid, wanted, seed)
    assert len(validation) == min(wanted, len(pmid) // 10)
    assert not set(pmid[train]) & set(pmid[validation])
    again = split(pmid, wanted, seed)
    assert (again[0] == train).all() and (again[1] == validation).all()
