"""Ingest a release of UMLS's size, against a bare scan, pandas and line.split.

    python -m benchmarks.kg.ingest            # 17 M atoms, 60 M relations: minutes, 12 GB of disk
    python -m benchmarks.kg.ingest --small    # 1 M and 4 M

Each contestant is a process of its own, on the same files, after one reading of them that fills the
page cache. All count the same columns of MRCONSO, MRREL, MRSTY and MRDEF, those that balign uses;
what they count must agree. The floor (DuckDB) and pandas do no more than that; line.split keeps the
English names of each concept in a dictionary as scispaCy's exporter does. balign checks every byte
and every line, finds the names and the graph without duplicates, draws held-out names, writes the
database and checks it; its log says when each part was done.

The second table is of names and the deduplicated graph alone: a release of MRCONSO and MRREL (and
the small files that rank, license and label them), nothing held out, against the floor of these two
files.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.kg.generate import generate
from benchmarks.measure import Cost, measure, show

_SIZES = {"small": (1_000_000, 4_000_000), "full": (17_000_000, 60_000_000)}
_COLUMNS = {
    "MRCONSO": (
        *("CUI", "LAT", "TS", "STT", "ISPREF", "AUI"),
        *("SAB", "TTY", "CODE", "STR", "SRL", "SUPPRESS"),
    ),
    "MRREL": ("CUI1", "REL", "CUI2", "RELA", "SAB", "SUPPRESS"),
    "MRSTY": ("CUI", "TUI", "STY"),
    "MRDEF": ("CUI", "AUI", "SAB", "DEF", "SUPPRESS"),
}
_GRAPH = ("MRCONSO", "MRREL")  # what names and the graph are made of
_WITH_GRAPH = ("MRSAB", "MRRANK", "MRDOC", "MRFILES")

_FLOOR = """
import duckdb, json
from balign.kg.release import COLUMNS
connection = duckdb.connect(config={{"threads": {threads}}})
counts = {{}}
for name, columns in {columns!r}.items():
    types = ", ".join(f"'{{c}}': 'VARCHAR'" for c in (*COLUMNS[name].split(), "nothing"))
    counted = ", ".join(f"count({{c}})" for c in columns)
    rows = (f"read_csv('{folder}/{{name}}.RRF', delim='|', header=false, quote='', escape='', "
            f"nullstr='', auto_detect=false, strict_mode=true, columns={{{{{{types}}}}}})")
    found = connection.execute(f"SELECT {{counted}} FROM {{rows}}").fetchall()[0]
    counts[name] = dict(zip(columns, found))
print(json.dumps(counts))
"""

_PANDAS = """
import csv, json, pandas
from balign.kg.release import COLUMNS
counts = {{}}
for name, columns in {columns!r}.items():
    frame = pandas.read_csv("{folder}/" + name + ".RRF", sep="|", header=None, dtype=str,
        names=[*COLUMNS[name].split(), "nothing"], usecols=columns, quoting=csv.QUOTE_NONE,
        keep_default_na=False, na_values=[""])
    counts[name] = {{column: int(frame[column].count()) for column in columns}}
print(json.dumps(counts))
"""

_SPLIT = """
import collections, json
from balign.kg.release import COLUMNS
counts, names = {{}}, collections.defaultdict(set)
for name, columns in {columns!r}.items():
    places = [COLUMNS[name].split().index(column) for column in columns]
    found = [0] * len(columns)
    with open("{folder}/" + name + ".RRF", encoding="utf-8") as lines:
        for line in lines:
            splits = line.strip().split("|")
            for number, place in enumerate(places):
                found[number] += splits[place] != ""
            if name == "MRCONSO" and splits[1] == "ENG" and splits[16] == "N":
                names[splits[0]].add(splits[14])
    counts[name] = dict(zip(columns, found))
