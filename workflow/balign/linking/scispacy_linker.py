"""The backend ``scispacy``: scispaCy's knowledge base, candidates and abbreviations.

What is scispaCy's own: :class:`KnowledgeBase`, :class:`CandidateGenerator` (TF-IDF over character
3-grams, ``k`` nearest names) and :class:`AbbreviationDetector`. What differs from its
``EntityLinker``, and why:

- The knowledge base is the configured graph; nothing is downloaded, and the vectoriser is stored as
  its vocabulary and weights, not as a pickle.
- Candidates come from an exact product of sparse matrices. scispaCy's approximate index (HNSW) is
  built by many threads at random, so that two builds may answer differently; docs/linking.md has
  the figures.
- A string is looked up once for all documents of a job, not once in each document.
- Of concepts with one score the one wins whose preferred name is the string, then the smallest
  identifier.
"""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy.sparse
import spacy
from scispacy.abbreviation import AbbreviationDetector
from scispacy.candidate_generation import CandidateGenerator, MentionCandidate
from scispacy.linking_utils import KnowledgeBase
from sklearn.feature_extraction.text import TfidfVectorizer

from balign.arrays import open_array
from balign.errors import ConfigError
from balign.linking.backends import Linker, build_index, open_linker
from balign.linking.graph_names import query_graph
from balign.linking.mentions import answered
from balign.linking.settings import LinkingSettings
from balign.linking.spans import place_spans, without_overlaps
from balign.linking.strings import StringTable

SPANS_BY = "dictionary"
"""The backend that finds the spans where no spaCy pipeline does."""
TOO_LONG = "text too long for spaCy"

_QUERIES = 256  # strings compared at once; about 200 MiB with 350,000 names
_SCALE = 100_000  # scores count in steps of 1e-5: coarser than the rounding of float32
_SMALL = 10_000  # names; scispaCy wants a 3-gram in ten names, which leaves little of a small graph
_UNUSED = ("tagger", "parser", "lemmatizer", "attribute_ruler", "senter")
_ENTITIES = """
    SELECT c.concept AS concept_id, c.preferred_name AS canonical_name,
        list(a.name ORDER BY a.rank, a.name) AS aliases,
        (SELECT list(DISTINCT t.semantic_type ORDER BY t.semantic_type)
            FROM semantic_type t WHERE t.concept = c.concept) AS types,
        (SELECT min(d.definition) FROM definition d WHERE d.concept = c.concept) AS definition
    FROM concept c JOIN atom a USING (concept) WHERE NOT a.held_out
    GROUP BY c.concept, c.preferred_name ORDER BY c.concept
"""


def make_vectoriser(grams: Iterable[str] | None = None, min_df: int = 1) -> TfidfVectorizer:
    """Return a vectoriser with the settings of scispaCy's ``create_tfidf_ann_index``."""
    vocabulary = None if grams is None else {gram: place for place, gram in enumerate(grams)}
    return TfidfVectorizer(
        analyzer="char_wb",
        ngram_range=(3, 3),
        min_df=min_df,
        dtype=np.float32,
        vocabulary=vocabulary,
    )


