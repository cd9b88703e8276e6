"""PubMed's XML to Parquet: balign against pubmed_parser, and against the floor.

    python -m benchmarks.corpus.parse --peer-python VENV/bin/python FILE.xml.gz ...

Every run is a whole process from the file to Parquet; of several rounds, taken in turn, the one
with the least processor time counts. The peer runs in its own environment (pubmed_parser 0.5.1 and
pyarrow), twice: as it is shipped, and with what balign does not read (authors, references, grants)
taken out of it, so that both have equal fields. balign runs twice too: with the columns that hold
the peer's fields (and the year, version and kind of each row), and with its whole table, which has
more: dates, ISSNs, copyright, other abstracts, flags. The floor is one process that unpacks the
same bytes and gives them to expat without handlers.

Then every citation is compared field by field. For each difference :func:`reason` reads the
citation's XML once more, by paths of its own; one that it cannot explain is listed with its PMID
and ends the program with status 1.
"""

from __future__ import annotations

import argparse
import gzip
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from lxml import etree

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
# What balign reads beyond the columns that it always reads, to have the peer's fields.
COLUMNS = (
    *("vernacular_title", "journal", "nlm_journal", "issn_linking", "publication_type_uis"),
    *("chemicals", "keywords", "doi"),
)
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


def _words(text: str) -> str:
    return " ".join(text.split())


def _shallow(node: Any) -> str:
    """Return the text of an element and its children, without their children's."""
    return _words((node.text or "") + "".join((c.text or "") + (c.tail or "") for c in node))


def _same(ours: str, nodes: list[Any]) -> bool:
    """Tell whether ours is the whole text of some elements; MathML's white space aside."""
    whole = "".join(piece for node in nodes for piece in node.itertext())
    return "".join(ours.split()) == "".join(whole.split())


def _abstract_reason(theirs: str, ours: str, citation: Any) -> str | None:
    parts = citation.findall("MedlineCitation/Article/Abstract/AbstractText")
    labels = [part.get("Label", "") for part in parts]
    if len(parts) < 2:
        said, whole = "".join(map(_shallow, parts)), ours
    else:
        said = " ".join(
            f"{'' if label == 'UNASSIGNED' else label} {_shallow(part)}"
            for label, part in zip(labels, parts, strict=True)
        )
        whole = ours
        for label, part in zip(labels, parts, strict=True):
            if label and _same("", [part]):
                continue
            whole = whole.replace(_words(label), "", 1) if label else whole
    if _words(said) != theirs or not _same(whole, parts):
        return None
    faults = {
        "leaves out the label UNASSIGNED": "UNASSIGNED" in labels,
        "keeps the label of a section without text": any(
            label and not _words("".join(part.itertext()))
            for label, part in zip(labels, parts, strict=True)
        ),
        "loses text in nested markup or MathML": any(not _same(_shallow(p), [p]) for p in parts),
        "keeps the white space inside MathML": any(p.find(".//{*}math") is not None for p in parts),
    }
    return "pubmed_parser " + " and ".join(why for why, so in faults.items() if so)


def reason(field: str, ours: str, theirs: str, citation: Any) -> str | None:
    """Return why a field differs, None if that is not known.

    The citation's XML has to give ours by a path of its own, and theirs by the fault that is named.
    """
    if field == "pubdate":
        text = citation.findtext(".//Journal/JournalIssue/PubDate/MedlineDate")
        if text and ours[:4] == theirs == "".join(re.findall(r"\d{4}", text)[:1]):
            return "pubmed_parser keeps the year alone of a MedlineDate"
    elif field == "doi":
        last = citation.findall(".//Article/ELocationID")[-1:]
        said = "".join(node.text or "" for node in last if node.get("EIdType") == "doi")
        listed = citation.xpath("PubmedData/ArticleIdList/ArticleId[@IdType='doi']/text()")
        placed = citation.xpath(".//ELocationID[@EIdType='doi' and @ValidYN='Y']/text()")
        if theirs == _words(said) and ours == "".join(map(_words, (listed or placed)[:1])):
            return "pubmed_parser takes the last ELocationID, a pii too, for the DOI"
    elif field == "keywords":
        lists = citation.findall("MedlineCitation/KeywordList")
        said = "; ".join(node.text for node in lists[0] if node.text)
        if _words(said) == theirs and "".join(ours.split()) == ";".join(
            "".join("".join(node.itertext()).split()) for each in lists for node in each
        ):
            if len(lists) > 1:
                return "pubmed_parser reads the first KeywordList alone"
            return "pubmed_parser loses the rest of a keyword with markup"
    elif field in ("title", "vernacular_title"):
        name = {"title": "ArticleTitle", "vernacular_title": "VernacularTitle"}[field]
        node = citation.find(f"MedlineCitation/Article/{name}")
        if theirs == _shallow(node) and _same(ours, [node]):
            return "pubmed_parser loses text in nested markup or MathML"
    elif field == "abstract":
        return _abstract_reason(theirs, ours, citation)
    return None


