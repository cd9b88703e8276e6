"""pubmed_parser from a file to Parquet, as a process of its own (benchmarks/corpus/parse.py).

VENV/bin/python parse_peer.py FILE.xml.gz OUTPUT.parquet shipped|equal
"""

import itertools
import sys

import pubmed_parser.medline_parser as peer
import pyarrow as pa
import pyarrow.parquet as pq

FIELDS = (
    *("pmid", "title", "vernacular_title", "abstract", "journal", "nlm_unique_id", "issn_linking"),
    *(
        "pubdate",
        "languages",
        "publication_types",
        "mesh_terms",
        "chemical_list",
        "keywords",
        "doi",
    ),
)
SCHEMA = pa.schema([(name, pa.string()) for name in FIELDS])


def main() -> None:
    """Write the fields that both programs have."""
    source, output, variant = sys.argv[1:]
    if variant == "equal":
        peer.parse_author_affiliation = lambda medline: []
        peer.parse_references = lambda article, reference_list: ""
        peer.parse_grant_id = lambda article: []
    rows = peer.parse_medline_xml(source, year_info_only=False, parse_downto_mesh_subterms=True)
    with pq.ParquetWriter(output, SCHEMA, compression="zstd") as writer:
        while batch := list(itertools.islice(rows, 2_000)):
            for row in batch:
                row["keywords"] = row["keywords"] or ""  # [] where a list has no keyword
            writer.write_table(pa.Table.from_pylist(batch, schema=SCHEMA))


if __name__ == "__main__":
    main()