@dataclass(frozen=True)
class ExactIndex:
    """Stands where scispaCy has an nmslib index: the nearest names by an exact product.

    Attributes:
        names: [grams, names], the names' vectors as columns.
    """

    names: scipy.sparse.csr_matrix

    def knnQueryBatch(
        self, queries: scipy.sparse.csr_matrix, k: int
    ) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]:
        """Return for each query the ``k`` nearest names and their cosine distances, nearest first.

        Similarities are rounded to 1e-5; of equal ones the name of the lower position wins.
        """
        found = []
        for first in range(0, queries.shape[0], _QUERIES):
            product = queries[first : first + _QUERIES] @ self.names
            for begin, end in zip(product.indptr[:-1], product.indptr[1:], strict=True):
                place = product.indices[begin:end].astype(np.int64)
                steps = np.rint(product.data[begin:end] * _SCALE).astype(np.int64)
                key = -steps * self.names.shape[1] + place
                if len(key) > k:
                    key = key[np.argpartition(key, k - 1)[:k]]
                key.sort()
                place = key % self.names.shape[1]
                similarity = np.minimum((place - key) // self.names.shape[1], _SCALE) / _SCALE
                found.append((place, 1.0 - similarity))
        return found


@dataclass
class ScispacyLinker:
    """A linker by scispaCy, see :class:`balign.linking.backends.Linker`.

    The score is the cosine similarity of the string, or of the long form that the text gives for
    it, to the nearest name of the concept.
    """

    generator: CandidateGenerator
    nlp: Any
    candidates: int
    finder: Linker | None
    name: str = "scispacy"
    dropped: Counter[str] = field(default_factory=Counter)
    _known: dict[str, tuple[str | None, float]] = field(default_factory=dict, repr=False)

    @classmethod
    def build(cls, database: Path, settings: LinkingSettings, folder: Path) -> None:
        """Write the knowledge base, the vectors of its names and, if needed, the dictionary."""
        entities = query_graph(database, _ENTITIES).with_columns(pl.col("types").fill_null([]))
        with (folder / "kb.jsonl").open("w", encoding="utf-8") as file:
            for entity in entities.iter_rows(named=True):
                file.write(json.dumps(entity, ensure_ascii=True, sort_keys=True) + "\n")
        aliases = pl.concat([entities["canonical_name"], entities["aliases"].explode()])
        names = aliases.unique().sort().to_list()
        vectoriser = make_vectoriser(min_df=10 if len(names) >= _SMALL else 1)
        vectors = vectoriser.fit_transform(names).T.tocsr()
        vectors.sort_indices()
        grams = sorted(vectoriser.vocabulary_, key=vectoriser.vocabulary_.__getitem__)
        StringTable.of(names).save(folder, "names")
        StringTable.of(grams).save(folder, "grams")
        np.save(folder / "idf.npy", vectoriser.idf_)
        for part in ("data", "indices", "indptr"):
            np.save(folder / f"vectors.{part}.npy", getattr(vectors, part))
        if settings.scispacy.pipeline is None:
            (folder / "spans").mkdir()
            build_index(SPANS_BY, database, settings, folder / "spans")

    @classmethod
    def open(cls, folder: Path, settings: LinkingSettings) -> ScispacyLinker:
        """Open the index.

        Raises:
            ConfigError: if the configured spaCy pipeline cannot be loaded.
        """
        own = settings.scispacy
        nlp = _load_pipeline(own.pipeline)
        if own.abbreviations:
            nlp.add_pipe("abbreviation_detector", config={"make_serializable": False})
        finder = None
        if own.pipeline is None:
            finder = open_linker(SPANS_BY, folder / "spans", settings)
        names, grams = (StringTable.open(folder, name).strings() for name in ("names", "grams"))
        vectoriser = make_vectoriser(grams)
        vectoriser.idf_ = np.load(folder / "idf.npy")
        parts = [open_array(folder / f"vectors.{x}.npy") for x in ("data", "indices", "indptr")]
        vectors = scipy.sparse.csr_matrix(tuple(parts), shape=(len(grams), len(names)), copy=False)
        generator = CandidateGenerator(
            ann_index=ExactIndex(vectors),
            tfidf_vectorizer=vectoriser,
            ann_concept_aliases_list=names,
            kb=KnowledgeBase(str(folder / "kb.jsonl")),
        )
        return cls(generator, nlp, own.candidates, finder)

    def link(self, documents: pl.DataFrame, sentences: pl.DataFrame) -> pl.DataFrame:
        """Find the mentions in some documents."""
        if self.finder is None:
            entities, long_forms = self._run_pipeline(documents)
            spans = without_overlaps(place_spans(entities, sentences, self.dropped), self.dropped)
        else:
            spans = self.finder.link(documents, sentences)
            self.dropped += self.finder.dropped
            self.finder.dropped.clear()
            # Nothing is defined in a text without a bracket; most have none.
            bracketed = documents.filter(pl.col("text").str.contains("(", literal=True))
            _, long_forms = self._run_pipeline(bracketed)
        spans = spans.join(
            long_forms, on=["pmid", "start", "end"], how="left", maintain_order="left"
        ).with_columns(asked=pl.coalesce("long_form", "surface"))
        found = self._look_up(spans["asked"].to_list())
        return answered(spans, found, self.name).sort("pmid", "start", "end")

    def _run_pipeline(self, documents: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return the entities, and the long forms of abbreviations, by place."""
        if not self.nlp.pipe_names:  # neither entities nor abbreviations are wanted
            documents = documents.clear()
        short = documents.filter(pl.col("text").str.len_chars() <= self.nlp.max_length)
        if len(short) < len(documents):
            self.dropped[TOO_LONG] += len(documents) - len(short)
        place = {"pmid": pl.Int64, "start": pl.Int32, "end": pl.Int32}
        entities, long_forms = [], {}
        for pmid, doc in self._docs(short):
            for span in doc.ents:
                entities.append((pmid, span.start_char, span.end_char, span.text))
            if doc.has_extension("abbreviations"):
                for span in doc._.abbreviations:
                    long_form = span._.long_form.text
                    long_forms[(pmid, span.start_char, span.end_char)] = long_form
        rows = [(*key, text) for key, text in sorted(long_forms.items())]
        return (
            pl.DataFrame(entities, schema={**place, "surface": pl.String}, orient="row"),
            pl.DataFrame(rows, schema={**place, "long_form": pl.String}, orient="row"),
        )

    def _docs(self, documents: pl.DataFrame) -> Iterator[tuple[int, Any]]:
        texts = ((text, pmid) for pmid, text in documents.select("pmid", "text").iter_rows())
        with warnings.catch_warnings():
            # The detector's matcher has no patterns in a text that defines no abbreviation.
            warnings.filterwarnings("ignore", message=r"\[W036\]")
            for doc, pmid in self.nlp.pipe(texts, as_tuples=True):
                yield pmid, doc

    def _look_up(self, strings: list[str]) -> list[tuple[str | None, float]]:
        """Return the concept and score of each string; a string is asked for once."""
        keys = [string.lower() for string in strings]  # as the vectoriser does
        new = sorted(set(keys) - self._known.keys())
        answers = self.generator(new, self.candidates)
        for key, candidates in zip(new, answers, strict=True):
            self._known[key] = self._best(key, candidates)
        return [self._known[key] for key in keys]

    def _best(self, key: str, candidates: list[MentionCandidate]) -> tuple[str | None, float]:
        def order(one: MentionCandidate) -> tuple[float, bool, str]:
            preferred = self.generator.kb.cui_to_entity[one.concept_id].canonical_name
            return -max(one.similarities), preferred.lower() != key, one.concept_id

        if not candidates:
            return None, 0.0
        best = min(candidates, key=order)
        return best.concept_id, max(best.similarities)


def _load_pipeline(name: str | None) -> Any:
    """Load a spaCy pipeline by name or path; None gives the bare English tokeniser.

    Raises:
        ConfigError: if there is none.
    """
    assert AbbreviationDetector  # importing it registers it with spaCy
    if name is None:
        return spacy.blank("en")
    try:
        return spacy.load(name, exclude=_UNUSED)
    except (OSError, ValueError, ImportError) as error:
        raise ConfigError(
            f"the spaCy pipeline '{name}' cannot be loaded: {error}",
            where="linking.scispacy.pipeline",
            hint="install it (scispaCy's README has the addresses), give its folder, or set null "
            "to take the dictionary's spans",
        ) from None
