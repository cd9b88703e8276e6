"""Reader of annotations in PubTator format.

``pmid|t|title`` and ``pmid|a|abstract``, then one tab-separated line an annotation: pmid, start,
end, mention, type, identifier, and for a composite mention its parts. Relations have the shape
``pmid CID id id``. (BioCreative V CDR task, corpus README.)
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from balign.errors import DataError

NIL = "-1"
_BETWEEN = re.compile(r"[|+]")  # + in the NCBI disease corpus
_TEXT = re.compile(r"\d+\|[ta]\|")


class Annotation(NamedTuple):
    """One annotated mention; ``identifiers`` is empty where the annotators found none."""

    mention: str
    entity_type: str
    identifiers: tuple[str, ...]


def read_annotations(path: Path) -> list[Annotation]:
    """Return the annotations of a PubTator file in its order.

    Raises:
        DataError: for a file that cannot be read as UTF-8, or a line of another shape.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the corpus cannot be read: {error}", where=str(path)) from None
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        line = line.rstrip("\r")
        if not line or _TEXT.match(line):
            continue
        fields = line.split("\t")
        if len(fields) == 4 and not fields[1].isdigit():  # a relation
            continue
        if len(fields) < 6 or not (fields[1].isdigit() and fields[2].isdigit()):
            raise DataError(
                "not a PubTator line: expected pmid, start, end, mention, type, identifier",
                where=f"{path}, line {number}",
            )
        parts = (part.strip() for part in _BETWEEN.split(fields[5]))
        identifiers = tuple(part for part in parts if part and part != NIL)
        found.append(Annotation(fields[3], fields[4], identifiers))
    return found