def compare(
    source: Path, ours: Path, theirs: Path
) -> tuple[int, Counter[tuple[str, str]], list[str]]:
    """Return citations compared, differences by field and class, and those in no class."""
    rows = pq.read_table(ours).to_pylist()
    rows = [row for row in rows if row["kind"] == "citation"]
    peers = pq.read_table(theirs).to_pylist()
    found: Counter[tuple[str, str]] = Counter()
    strange = []
    if len(rows) != len(peers):
        strange.append(f"{len(rows)} citations against {len(peers)}")
    with gzip.open(source) as handle:
        citations = etree.iterparse(handle, tag="PubmedArticle", remove_comments=True)
        for row, peer, (_, citation) in zip(rows, peers, citations, strict=False):
            for field, make in FIELDS.items():
                mine, other = make(row), _words(peer[field] or "")
                if mine != other:
                    why = reason(field, mine, other, citation)
                    found[field, why or "not explained"] += 1
                    if why is None:
                        strange.append(f"PMID {row['pmid']}, {field}: {mine!r} against {other!r}")
            citation.clear()
    return len(rows), found, strange


def _columns_apart(some: Path, whole: Path) -> list[str]:
    """Return the columns that balign reads otherwise alone than in its whole table."""
    part, table = pq.read_table(some), pq.read_table(whole)
    read = [name for name in part.column_names if part[name].null_count < len(part)]
    missing = [f"{name} is not read" for name in COLUMNS if name not in read]
    return missing + [f"{name} differs" for name in read if not part[name].equals(table[name])]


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
            whole = Path(folder) / "whole.parquet"
            own = [sys.executable, "-m", "balign", "corpus", "parse", "--source", str(source)]
            some = ["--columns", ",".join(COLUMNS)]
            peer = [options.peer_python, str(PEER), str(source), str(theirs)]
            commands = {
                "floor: gunzip + bare expat": [sys.executable, "-c", FLOOR, str(source)],
                "balign, equal fields": [*own, "--output", str(ours), *some],
                "balign, all columns": [*own, "--output", str(whole)],
                "pubmed_parser, equal fields": [*peer, "equal"],
                "pubmed_parser, as shipped": [*peer, "shipped"],
            }
            costs: dict[str, list[Cost]] = {name: [] for name in commands}
            for _ in range(options.rounds):
                for name, command in commands.items():
                    path = {"PYTHONPATH": str(ROOT / "workflow")}
                    costs[name].append(measure(command, path if "balign" in name else None))
            count, differences, unexplained = compare(source, ours, theirs)
            strange += unexplained + _columns_apart(ours, whole)
        best = {name: min(runs, key=lambda run: run.cpu_seconds) for name, runs in costs.items()}
        equal, every = (best[f"balign, {what}"] for what in ("equal fields", "all columns"))
        seconds_a_citation.append(every.cpu_seconds / count)
        rows = [
            (name, *cost, count / cost.cpu_seconds, cost.cpu_seconds / equal.cpu_seconds)
            for name, cost in best.items()
        ]
        columns = (
            "process",
            "seconds",
            "CPU s",
            "peak MiB",
            "citations a CPU s",
            "CPU, equal = 1",
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
