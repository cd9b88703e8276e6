"""Reader of mapping sets in SSSOM/TSV (https://mapping-commons.github.io/sssom)."""

from __future__ import annotations

import csv
from pathlib import Path

from balign.errors import DataError
from balign.kg.ontology import Ontology, curie

_COLUMNS = ("subject_id", "predicate_id", "object_id")


def read_sssom(path: Path, source: str) -> Ontology:
    """Read the exact matches of a mapping set; other predicates are counted and left out.

    Raises:
        DataError: for a missing column or a row of another width; it names the file and the line.
    """
    ontology = Ontology(source)
    header: list[str] | None = None
    with path.open(encoding="utf-8", newline="") as handle:
        rows = csv.reader(handle, delimiter="\t", quoting=csv.QUOTE_NONE)
        for row in rows:
            if not row or (header is None and row[0].startswith("#")):
                continue
            where = f"{path}, line {rows.line_num}"
            if header is None:
                header = row
                missing = [name for name in _COLUMNS if name not in header]
                if missing:
                    raise DataError(f"no column {', '.join(missing)}", where=where)
                place = [header.index(name) for name in _COLUMNS]
                continue
            if len(row) != len(header):
                what = f"{len(row)} columns instead of {len(header)}"
                raise DataError(what, where=where)
            subject, predicate, target = (row[column] for column in place)
            code, other = curie(subject), curie(target)
            if predicate != "skos:exactMatch":
                ontology.dropped[f"mappings {predicate}"] += 1
            elif code is None or other is None:
                ontology.dropped["xrefs that are no identifiers"] += 1
            else:
                ontology.exact.append((code, other))
    if header is None:
        raise DataError("no mapping in the file", where=str(path))
    return ontology
