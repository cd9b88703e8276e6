"""The embedded PubMed files, where `make demo` has fetched them: their counts, kept here."""

from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from balign.corpus.merge import corpus_merge
from balign.corpus.parse import corpus_parse

ROOT = Path(__file__).resolve().parents[2]
# Citations, deletions, citations with abstract. pubmed21n1298 has 18,446 <Abstract>, one of them
# without text (PMID 34085931).
EXPECTED = {"pubmed20n0014": (30_000, 0, 14_832), "pubmed21n1298": (20_788, 20, 18_445)}


@pytest.mark.slow
def test_counts_of_the_embedded_files(tmp_path):
    sources = {path.name[:-7]: path for path in ROOT.glob("data/sources/*/*/pubmed2*n*.xml.gz")}
    if not set(EXPECTED) <= set(sources):
        pytest.skip("the embedded PubMed files have not been fetched")
    parsed = []
    for name, expected in EXPECTED.items():
        parsed.append(tmp_path / f"{name}.parquet")
        corpus_parse(sources[name], parsed[-1])
        table = pq.read_table(parsed[-1], columns=["kind", "abstract"])
        kinds = table["kind"].to_pylist()
        abstracts = pc.sum(pc.greater(pc.list_value_length(table["abstract"]), 0)).as_py()
        assert (kinds.count("citation"), kinds.count("deletion"), abstracts) == expected
    corpus_merge(parsed, tmp_path / "live.parquet")
    # Three PMIDs come in several versions, five rows more than PMIDs in all.
    assert pq.read_metadata(tmp_path / "live.parquet").num_rows == 50_783
