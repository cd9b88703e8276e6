"""PubMed's XML to Parquet: balign against pubmed_parser, and against the floor.

    python -m benchmarks.corpus.parse --peer-python VENV/bin/python FILE.xml.gz ...

Every run is a whole process from the file to Parquet; of several rounds, taken in turn, the one
with the least processor time counts. The peer runs in its own environment (pubmed_parser 0.5.1 and
pyarrow), twice: as it is shipped, and with what balign does not read (authors, references, grants)
taken out of it, so that both have equal fields. balign writes its whole table, which has more:
dates, ISSNs, copyright, other abstracts, flags. The floor is one process that unpacks the same
bytes and gives them to expat without handlers.

Then every citation is compared field by field. A difference must fall into one of the classes of
:func:`reason`; one that does not ends the program with status 1.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks.measure import Cost, measure, show

ROOT = Path(__file__).resolve().parents[2]
PEER = ROOT / "benchmarks/corpus/parse_peer.py"
FLOOR = """
import gzip, sys
from xml.parsers import expat
parser = expat.ParserCreate()
with gzip.open(sys.argv[1]) as handle:
    while block := handle.read(1 << 18):
        parser.Parse(block)
parser.Parse(b"", True)
"""
CITATIONS, CORES = 38_000_000, 32
Row = Mapping[str, Any]


def _joined(values: list[str]) -> str:
    return "; ".join(values)


def _abstract(row: Row) -> str:
    sections = row["abstract"]
    if len(sections) < 2:
        return "".join(part["text"] for part in sections)
    labelled = " ".join(f"{part['label'] or ''} {part['text']}" for part in sections)
    return " ".join(labelled.split())


def _mesh(row: Row) -> str:
    found = []
    for heading in row["mesh"]:
        text = f"{heading['ui']}:{heading['name']}"
        triples = ("qualifier_uis", "qualifiers", "qualifier_majors")
        for ui, name, major in zip(*(heading[key] for key in triples), strict=True):
            text += f" / {ui}:{name}" + "*" * major
        found.append(text)
    return _joined(found)


FIELDS: Mapping[str, Callable[[Row], str]] = {
    "pmid": lambda row: str(row["pmid"]),
    "title": lambda row: row["title"],
    "vernacular_title": lambda row: row["vernacular_title"] or "",
    "abstract": _abstract,
    "journal": lambda row: row["journal"] or "",
    "nlm_unique_id": lambda row: row["nlm_journal"] or "",
    "issn_linking": lambda row: row["issn_linking"] or "",
    "pubdate": lambda row: row["published"] or "",
    "languages": lambda row: ";".join(row["languages"]),
    "publication_types": lambda row: _joined(
        [
            f"{ui}:{n}"
            for ui, n in zip(row["publication_type_uis"], row["publication_types"], strict=True)
        ]
    ),
    "mesh_terms": _mesh,
    "chemical_list": lambda row: _joined([f"{c['ui']}:{c['name']}" for c in row["chemicals"]]),
    "keywords": lambda row: _joined(row["keywords"]),
    "doi": lambda row: row["doi"] or "",
}


def _letters(text: str) -> Counter[str]:
    return Counter(text.replace(" ", ""))


def reason(field: str, ours: str, theirs: str, row: Row) -> str | None:
    """Return the class of a difference, None for one that is in none."""
    if field == "pubdate" and row["published_text"] and ours.startswith(theirs) and theirs:
        return "pubmed_parser keeps the year alone of a MedlineDate"
    if field == "pubdate" and theirs.startswith(ours):
        return "pubmed_parser's month or day without a number"
    if field == "doi":
        return "pubmed_parser takes the last ELocationID, a pii too, for the DOI"
    if field == "keywords" and ours.startswith(theirs):
        return "pubmed_parser reads the first KeywordList alone"
    if field in ("keywords", "title", "vernacular_title", "abstract"):
        if not _letters(theirs) - _letters(ours):
            return "pubmed_parser loses the text inside nested or keyword markup, or MathML"
        more = Counter(theirs.split()) - Counter(ours.split())
        if field == "abstract" and len(row["abstract"]) > 1 and all(map(str.isupper, more)):
            return "pubmed_parser keeps the label of a section without text"
        if field == "abstract" and row["abstract_copyright"]:
            return "pubmed_parser takes the copyright of an abstract without text for the abstract"
    return None


def compare(ours: Path, theirs: Path) -> tuple[int, Counter[tuple[str, str]], list[str]]:
    """Return citations compared, differences by field and class, and those in no class."""
    rows = pq.read_table(ours).to_pylist()
    rows = [row for row in rows if row["kind"] == "citation"]
    peers = pq.read_table(theirs).to_pylist()
    found: Counter[tuple[str, str]] = Counter()
    strange = []
    if len(rows) != len(peers):
        strange.append(f"{len(rows)} citations against {len(peers)}")
    for row, peer in zip(rows, peers, strict=False):
        for field, make in FIELDS.items():
            mine, other = make(row), " ".join((peer[field] or "").split())
            if mine != other:
                why = reason(field, mine, other, row)
                found[field, why or "not explained"] += 1
                if why is None:
                    strange.append(f"PMID {row['pmid']}, {field}: {mine!r} against {other!r}")
    return len(rows), found, strange


def main() -> None:
    """Measure, compare and print; exit with 1 if a difference is not explained."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--peer-python", required=True, help="Python of the peer's environment.")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    seconds_a_citation, strange = [], []
    for source in options.files:
        with tempfile.TemporaryDirectory() as folder:
            ours, theirs = Path(folder) / "ours.parquet", Path(folder) / "theirs.parquet"
            peer = [options.peer_python, str(PEER), str(source), str(theirs)]
            commands = {
                "floor: gunzip + bare expat": [sys.executable, "-c", FLOOR, str(source)],
                "balign corpus parse": [
                    *(sys.executable, "-m", "balign", "corpus", "parse"),
                    *("--source", str(source), "--output", str(ours)),
                ],
                "pubmed_parser, equal fields": [*peer, "equal"],
                "pubmed_parser, as shipped": [*peer, "shipped"],
            }
            costs: dict[str, list[Cost]] = {name: [] for name in commands}
            for _ in range(options.rounds):
                for name, command in commands.items():
                    path = {"PYTHONPATH": str(ROOT / "workflow")}
                    costs[name].append(measure(command, path if "balign" in name else None))
            count, differences, unexplained = compare(ours, theirs)
        strange += unexplained
        best = {name: min(runs, key=lambda run: run.cpu_seconds) for name, runs in costs.items()}
        own = best["balign corpus parse"]
        seconds_a_citation.append(own.cpu_seconds / count)
        rows = [
            (name, *cost, count / cost.cpu_seconds, cost.cpu_seconds / own.cpu_seconds)
            for name, cost in best.items()
        ]
        columns = (
            "process",
            "seconds",
            "CPU s",
            "peak MiB",
            "citations a CPU s",
            "CPU, balign = 1",
        )
        show(f"{source.name}: {count:,} citations", columns, rows)
        shown = [(field, why, number) for (field, why), number in sorted(differences.items())]
        show(f"differences in {count * len(FIELDS):,} fields", ("field", "why", "number"), shown)
    slowest = max(seconds_a_citation) * CITATIONS / CORES / 60
    print(f"{CITATIONS:,} citations on {CORES} cores, at the slower rate: {slowest:.1f} minutes")
    if strange:
        print(*strange[:20], sep="\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
