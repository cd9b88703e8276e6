"""A small run with every file that the report reads, written by hand after docs/contracts.md."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest

from balign.report.render import Inputs, Provenance, report_render
from balign.report.settings import ReportSettings

HOSTILE = "<script>alert(1)</script>"
RESTRICTED = "Secretonym"
TEXT = f"Asthma in children\nWe saw {HOSTILE} & asthma. Zebra sign was rare."

# (concept, [(name, rank, held_out, restriction)]); C9's names are all restricted, C2's best is.
CONCEPTS = {
    "C1": [("Asthma", 0, False, 0), ("Bronchial asthma", 1, True, 0)],
    "C2": [(f"{RESTRICTED} two", 0, False, 3), ("Lung disease", 1, False, 0)],
    "C3": [(HOSTILE, 0, False, 0)],
    "C9": [(f"{RESTRICTED} nine", 0, False, 2)],
}
# head, relation, tail as node ids of the sorted concepts
EDGES = [(0, 0, 1), (2, 0, 1), (0, 1, 3)]
RELATIONS = [("is_a", "is a"), ("related_to", "is related to")]


def _json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def _write_sources(folder: Path) -> list[Path]:
    record = {"sha256": "ab" * 32, "bytes": 1234567, "place": "https://example.org/hp.obo"}
    shared = {"format": "obo", "licence": "CC-BY-4.0", "version": "2025-01"}
    sources = (
        {"name": "hpo", "homepage": "https://example.org/", "status": "ok", "reason": None},
        {"name": "bad", "homepage": "javascript:alert(1)", "status": "ok", "reason": None},
        {"name": "bc5cdr", "homepage": "", "status": "skipped", "reason": "no network & no mirror"},
    )
    paths = []
    for source in sources:
        files = {} if source["status"] == "skipped" else {f"{source['name']}.obo": record}
        paths.append(folder / str(source["name"]) / "2025-01" / "MANIFEST.json")
        _json(paths[-1], {**shared, **source, "files": files})
    return paths


def _write_kg(folder: Path) -> None:
    folder.mkdir(parents=True)
    with duckdb.connect(str(folder / "kg.duckdb")) as connection:
        connection.execute(
            """
            CREATE TABLE concept (concept VARCHAR, preferred_name VARCHAR, source VARCHAR);
            CREATE TABLE atom (concept VARCHAR, name VARCHAR, source VARCHAR, code VARCHAR,
              term_type VARCHAR, preferred BOOLEAN, rank INTEGER, held_out BOOLEAN,
              restriction INTEGER);
            CREATE TABLE edge (head VARCHAR, relation VARCHAR, tail VARCHAR, source VARCHAR);
            CREATE TABLE relation (relation VARCHAR, label VARCHAR, edges BIGINT);
            CREATE TABLE semantic_type (concept VARCHAR, semantic_type VARCHAR, source VARCHAR);
            CREATE TABLE definition (concept VARCHAR, definition VARCHAR, source VARCHAR);
            CREATE TABLE xref (concept VARCHAR, identifier VARCHAR);
            CREATE TABLE source (source VARCHAR, version VARCHAR, licence VARCHAR,
              restriction INTEGER, atoms BIGINT);
            CREATE TABLE provenance (key VARCHAR, value VARCHAR);
            INSERT INTO source VALUES ('hpo', '2025-01', 'CC-BY-4.0', 0, 4),
              ('closed', '2020', 'by contract', 3, 2);
            INSERT INTO provenance VALUES ('digest', '0123456789abcdef');
            """
        )
        for concept, atoms in CONCEPTS.items():
            connection.execute("INSERT INTO concept VALUES (?, ?, 'hpo')", [concept, atoms[0][0]])
            for name, rank, held_out, restriction in atoms:
                connection.execute(
                    "INSERT INTO atom VALUES (?, ?, 'hpo', 'x', 'PT', ?, ?, ?, ?)",
                    [concept, name, rank == 0, rank, held_out, restriction],
                )
        for name, label in RELATIONS:
            connection.execute("INSERT INTO relation VALUES (?, ?, 2)", [name, label])
        connection.execute("INSERT INTO edge SELECT 'C1', 'is_a', 'C2', 'hpo' FROM range(3)")
    dropped = {"mesh": {"self_loop": 2, "suppressed": 1}, "hpo": {"self_loop": 3}}
    _json(folder / "counts.json", {"rows": {"concept": 4, "atom": 6}, "dropped": dropped})


def _linking_counts(mentions: int) -> dict[str, object]:
    frequent = {
        "concept": "C1",
        "mentions": 2,
        "sentences": 2,
        "surfaces": {"asthma": 2, HOSTILE: 1},
        "example": {"pmid": 7, "text": f"[Asthma] and {HOSTILE}"},
    }
    return {
        "linker": "dictionary",
        "mentions": mentions,
        "concepts": min(mentions, 3),
        "documents": 1,
        "documents_with_mention": min(mentions, 1),
        "sentences": 3,
        "sentences_with_mention": min(mentions, 3),
        "ambiguous": min(mentions, 1),
        "nil": 2,
        "dropped": {"overlaps a longer mention": 4},
        "by_semantic_group": {"Disorders": {"mentions": mentions, "concepts": 3}}
        if mentions
        else {},
        "by_source": {"hpo": {"mentions": mentions, "concepts": 3}} if mentions else {},
        "sentences_of_a_concept": {"50": 1, "90": 2, "99": 2, "100": 2} if mentions else {},
        "most_frequent": [frequent] if mentions else [],
    }


def _write_corpus(corpus: Path, linking: Path, *, mentions: bool) -> None:
    for folder in (corpus / "abstracts", corpus / "sentences", linking / "mentions"):
        folder.mkdir(parents=True)
    live = {"pmid": [7], "version": [1], "file": ["one"], "row": [0]}
    pl.DataFrame(live).write_parquet(corpus / "live.parquet")
    pl.DataFrame({"pmid": [7], "text": [TEXT]}).write_parquet(corpus / "abstracts/one.parquet")
    first, second = TEXT.index("\n"), TEXT.index(" Zebra")
    pl.DataFrame(
        {
            "pmid": [7, 7, 7],
            "sentence": [0, 1, 2],
            "start": [0, first + 1, second + 1],
            "end": [first, second, len(TEXT)],
            "section": ["title", "RESULTS", "RESULTS"],
        }
    ).write_parquet(corpus / "sentences/one.parquet")
    surfaces = [("Asthma", "C1", 0), (HOSTILE, "C3", 1), ("asthma", "C1", 1), ("Zebra", "C9", 2)]
    found = pl.DataFrame(
        [
            (7, sentence, TEXT.index(surface), TEXT.index(surface) + len(surface), surface, concept)
            for surface, concept, sentence in surfaces
        ],
        schema=["pmid", "sentence", "start", "end", "surface", "concept"],
        orient="row",
    ).with_columns(score=pl.lit(0.875, pl.Float32), linker=pl.lit("dictionary"))
    found = found if mentions else found.clear()
    found.write_parquet(linking / "mentions/one.parquet")
    _json(linking / "counts.json", _linking_counts(len(found) if mentions else 0))
    _json(corpus / "counts.json", {"read": 33278, "dropped": {"language": 2643}})


def _write_graph(folder: Path, *, mentions: bool) -> None:
    folder.mkdir()
    both = sorted(
        [(h, t, r) for h, r, t in EDGES] + [(t, h, r + len(RELATIONS)) for h, r, t in EDGES]
    )
    heads = np.array([row[0] for row in both])
    indptr = np.searchsorted(heads, np.arange(len(CONCEPTS) + 1)).astype(np.int64)
    np.save(folder / "indptr.npy", indptr)
    np.save(folder / "indices.npy", np.array([row[1] for row in both], dtype=np.int32))
    np.save(folder / "relations.npy", np.array([row[2] for row in both], dtype=np.int32))
    counts = [2, 0, 1, 1] if mentions else [0, 0, 0, 0]
    np.save(folder / "mention_count.npy", np.array(counts, dtype=np.int64))
    (folder / "concepts.txt").write_text("\n".join(CONCEPTS) + "\n")
    (folder / "relation_labels.txt").write_text("\n".join(label for _, label in RELATIONS) + "\n")
    _json(folder / "counts.json", {"nodes": 4, "edges": 3})


def _write_model(folder: Path, objective: str) -> Path:
    lines = []
    for step in range(10, 101, 10):
        train = {"step": step, "split": "train", "loss": 8 / step**0.3, "mlm": 5 / step**0.2}
        lines.append(train | {"learning_rate": 1e-5, "sentences_per_second": 20.0 + step / 100})
        if step % 50 == 0:
            validation = {"step": step, "split": "validation", "loss": 9 / step**0.3}
            lines.append(validation | {"retrieval_accuracy@1": 0.5 + step / 500})
    folder.mkdir(parents=True)
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(text, encoding="utf-8")
    settings = {"objective": objective, "encoder": "minilm", "steps": 100}
    _json(folder / "run.json", {"settings": settings, "seconds": 93.4, "digest": "0f" * 8})
    return folder


def row(task: str, model: str, mean: float, **more: object) -> dict[str, object]:
    """A row of the leaderboard."""
    return {
        "task": task,
        "family": "linking",
        "subset": "all",
        "metric": "accuracy@1",
        "primary": True,
        "model": model,
        "mean": mean,
        "deviation": None,
        "seeds": 1,
        "n": 1315,
        "low": mean - 0.02,
        "high": mean + 0.02,
        "difference_base": None,
        "p_base": None,
        "difference_mlm": None,
        "p_mlm": None,
        **more,
    }


def _write_leaderboard(folder: Path, models: list[str]) -> Path:
    scores = {"base": 0.633, "mlm": 0.598, "bali": 0.611}
    rows = []
    for task in ("synonyms", "tags"):
        for metric in ("accuracy@1", "accuracy@5"):
            for model in models:
                more: dict[str, object] = {"metric": metric, "primary": metric == "accuracy@1"}
                for reference, p in (("base", 0.004), ("mlm", 0.2)):
                    if model != reference and reference in models:
                        difference = scores[model] - scores[reference]
                        more |= {f"difference_{reference}": difference, f"p_{reference}": p}
                rows.append(row(task, model, scores[model], **more))
    skipped = [
        {"task": "bc5cdr-linking", "model": model, "seed": 1, "reason": "bc5cdr is not here"}
        for model in ["base", "mlm"]
    ]
    path = folder / "leaderboard.json"
    leakage = [
        {
            "task": "tags",
            "test_texts": None,
            "test_texts_in_train": None,
            "test_pmids": 1500,
            "test_pmids_in_pretraining": 7,
        }
    ]
    published = [
        {
            "system": "BigBERT",
            "task": "synonyms",
            "subset": "all",
            "metric": "accuracy@1",
            "value": 71.6,
            "source": "A & B, 2020",
        }
    ]
    _json(
        path,
        {
            "bootstrap_samples": 1000,
            "rows": rows,
            "skipped": skipped,
            "leakage": leakage,
            "published": published,
        },
    )
    (folder / "leaderboard.csv").write_text("task,model,mean\n", encoding="utf-8")
    return path


MakeRun = Callable[..., Inputs]
Render = Callable[..., str]


def _make(
    root: Path,
    *,
    mentions: bool = True,
    models: tuple[str, ...] = ("mlm", "bali"),
    scores: bool = True,
) -> Inputs:
    _write_kg(root / "kg")
    _write_corpus(root / "corpus", root / "linking", mentions=mentions)
    _write_graph(root / "graph", mentions=mentions)
    _json(root / "tokens/minilm/counts.json", {"sentences": 3, "pieces_per_sentence": 31.84})
    (root / "benchmarks/linking_link").mkdir(parents=True)
    for name, seconds, memory in (
        ("kg_build", "61.5", "512.25"),
        ("report_render", "9999", "1"),
        ("linking_link/one", "3.25", "NA"),
        ("linking_link/two", "4", "100"),
    ):
        text = f"s\th:m:s\tmax_rss\n{seconds}\t0:01:01\t{memory}\n"
        (root / f"benchmarks/{name}.tsv").write_text(text)
    return Inputs(
        manifests=_write_sources(root / "data"),
        kg=root / "kg",
        corpus=root / "corpus",
        linking=root / "linking",
        graph=root / "graph",
        tokens=[root / "tokens/minilm"],
        models=[_write_model(root / "models" / model, model) for model in models],
        leaderboard=_write_leaderboard(root, ["base", *models] if scores else []),
        benchmarks=root / "benchmarks",
    )


def _render(inputs: Inputs, output: Path, **settings: int | str) -> str:
    provenance = Provenance("report:\n  title: <b>\n", {"balign": "0.1.0", "kg_build": "0" * 16})
    report_render(ReportSettings(**settings), inputs, provenance, output)
    return (output / "index.html").read_text(encoding="utf-8")


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Write the files of a run; leave out mentions, models or scores where told."""
    return partial(_make, tmp_path / "results")


@pytest.fixture
def render(tmp_path: Path) -> Render:
    """Render a run and return the page."""

    def one(inputs: Inputs, **settings: int | str) -> str:
        return _render(inputs, tmp_path / "report", **settings)

    return one


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the full run."""
    root = tmp_path_factory.mktemp("full")
    _render(_make(root / "results"), root / "report")
    return root / "report"


@pytest.fixture(scope="session")
def page(folder: Path) -> str:
    """The page of the full run."""
    return (folder / "index.html").read_text(encoding="utf-8")