print(json.dumps(counts))
"""


def _count(
    program: str, folder: Path, threads: int, names: Sequence[str] = tuple(_COLUMNS)
) -> tuple[Cost, dict[str, dict[str, int]]]:
    columns = {name: _COLUMNS[name] for name in names}
    code = program.format(columns=columns, folder=folder, threads=threads)
    output = folder / "counts.json"
    command = f"exec {sys.executable!r} - > {str(output)!r}"
    script = folder / "program.py"
    script.write_text(code)
    cost = measure(["bash", "-c", command.replace(" - ", f" {str(script)!r} ")])
    return cost, json.loads(output.read_text())


def _build(
    folder: Path, threads: int, memory_mb: int, **settings: object
) -> tuple[Cost, dict[str, object]]:
    config = folder / "config.json"
    kg = {"sources": [], "rrf": {"path": str(folder)}, **settings}
    config.write_text(json.dumps({"kg": kg}))
    output = folder / "out"
    files = {"--database": output / "kg.duckdb", "--counts": output / "counts.json"}
    limits = {"--threads": threads, "--memory-mb": memory_mb, "--config": config}
    options = [str(word) for pair in (files | limits).items() for word in pair]
    cost = measure([sys.executable, "-m", "balign", "kg", "build", *options])
    return cost, json.loads((output / "counts.json").read_text())


def _check(names: dict[str, dict[str, dict[str, int]]], built: dict[str, object]) -> None:
    """Stop if two contestants have counted differently, or rows are lost between them."""
    first, *others = names.values()
    assert all(other == first for other in others), names
    lines = {name: built["rrf"][name]["lines"] for name in first}  # type: ignore[index]
    assert lines == {name: max(counted.values()) for name, counted in first.items()}, lines


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--small", action="store_true", help="1 M atoms and 4 M relations")
    parser.add_argument("--folder", type=Path, default=Path("data/benchmarks/kg"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory-mb", type=int, default=6000)
    parser.add_argument("--without", nargs="*", default=[], help="contestants to leave out")
    parser.add_argument("--rounds", type=int, default=1, help="of names and graph alone, in turn")
    arguments = parser.parse_args()
    size = "small" if arguments.small else "full"
    folder = arguments.folder / size
    atoms, relations = _SIZES[size]
    generate(folder, atoms, relations)
    rows = sum(
        int(line.split("|")[4])
        for line in (folder / "MRFILES.RRF").read_text().splitlines()
        if line.startswith(tuple(_COLUMNS))
    )
    size_gb = sum((folder / f"{name}.RRF").stat().st_size for name in _COLUMNS) / 1e9
    subprocess.run(f"cat {folder}/*.RRF > {os.devnull}", shell=True, check=True)
    contestants = {
        "bare DuckDB scan (floor)": _FLOOR,
        "pandas": _PANDAS,
        "line.split": _SPLIT,
    }
    costs: dict[str, Cost] = {}
    counts: dict[str, dict[str, dict[str, int]]] = {}
    for name, program in contestants.items():
        if name not in arguments.without:
            costs[name], counts[name] = _count(program, folder, arguments.threads)
    cost, built = _build(folder, arguments.threads, arguments.memory_mb)
    _check(counts, built)
    costs["balign kg build"] = cost
    _show(f"{rows:,} rows, {size_gb:.1f} GB, {arguments.threads} threads", rows, costs)
    print(json.dumps(built["tables"]))

    graph = folder / "graph"
    graph.mkdir(exist_ok=True)
    for name in (*_GRAPH, *_WITH_GRAPH):
        link = graph / f"{name}.RRF"
        link.unlink(missing_ok=True)
        link.symlink_to((folder / link.name).resolve())
    for _ in range(arguments.rounds):
        floor, counted = _count(_FLOOR, graph, arguments.threads, _GRAPH)
        cost, built = _build(graph, arguments.threads, arguments.memory_mb, held_out={"count": 0})
        _check({"floor": counted}, built)
        rows = sum(max(columns.values()) for columns in counted.values())
        costs = {"bare DuckDB scan (floor)": floor, "names + deduplicated graph": cost}
        _show(f"names + deduplicated graph alone, {rows:,} rows", rows, costs)
    print(json.dumps(built["tables"]))


def _show(title: str, rows: int, costs: dict[str, Cost]) -> None:
    """Print a table; the last row is balign's."""
    last = list(costs.values())[-1]
    show(
        title,
        ("", "seconds", "processor s", "rows a second", "peak MiB", "seconds x", "processor x"),
        [
            (
                name,
                c.seconds,
                c.cpu_seconds,
                round(rows / c.seconds),
                round(c.peak_mib),
                f"{last.seconds / c.seconds:.2f} x",
                f"{last.cpu_seconds / c.cpu_seconds:.2f} x",
            )
            for name, c in costs.items()
        ],
    )


if __name__ == "__main__":
    main()
