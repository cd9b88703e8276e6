"""Rule ``report_render``: one page that tells what was built and how good it is."""

from __future__ import annotations

import importlib.metadata
import logging
import platform
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from balign.files import atomic_path, read_json
from balign.report import text
from balign.report.benchmarks import read_benchmarks
from balign.report.counts import count_tables
from balign.report.examples import (
    draw_neighbourhoods,
    draw_sentences,
    free_names,
    top_concepts,
)
from balign.report.figures import (
    graph_figure,
    leaderboard_figure,
    panel_title,
    save_figure,
    style_of,
    training_figure,
)
from balign.report.graph import open_graph
from balign.report.overview import graph_facts, read_kg, read_text
from balign.report.results import (
    REFERENCES,
    best,
    grouped,
    one_seed,
    read_leaderboard,
    subset_notes,
    tally,
)
from balign.report.settings import ReportSettings
from balign.report.training import loss_keys, read_model, score_keys
from balign.sources.manifest import SourceFolder, open_source

log = logging.getLogger(__name__)

_HERE = Path(__file__).parent
_TOP = 8  # rows of the tables of concepts with the most mentions and edges
_LIBRARIES = ("duckdb", "jinja2", "matplotlib", "numpy", "polars")


@dataclass(frozen=True)
class Inputs:
    """The files of a run, as docs/contracts.md has them.

    Attributes:
        manifests: MANIFEST.json of each source.
        kg: folder with kg.duckdb and counts.json.
        corpus: folder with live.parquet, abstracts/, sentences/ and counts.json.
        linking: folder with mentions/ and counts.json.
        graph: folder of the graph arrays.
        tokens: folders of tokens, one an encoder.
        models: model folders, in the order in which they are shown.
        leaderboard: leaderboard.json, leaderboard.csv beside it.
        benchmarks: folder of Snakemake's benchmark files, or None.
    """

    manifests: Sequence[Path]
    kg: Path
    corpus: Path
    linking: Path
    graph: Path
    tokens: Sequence[Path]
    models: Sequence[Path]
    leaderboard: Path
    benchmarks: Path | None = None


@dataclass(frozen=True)
class Provenance:
    """What the caller knows about the run: the resolved configuration as YAML, and the code.

    ``code`` maps a name (version, commit, a step's digest) to its value.
    """

    configuration: str
    code: Mapping[str, str] = field(default_factory=dict)


def report_render(
    settings: ReportSettings, inputs: Inputs, provenance: Provenance, output: Path
) -> None:
    """Write the folder of the report: index.html, its figures as SVG and PNG, leaderboard.csv.

    Args:
        settings: title and draw of the examples.
        inputs: files of the run.
        provenance: configuration and code, shown as they are.
        output: folder to write; it is replaced as a whole.

    Raises:
        DataError: if a file breaks its contract.
        SourceError: if a manifest does.
    """
    with atomic_path(output) as temporary:
        temporary.mkdir()
        shutil.copyfile(inputs.leaderboard.with_suffix(".csv"), temporary / "leaderboard.csv")
        facts = _gather(settings, inputs, provenance, temporary)
        page = _environment().get_template("page.html.j2").render(facts)
        (temporary / "index.html").write_text(page, encoding="utf-8")
    log.info(
        "%s: %d tasks, %d models, %d sentences, %d neighbourhoods shown",
        output / "index.html",
        len(facts["board"].main),
        len(facts["models"]),
        len(facts["sentences"]),
        len(facts["neighbourhoods"]),
    )


def _gather(
    settings: ReportSettings, inputs: Inputs, provenance: Provenance, folder: Path
) -> dict[str, Any]:
    """Read all inputs, draw the figures into ``folder``, return what the template shows."""
    database = inputs.kg / "kg.duckdb"
    kg = read_kg(database)
    corpus = read_text(inputs.corpus, inputs.linking)
    graph = open_graph(inputs.graph)
    models = [read_model(path) for path in inputs.models]
    board = read_leaderboard(inputs.leaderboard)
    sources = [open_source(path) for path in inputs.manifests]
    style = style_of([*board.models, *(model.name for model in models)])
    figures = {"graph": graph_figure(graph.mention_count, graph.degree)}
    panels = [(panel_title(key), key) for key in [*loss_keys(models), *score_keys(models)]]
    if panels:
        figures["training"] = training_figure(models, panels, style)
    if board.rows:
        figures["leaderboard"] = leaderboard_figure(board.rows, style)
    linking = read_json(inputs.linking / "counts.json")
    frequent = linking["most_frequent"]
    return {
        "settings": settings,
        "css": Markup((_HERE / "page.css").read_text(encoding="utf-8")),
        "kg": kg,
        "corpus": corpus,
        "linking": linking,
        # A mention's words are PubMed's; a concept's name is shown where its licence lets us.
        "frequent_names": free_names(database, [one["concept"] for one in frequent]),
        "graph": graph_facts(graph),
        "most_mentioned": top_concepts(graph, graph.mention_count, database, _TOP),
        "most_edges": top_concepts(graph, graph.degree, database, _TOP),
        "sources": sources,
        "skipped_sources": [source for source in sources if source.skipped],
        "total_bytes": total_bytes(sources),
        "models": models,
        "board": board,
        "verdicts": [
            (model, name, words)
            for model in board.aligned
            for reference, name in REFERENCES.items()
            if (words := tally(board, model, reference)) is not None
        ],
        "subset_notes": subset_notes(board.rows),
        "one_seed": one_seed(board.rows),
        "series": {model: place for place, model in enumerate(style)},
        "figures": {
            name: Markup(save_figure(figure, folder, name)) for name, figure in figures.items()
        },
        "sentences": draw_sentences(
            inputs.corpus, inputs.linking, database, corpus.files, settings.examples, settings.seed
        ),
        "neighbourhoods": draw_neighbourhoods(graph, database, settings.examples, settings.seed),
        "count_tables": {
            "Knowledge graph": count_tables(read_json(inputs.kg / "counts.json"), ""),
            "Corpus": count_tables(read_json(inputs.corpus / "counts.json"), ""),
            "Linking": count_tables(
                {key: value for key, value in linking.items() if not key.startswith("by_")}, ""
            ),
            "Graph": count_tables(read_json(inputs.graph / "counts.json"), ""),
            **{
                f"Tokens for {path.name}": count_tables(read_json(path / "counts.json"), "")
                for path in inputs.tokens
            },
        },
        "run_tables": {
            # Its counts are those of the tokens, which have a table of their own.
            model.name: count_tables({k: v for k, v in model.run.items() if k != "counts"}, "")
            for model in models
        },
        "benchmarks": read_benchmarks(inputs.benchmarks) if inputs.benchmarks else [],
        "configuration": provenance.configuration,
        "code": dict(provenance.code),
        "libraries": {
            "Python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in _LIBRARIES},
        },
    }


def total_bytes(sources: Sequence[SourceFolder]) -> int:
    """Return the size of all the files of the sources."""
    return sum(file.bytes for source in sources for file in source.files.values())


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "whole": text.whole,
        "number": text.number,
        "percent": text.percent,
        "points": text.points,
        "p_value": text.p_value,
        "size": text.size,
        "duration": text.duration,
        "label": text.label,
        "metric_label": text.metric_label,
        "listed": text.listed,
    }
    environment.globals |= {"plural": text.plural, "grouped": grouped, "best": best}
    return environment
